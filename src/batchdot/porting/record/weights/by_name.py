"""Match arrays of the legacy layout by the names of layers and models in their names."""

import re
from collections.abc import Iterable, Iterator, Sequence

from batchdot.porting.archive import Array
from batchdot.porting.record import convert
from batchdot.porting.record.classes import Slot
from batchdot.porting.record.convert import Source
from batchdot.porting.record.weights.leaves import Leaf

MAX_PAIRS = 100_000
"""Pairs of layers of one name among which names of models decide: 50 towers of 20 layers have 50,000."""

MAX_ROUNDS = 8
"""Rounds in which places that are taken leave one place to others."""

MAX_DEPTH = 64
"""Last parts of the name of a weight that are compared with names of layers."""

MAX_PARTS = 8
"""Parts of a layer's name between slashes: DenseNet of tf_keras has three."""

Place = tuple[str, str]
"""The path of a layer, and a role in it."""


class Names:
    """The names of layers, as names of weights have them in front of the weight's own.

    Args:
        leaves: the layers.
    """

    def __init__(self, leaves: Iterable[Leaf]) -> None:
        self._named: dict[str, list[Leaf]] = {}
        for leaf in leaves:
            for name in _own_names(leaf):
                self._named.setdefault(name, []).append(leaf)
        self._longest = min(MAX_PARTS, max((name.count("/") + 1 for name in self._named), default=1))

    def contradict(self, leaf: Leaf, name: str) -> bool:
        """Whether a weight is called after another layer than this one, or than the wrappers around it."""
        if any(f"/{own}/" in f"/{name}" for own in _own_names(leaf)):
            return False
        others = self._near(name.split("/")[:-1])
        return any(not leaf.path.startswith(f"{other.path}/") for other in others)

    def match(
        self, arrays: Sequence[tuple[str, Array]], units: Iterable[tuple[Leaf, tuple[Slot, ...]]]
    ) -> list[tuple[Leaf, dict[str, Source]]] | None:
        """Return the arrays of each layer, None where names do not tell all of them apart.

        Files may have been saved with other ``trainable`` flags than the config says, and then the
        names are right and the order is not. Where layers in several models have one name, the names of
        the models before it decide, or that only one place is left.
        """
        places = {(leaf.path, slot.role): leaf for leaf, slots in units for slot in slots}
        pairs = sum(len(namesakes) ** 2 for namesakes in self._named.values())
        if len(self._named) < 2 or len(places) != len(arrays) or pairs > MAX_PAIRS:
            return None
        left = dict(arrays)
        result: dict[str, tuple[Leaf, dict[str, Source]]] = {}
        for _ in range(MAX_ROUNDS):
            decided = self._decided(left, places)
            for name, place in decided.items():
                leaf = places.pop(place)
                result.setdefault(leaf.path, (leaf, {}))[1][place[1]] = convert.plain(left.pop(name))
            if not left:
                return list(result.values())
            if not decided:
                break
        return None

    def _decided(self, left: Iterable[str], places: Iterable[Place]) -> dict[str, Place]:
        """Return, for each weight whose name fits one free place better than all others, that place."""
        free: dict[Place, list[str]] = {}
        for path, role in places:
            free.setdefault((path, _word(role)), []).append(role)
        wanted: dict[Place, list[str]] = {}
        for name in left:
            *parts, last = name.split("/")
            word = re.sub(r"_\d+$", "", last.split(":")[0])
            near = {leaf.path: leaf for leaf in self._near(parts)}
            scores = {
                (path, role): _agreement(leaf, role, parts)
                for path, leaf in near.items()
                for role in free.get((path, word), ())
            }
            highest = max(scores.values(), default=0)
            best = [place for place, score in scores.items() if score == highest]
            if len(best) == 1:
                wanted.setdefault(best[0], []).append(name)
        return {names[0]: place for place, names in wanted.items() if len(names) == 1}

    def _near(self, parts: list[str]) -> Iterator[Leaf]:
        """Yield the layers that a weight may be named after, whose own names may have slashes."""
        parts = parts[-MAX_DEPTH:]
        for start in range(len(parts)):
            for end in range(start + 1, min(len(parts), start + self._longest) + 1):
                yield from self._named.get("/".join(parts[start:end]), ())


def _own_names(leaf: Leaf) -> tuple[str, ...]:
    """Return what a layer is called in names of weights: Bidirectional renames the layer that it copies."""
    name = leaf.layer.name
    return (name, f"forward_{name}") if leaf.path.endswith("/.forward_layer") else (name,)


def _agreement(leaf: Leaf, role: str, parts: list[str]) -> int:
    """Return how many of the objects around a weight the parts of a name list, outwards from it."""
    count = 0
    before = f"/{'/'.join(parts)}/"
    models = leaf.path.removesuffix(f"/{leaf.layer.name}").split("/")
    for name in reversed([*models, leaf.layer.name, *role.split(".")[:-1]]):
        start, found, _ = before.rpartition(f"/{name}/")
        if name and found:
            before = f"{start}/"
            count += 1
    return count


def _word(role: str) -> str:
    """Return the last part of the name of a weight of a role."""
    return role.rsplit(".", 1)[-1]

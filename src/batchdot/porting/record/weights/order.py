"""Say in which order the legacy layout has the weights of a layer, and which it leaves out.

Keras writes ``trainable_weights`` and then ``non_trainable_weights`` of each top-level layer. What these
lists are has changed with Keras 3, which shows where a model inside is frozen and a layer in it is not.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import TypeAlias

from batchdot.porting.record.classes import Slot
from batchdot.porting.record.era import Era
from batchdot.porting.record.values import LayerRecord
from batchdot.porting.record.weights.leaves import leaves

Placed: TypeAlias = tuple[str, Slot]
"""The path of a layer, and one of its weights."""

Stored: TypeAlias = Mapping[str, tuple[Slot, ...]]
"""Per layer, by its path, its own weights as the file has them."""


def stored_order(layer: LayerRecord, path: str, stored: Stored, era: Era) -> list[Placed]:
    """Return the weights of a top-level layer in the order in which a version writes them.

    Sources: ``Layer.weights`` of Keras 3; ``Layer.trainable_weights`` and ``Model.trainable_weights`` of
    tf_keras, with which Keras 1 and 2 agree.
    """
    if era.is_keras3:
        all_weights = list(_weights3(layer, path, stored))
        if not layer.trainable:
            return [placed for placed, _ in all_weights]
        return [placed for flag in (True, False) for placed, trains in all_weights if trains is flag]
    trainable, others = _two_lists(layer, path, stored)
    return [*trainable, *others]


def parts_of(layer: LayerRecord, path: str) -> Iterator[tuple[LayerRecord, str]]:
    """Yield the layers inside of a layer with their paths in the record."""
    for key, inside in layer.inner.items():
        yield inside, f"{path}/.{key}"
    if layer.model is not None:
        for inside in layer.model.layers:
            yield inside, f"{path}/{inside.name}"


def _weights3(layer: LayerRecord, path: str, stored: Stored) -> Iterator[tuple[Placed, bool]]:
    """Yield weights with whether they train: a layer's own first, whatever the models around it are."""
    for flag in (True, False):
        for slot in stored.get(path, ()):
            if slot.trainable is flag:
                yield (path, slot), flag and layer.trainable
    for inside, below in parts_of(layer, path):
        yield from _weights3(inside, below, stored)


def _two_lists(layer: LayerRecord, path: str, stored: Stored) -> tuple[list[Placed], list[Placed]]:
    """Return what trains in a layer and what does not, each in order."""
    own = [(path, slot) for slot in stored.get(path, ())]
    trainable = [(where, slot) for where, slot in own if slot.trainable]
    others = [(where, slot) for where, slot in own if not slot.trainable]
    inside = [_two_lists(part, below, stored) for part, below in parts_of(layer, path)]
    theirs = [placed for trains, _ in inside for placed in trains]
    their_others = [placed for _, rest in inside for placed in rest]
    if layer.trainable and (layer.model is None or layer.model.trainable):
        return [*trainable, *theirs], [*others, *their_others]
    if layer.model is not None:
        return [], [*theirs, *their_others]
    return [], [*trainable, *others, *(placed for trains, rest in inside for placed in (*trains, *rest))]


def copies(layer: LayerRecord, path: str, whole_models: bool) -> dict[str, str]:
    """Return, for layers that were met before in a walk over a model, the path where that was.

    Args:
        layer: the layer to walk.
        path: its path.
        whole_models: whether only models count as met, with all that is in them, and no single layer.
    """
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    keys = Keys()
    waiting = [(layer, path)]
    while waiting:
        here, at = waiting.pop()
        key = keys.of(here)
        if (here.model is not None or not whole_models) and key in first:
            found |= {leaf.path: first[key] + leaf.path[len(at) :] for leaf in leaves(here, at)}
            continue
        first[key] = at
        waiting += reversed(list(parts_of(here, at)))
    return found


class Keys:
    """Numbers layers so that two that may be one object have the same number: equal ones of one name."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._known: dict[int, int] = {}

    def of(self, layer: LayerRecord) -> int:
        """Return the number of a layer."""
        if id(layer) not in self._known:
            parts = tuple(self.of(part) for part, _ in parts_of(layer, ""))
            key = layer.name, layer.class_name, layer.config, parts
            self._known[id(layer)] = self._numbers.setdefault(key, len(self._numbers))
        return self._known[id(layer)]

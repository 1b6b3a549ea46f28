"""Match arrays of the legacy layout, which lists a layer's trainable arrays first, then the others."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from batchdot.porting.archive import Array, LegacyWeights
from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import convert
from batchdot.porting.record.classes import Slot
from batchdot.porting.record.convert import Source
from batchdot.porting.record.era import Era
from batchdot.porting.record.values import LayerRecord, ModelRecord
from batchdot.porting.record.weights.by_name import Names
from batchdot.porting.record.weights.leaves import Found, Leaf, finished, is_open, is_rms, leaves
from batchdot.porting.record.weights.order import copies, stored_order


def match_legacy(model: ModelRecord, weights: LegacyWeights, era: Era, same_file: bool) -> Found:
    """Return which arrays are which weights.

    Args:
        model: the config.
        weights: the arrays.
        era: who wrote them.
        same_file: whether both come from one file.

    Raises:
        ModelFileError: an array is missing, left over, or does not fit.
    """
    found: Found = {}
    for layer, group, arrays in _paired(model, weights, same_file):
        _LegacyGroup(layer, group, arrays, weights, era, found).match()
    return found


def _paired(
    model: ModelRecord, weights: LegacyWeights, same_file: bool
) -> list[tuple[LayerRecord, str, tuple[tuple[str, Array], ...]]]:
    """Pair layers with groups: by name where the names are the same, else those with weights by order.

    Keras pairs by order. In a Sequential so do we, unless config and weights come from one file; the layers
    of a graph have no order that all versions share, so there names say more.
    """
    groups = {name: arrays for name, arrays in weights.layers if arrays}
    wanted = [layer for layer in model.layers if any(True for _ in leaves(layer, ""))]
    names = {layer.name for layer in wanted}
    ordered = [
        layer for layer in wanted if any(leaf.slots for leaf in leaves(layer, "")) or layer.name in groups
    ]
    is_ordered = model.kind == "sequential" and not same_file and len(groups) == len(ordered)
    if set(groups) <= names and not is_ordered:
        return [(layer, layer.name, groups.get(layer.name, ())) for layer in wanted]
    if len(groups) != len(ordered):
        raise ModelFileError(
            f"weights of {len(groups):,} layers for a model with {len(ordered):,} that have any",
            "weights that were saved from this model",
        )
    return [(layer, name, arrays) for layer, (name, arrays) in zip(ordered, groups.items(), strict=True)]


class _LegacyGroup:
    """The arrays of one top-level layer, which are given to what is inside of it."""

    def __init__(
        self,
        layer: LayerRecord,
        group: str,
        arrays: tuple[tuple[str, Array], ...],
        weights: LegacyWeights,
        era: Era,
        found: Found,
    ) -> None:
        self.arrays = arrays
        self.era = era
        self.weights = weights
        self.found = found
        self.group = group
        self.layer = layer
        self.path = f"/{layer.name}"
        self.leaves = list(leaves(layer, self.path))
        self.stored = {leaf.path: self._stored(leaf) for leaf in self.leaves}
        if is_rms(layer, len(arrays)):
            self.leaves = [replace(self.leaves[0], slots=self.leaves[0].slots[:1])]
            self.stored[self.path] = self.leaves[0].slots
        self.names = Names(self.leaves)

    def match(self) -> None:
        """Give every array to a slot.

        Raises:
            ModelFileError: one is left over, missing, or does not fit.
        """
        if any(is_open(leaf.layer) for leaf in self.leaves):
            self._match_around_open()
            return
        copies = self._copies()
        units = self._units(copies)
        named = None if self.era.family == "keras1" else self.names.match(self.arrays, units)
        for leaf, sources in named or self._by_order(units):
            self._take(leaf, sources)
        for path, first in copies.items():
            self.found[path] = self.found[first]

    def _copies(self) -> dict[str, str]:
        """Return the layers that the file has under another path: a model in two others is saved once.

        Only the number of arrays tells whether two layers of one name are one.
        """
        missing = sum(map(len, self.stored.values())) - len(self.arrays)
        if missing <= 0 or self.era.family == "keras1":
            return {}
        for whole_models in (True, False):
            found = copies(self.layer, self.path, whole_models)
            if sum(len(self.stored[path]) for path in found) == missing:
                return found
        return {}

    def _units(self, copies: Mapping[str, str]) -> list[tuple[Leaf, tuple[Slot, ...]]]:
        """Return runs of slots as the file has them."""
        by_path = {leaf.path: leaf for leaf in self.leaves if leaf.path not in copies}
        order = [
            (path, slot)
            for path, slot in stored_order(self.layer, self.path, self.stored, self.era)
            if path in by_path
        ]
        runs = itertools.groupby(order, key=lambda part: part[0])
        return [(by_path[path], tuple(slot for _, slot in run)) for path, run in runs]

    def _stored(self, leaf: Leaf) -> tuple[Slot, ...]:
        """Return the slots of a layer as stored: an adapter freezes the kernel and adds two factors."""
        if "lora_rank" not in leaf.layer.raw or not any("lora_" in name for name, _ in self.arrays):
            return leaf.slots
        head = leaf.slots[0]
        factors = tuple(Slot(f"lora_{head.role}_{letter}", None) for letter in "ab")
        return (*leaf.slots[1:], *factors, replace(head, trainable=False))

    def _by_order(self, units: list[tuple[Leaf, tuple[Slot, ...]]]) -> list[tuple[Leaf, dict[str, Source]]]:
        position = 0
        result = []
        for leaf, slots in units:
            count = self._count(leaf, slots, position)
            taken = self.arrays[position : position + count]
            position += count
            if len(taken) != count:
                raise self._mismatch(sum(len(slots) for _, slots in units))
            result.append((leaf, self._sources(leaf, slots, taken)))
        if position != len(self.arrays):
            raise self._mismatch(sum(len(slots) for _, slots in units))
        return result

    def _mismatch(self, expected: int) -> ModelFileError:
        return ModelFileError(
            f"{len(self.arrays)} weights of {quote(self.group)}",
            f"{expected}, as its config says",
            place=quote(self.group),
        )

    def _count(self, leaf: Leaf, slots: tuple[Slot, ...], position: int) -> int:
        """Return how many arrays a run of slots takes: Keras 1 may store each gate by itself."""
        if self.era.family == "keras1" and len(slots) == 3 and position < len(self.arrays):
            name = self.arrays[position][0]
            if re.search(r"_W_i(?::\d+)?$", name) and leaf.layer.is_a("LSTM", "ConvLSTM2D"):
                return 12
            if re.search(r"_W_z(?::\d+)?$", name) and leaf.layer.is_a("GRU"):
                return 9
        return len(slots)

    def _sources(
        self, leaf: Leaf, slots: tuple[Slot, ...], taken: tuple[tuple[str, Array], ...]
    ) -> dict[str, Source]:
        arrays = [array for _, array in taken]
        if len(arrays) == len(slots):
            for slot, (name, array) in zip(slots, taken, strict=True):
                self._check_name(leaf, slot, name, array)
            return {slot.role: convert.plain(array) for slot, array in zip(slots, arrays, strict=True)}
        order = convert.LSTM_GATES if len(arrays) == 12 else convert.GRU_GATES
        for gate, start in zip(order, range(0, len(arrays), 3), strict=True):
            for letter, (name, array) in zip("WUb", taken[start : start + 3], strict=True):
                if not re.search(rf"_{letter}_{gate}(?::\d+)?$", name):
                    raise ModelFileError(
                        f"the weight {quote(name)}", f"one that ends with _{letter}_{gate}", place=array.place
                    )
        return dict(
            zip(("kernel", "recurrent_kernel", "bias"), convert.keras1_gates(arrays, order), strict=True)
        )

    def _check_name(self, leaf: Leaf, slot: Slot, name: str, array: Array) -> None:
        if self.names.contradict(leaf, name):
            raise ModelFileError(
                f"the weight {quote(name)} where one of {quote(leaf.layer.name)} belongs",
                "weights in the order of the config, or named after their layers",
                place=array.place,
            )
        if "*" in slot.suffixes:
            return
        last = name.rsplit("/", 1)[-1].split(":")[0]
        bare = re.sub(r"_\d+$", "", last)
        allowed = (slot.role.rsplit(".", 1)[-1], *slot.suffixes)
        if not any(bare == word or bare.endswith("_" + word) for word in allowed):
            raise ModelFileError(
                f"the weight {quote(name)} where {quote(slot.role)} of {quote(leaf.layer.name)} belongs",
                " or ".join(allowed),
                place=array.place,
            )

    def _match_around_open(self) -> None:
        """Give known layers their weights by name, and all others to those that only the file knows."""
        left = dict(self.arrays)
        by_part: dict[str, list[str]] = {}
        for name in left:
            for part in dict.fromkeys(name.split("/")[:-1]):
                by_part.setdefault(part, []).append(name)
        for leaf in self.leaves:
            if is_open(leaf.layer):
                continue
            mine = [(name, left[name]) for name in by_part.get(leaf.layer.name, ()) if name in left]
            if len(mine) != len(leaf.slots):
                raise self._mismatch(len(leaf.slots))
            self._take(leaf, self._sources(leaf, leaf.slots, tuple(mine)))
            for name, _ in mine:
                del left[name]
        opened = [leaf for leaf in self.leaves if is_open(leaf.layer)]
        for leaf in opened:
            names = list(left) if leaf is opened[-1] else by_part.get(leaf.layer.name, ())
            mine = [(name, left.pop(name)) for name in names if name in left]
            self.found.setdefault(leaf.path, {}).update(_unnamed(mine))

    def _take(self, leaf: Leaf, sources: dict[str, Source]) -> None:
        here = self.found.setdefault(leaf.path, {})
        for role, source in sources.items():
            if self.era.family == "keras1":
                source = convert.keras1_kernel(leaf.layer, role, source)
            if self.weights.backend == "theano":
                source = convert.theano_kernel(leaf.layer, role, source)
            here[role] = source
        role = leaf.slots[0].role
        a, b = f"lora_{role}_a", f"lora_{role}_b"
        if {role, a, b} <= set(here):
            here[role] = convert.with_lora(here[role], here.pop(a), here.pop(b), _lora_scale(leaf))
        if len(here) == len(leaf.slots):
            self.found[leaf.path] = finished(leaf, here)


def _lora_scale(leaf: Leaf) -> float:
    rank, alpha = leaf.layer.raw.get("lora_rank"), leaf.layer.raw.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise ModelFileError(
            f"lora_rank {quote(rank)}", "an integer of at least 1", place=quote(leaf.layer.name)
        )
    return float(alpha) / rank if isinstance(alpha, (int, float)) else 1.0


def _unnamed(arrays: Iterable[tuple[str, Array]]) -> dict[str, Source]:
    """Return the weights of a layer that is not Keras's, by the last part of their names."""
    found: dict[str, Source] = {}
    met = Counter[str]()
    for name, array in arrays:
        role = name.rsplit("/", 1)[-1].split(":")[0]
        met[role] += 1
        found[role if met[role] == 1 else name.split(":")[0]] = convert.plain(array)
    return found

"""Match arrays of the legacy layout, which lists a layer's trainable arrays first, then the others."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from batchdot.porting.archive import Array, LegacyWeights
from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import convert
from batchdot.porting.record.classes import Slot
from batchdot.porting.record.convert import Source
from batchdot.porting.record.era import Era
from batchdot.porting.record.values import LayerRecord, ModelRecord
from batchdot.porting.record.weights.leaves import Found, Leaf, finished, is_rms, leaves


def match_legacy(model: ModelRecord, weights: LegacyWeights, era: Era) -> Found:
    """Return which arrays are which weights.

    Raises:
        ModelFileError: an array is missing, left over, or does not fit.
    """
    found: Found = {}
    for layer, group, arrays in _paired(model, weights):
        _LegacyGroup(layer, group, arrays, weights, era, found).match()
    return found


def _paired(
    model: ModelRecord, weights: LegacyWeights
) -> list[tuple[LayerRecord, str, tuple[tuple[str, Array], ...]]]:
    """Pair layers with groups: by name where the names are the same, else those with weights by order."""
    groups = {name: arrays for name, arrays in weights.layers if arrays}
    wanted = [layer for layer in model.layers if any(True for _ in leaves(layer, ""))]
    names = {layer.name for layer in model.layers}
    if set(groups) <= names:
        return [(layer, layer.name, groups.get(layer.name, ())) for layer in wanted]
    wanted = [
        layer for layer in wanted if any(leaf.slots for leaf in leaves(layer, "")) or layer.name in groups
    ]
    if len(groups) != len(wanted):
        raise ModelFileError(
            f"weights of {len(groups):,} layers for a model with {len(wanted):,} that have any",
            "weights that were saved from this model",
        )
    return [(layer, name, arrays) for layer, (name, arrays) in zip(wanted, groups.items(), strict=True)]


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
        self.leaves = list(leaves(layer, f"/{layer.name}"))
        if is_rms(layer, len(arrays)):
            self.leaves = [replace(self.leaves[0], slots=self.leaves[0].slots[:1])]

    def match(self) -> None:
        """Give every array to a slot.

        Raises:
            ModelFileError: one is left over, missing, or does not fit.
        """
        if any(leaf.layer.kind == "custom" for leaf in self.leaves):
            self._match_around_custom()
            return
        units = [*self._units()]
        for leaf, sources in self._by_name(units) or self._by_order(units):
            self._take(leaf, sources)

    def _units(self) -> Iterator[tuple[Leaf, tuple[Slot, ...]]]:
        """Yield runs of slots as the file has them: what trains first, then the rest, each in order."""
        for flag in (True, False):
            for leaf in self.leaves:
                slots = tuple(
                    slot for slot in self._stored(leaf) if (leaf.trainable and slot.trainable) is flag
                )
                if slots:
                    yield leaf, slots

    def _stored(self, leaf: Leaf) -> tuple[Slot, ...]:
        """Return the slots of a layer as stored: an adapter freezes the kernel and adds two factors."""
        if "lora_rank" not in leaf.layer.raw or not any("lora_kernel" in name for name, _ in self.arrays):
            return leaf.slots
        head = leaf.slots[0]
        factors = (Slot("lora_kernel_a", None), Slot("lora_kernel_b", None))
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
        if self.era.family == "keras1" and slots[0].role == "kernel" and position < len(self.arrays):
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
        others = [  # wrappers around the layer name its weights too
            other
            for other in self.leaves
            if other.layer.name != leaf.layer.name and not leaf.path.startswith(f"{other.path}/")
        ]
        if not _is_named(leaf, name) and any(_is_named(other, name) for other in others):
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

    def _by_name(
        self, units: list[tuple[Leaf, tuple[Slot, ...]]]
    ) -> list[tuple[Leaf, dict[str, Source]]] | None:
        """Match by the names of layers in the names of weights, where they tell all of them apart.

        Files may have been saved with other ``trainable`` flags than the config says, and then the
        names are right and the order is not.
        """
        names = [leaf.layer.name for leaf in self.leaves]
        if len(set(names)) != len(names) or len(names) < 2 or self.era.family == "keras1":
            return None
        wanted_of: dict[str, list[Slot]] = {}
        for leaf, slots in units:
            wanted_of.setdefault(leaf.path, []).extend(slots)
        result = []
        for leaf in self.leaves:
            mine = [(name, array) for name, array in self.arrays if _is_named(leaf, name)]
            wanted = wanted_of.get(leaf.path, [])
            roles = {slot.role.rsplit(".", 1)[-1]: slot for slot in wanted}
            given = {
                re.sub(r"_\d+$", "", name.rsplit("/", 1)[-1].split(":")[0]): array for name, array in mine
            }
            if len(mine) != len(wanted) or len(roles) != len(wanted) or set(given) != set(roles):
                return None
            result.append((leaf, {slot.role: convert.plain(given[word]) for word, slot in roles.items()}))
        return result

    def _match_around_custom(self) -> None:
        """Give known layers their weights by name, and all others to the custom layer."""
        left = dict(self.arrays)
        for leaf in self.leaves:
            if leaf.layer.kind == "custom":
                continue
            mine = [(name, array) for name, array in left.items() if leaf.layer.name in name.split("/")[:-1]]
            if len(mine) != len(leaf.slots):
                raise self._mismatch(len(leaf.slots))
            self._take(leaf, self._sources(leaf, leaf.slots, tuple(mine)))
            for name, _ in mine:
                del left[name]
        custom = [leaf for leaf in self.leaves if leaf.layer.kind == "custom"]
        for leaf in custom:
            mine = [
                (name, array)
                for name, array in left.items()
                if leaf is custom[-1] or leaf.layer.name in name.split("/")
            ]
            self.found.setdefault(leaf.path, {}).update(_unnamed(mine))
            for name, _ in mine:
                del left[name]

    def _take(self, leaf: Leaf, sources: dict[str, Source]) -> None:
        here = self.found.setdefault(leaf.path, {})
        for role, source in sources.items():
            if self.era.family == "keras1":
                source = convert.keras1_kernel(leaf.layer, role, source)
            if self.weights.backend == "theano":
                source = convert.theano_kernel(leaf.layer, role, source)
            here[role] = source
        if {"kernel", "lora_kernel_a", "lora_kernel_b"} <= set(here):
            here["kernel"] = convert.with_lora(
                here["kernel"], here.pop("lora_kernel_a"), here.pop("lora_kernel_b"), _lora_scale(leaf)
            )
        if len(here) == len(leaf.slots):
            self.found[leaf.path] = finished(leaf, here)


def _is_named(leaf: Leaf, name: str) -> bool:
    """Whether the name of a weight has that of a layer among its parts."""
    parts = name.split("/")[:-1]
    forward = leaf.path.endswith("/.forward_layer") and f"forward_{leaf.layer.name}" in parts
    return forward or leaf.layer.name in parts


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
    for name, array in arrays:
        role = name.rsplit("/", 1)[-1].split(":")[0]
        while role in found:
            role += "_"
        found[role] = convert.plain(array)
    return found

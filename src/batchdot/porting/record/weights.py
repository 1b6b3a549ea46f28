"""Weights: which array of a file is which weight of which layer, in both layouts; each is used once.

The legacy layout lists a layer's arrays in order: first all that were trainable, then the others. The
layout of ``.weights.h5`` has a path for each object, whose parts are Python attributes and counted classes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from batchdot.porting.archive import Array, LegacyWeights, ObjectWeights, Weights
from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import convert
from batchdot.porting.record.classes import SPECS, Slot
from batchdot.porting.record.convert import Source
from batchdot.porting.record.era import Era
from batchdot.porting.record.operations import snake
from batchdot.porting.record.values import FrozenMap, LayerRecord, ModelRecord, Weight

Found = dict[str, "dict[str, Source]"]
"""Per layer, by its path in the record, its weights by role."""

_NUMBER = re.compile(r"(?:bool|u?int(?:8|16|32|64)|float(?:16|32|64)|bfloat16)")


@dataclass(frozen=True)
class Leaf:
    """A layer that has weights of its own, inside of a top-level layer or that layer itself."""

    path: str
    layer: LayerRecord
    slots: tuple[Slot, ...]
    trainable: bool


def attach(model: ModelRecord, weights: Weights, era: Era, same_file: bool) -> ModelRecord:
    """Return a model with its weights.

    Args:
        model: a record without weights.
        weights: the arrays of a file.
        era: who wrote the weights.
        same_file: whether config and weights come from one file, so that names have to agree.

    Raises:
        ModelFileError: an array is missing, left over, or of another shape than the config says.
    """
    if isinstance(weights, LegacyWeights):
        found = _legacy(model, weights, era)
    else:
        found = _Objects(weights, same_file).match(model)
    return _with_weights(model, found, "", model.trainable)


def _with_weights(model: ModelRecord, found: Found, prefix: str, trainable: bool) -> ModelRecord:
    layers = tuple(
        _layer_with_weights(layer, found, f"{prefix}/{layer.name}", trainable) for layer in model.layers
    )
    return replace(model, layers=layers, has_weights=True)


def _layer_with_weights(layer: LayerRecord, found: Found, path: str, trainable: bool) -> LayerRecord:
    trainable = trainable and layer.trainable
    inner = {
        key: _layer_with_weights(inside, found, f"{path}/.{key}", trainable)
        for key, inside in layer.inner.items()
    }
    model = None
    if layer.model is not None:
        model = _with_weights(layer.model, found, path, trainable and layer.model.trainable)
    flags = {slot.role: slot.trainable for slot in _slots(layer)}
    made = {
        role: Weight(
            role, source.shape, source.dtype, trainable and flags.get(role, True),
            source.parts[0].path, source.read,
        )
        for role, source in found.get(path, {}).items()
    }  # fmt: skip
    config = layer.config
    if _is_rms(layer, len(made)):
        config = FrozenMap({**config, "rms_scaling": True})
    return replace(layer, config=config, weights=FrozenMap(made), inner=FrozenMap(inner), model=model)


def _is_rms(layer: LayerRecord, arrays: int) -> bool:
    """Whether a LayerNormalization scales by the root mean square: Keras 3.0 to 3.3 do not save that it does.

    It has a gamma alone then, though its config says that it has a beta.
    """
    config = layer.config
    return arrays == 1 and layer.is_a("LayerNormalization") and bool(config["center"] and config["scale"])


def _slots(layer: LayerRecord) -> tuple[Slot, ...]:
    return (
        SPECS[layer.class_name].slots(layer.config)
        if layer.kind == "layer" and layer.class_name in SPECS
        else ()
    )


def leaves(layer: LayerRecord, path: str, trainable: bool = True) -> Iterator[Leaf]:
    """Yield what has weights in a layer, in Keras's order: inner layers before their wrapper's own."""
    trainable = trainable and layer.trainable
    for key, inside in layer.inner.items():
        yield from leaves(inside, f"{path}/.{key}", trainable)
    if layer.model is not None:
        inner = trainable and layer.model.trainable
        for inside in layer.model.layers:
            yield from leaves(inside, f"{path}/{inside.name}", inner)
    slots = _slots(layer)
    if slots or layer.kind == "custom":
        yield Leaf(path, layer, slots, trainable)


# The legacy layout


def _legacy(model: ModelRecord, weights: LegacyWeights, era: Era) -> Found:
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
        if _is_rms(layer, len(arrays)):
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
        slots_of: dict[str, list[Slot]] = {}
        for leaf, slots in units:
            slots_of.setdefault(leaf.path, []).extend(slots)
        result = []
        for leaf in self.leaves:
            mine = [(name, array) for name, array in self.arrays if leaf.layer.name in name.split("/")[:-1]]
            wanted = slots_of.get(leaf.path, [])
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


def finished(leaf: Leaf, sources: dict[str, Source]) -> dict[str, Source]:
    """Return a layer's weights in Keras's order and today's layouts, once their shapes are right.

    Raises:
        ModelFileError: a shape is another than the config says.
    """
    ordered = {slot.role: sources[slot.role] for slot in leaf.slots}
    sizes: dict[str, int] = {}
    for slot in leaf.slots:
        source = ordered[slot.role]
        if not _NUMBER.fullmatch(source.dtype):
            raise ModelFileError(f"numbers of type {quote(source.dtype)}", place=source.parts[0].place)
        check_shape(leaf, slot, source, sizes)
    if leaf.layer.is_a("CuDNNLSTM", "CuDNNGRU"):
        return {role: convert.cudnn(leaf.layer, role, source) for role, source in ordered.items()}
    return ordered


def check_shape(leaf: Leaf, slot: Slot, source: Source, sizes: dict[str, int]) -> None:
    """Compare a shape with a slot's; a named size is the same wherever it occurs in a layer.

    Raises:
        ModelFileError: they differ.
    """
    if slot.shape is None:
        return
    wanted = tuple(
        sizes.setdefault(size, found) if isinstance(size, str) else size
        for size, found in zip(slot.shape, source.shape, strict=False)
    )
    fits = len(slot.shape) == len(source.shape) and all(
        size is None or size == found for size, found in zip(wanted, source.shape, strict=True)
    )
    if not fits:
        told = tuple(sizes.get(size, size) if isinstance(size, str) else size for size in slot.shape)
        raise ModelFileError(
            f"shape {source.shape} of {quote(slot.role)} of {quote(leaf.layer.name)}",
            str(told).replace("None", "any"),
            place=source.parts[0].place,
        )


# The layout of objects


class _Objects:
    """Walks a model as Keras walked its objects when it saved them."""

    def __init__(self, weights: ObjectWeights, same_file: bool) -> None:
        self.weights = weights
        self.same_file = same_file
        self.left = dict(weights.arrays)
        self.found: Found = {}
        self.by_layer: dict[tuple[str, str, object], dict[str, Source]] = {}
        self.shared: list[tuple[Leaf, str]] = []
        self.doubled = weights.container != "layers"

    def match(self, model: ModelRecord) -> Found:
        """Give every array to a slot.

        Raises:
            ModelFileError: one is left over, missing, or does not fit.
        """
        self._model(model, "", "")
        for leaf, place in self.shared:
            twin = self.by_layer.get(_identity(leaf.layer))
            if twin is None:
                raise ModelFileError(f"no weights of {quote(leaf.layer.name)}", place=quote(place))
            self.found[leaf.path] = twin
        if self.left:
            owner = min(self.left)
            raise ModelFileError("weights that no layer of the model has", place=self.left[owner][0].place)
        return self.found

    def _model(self, model: ModelRecord, path: str, owner: str) -> None:
        counted: dict[str, int] = {}
        for layer in model.layers:
            name = _python_class(layer)
            number = counted.get(name, 0)
            counted[name] = number + 1
            below = _below(owner, self.weights.container, f"{name}_{number}" if number else name)
            if self.doubled and (self._has_weights(layer) or self._any_below(below)):
                counted[name] += 1
            self._check_name(layer, below)
            self._layer(layer, f"{path}/{layer.name}", below)

    def _check_name(self, layer: LayerRecord, owner: str) -> None:
        told = self.weights.names.get(owner)
        if self.same_file and told is not None and told != layer.name and layer.kind == "layer":
            raise ModelFileError(
                f"weights of {quote(told)} where those of {quote(layer.name)} belong", place=quote(owner)
            )

    def _has_weights(self, layer: LayerRecord) -> bool:
        return any(leaf.slots for leaf in leaves(layer, ""))

    def _any_below(self, owner: str) -> bool:
        return any(key == owner or key.startswith(owner + "/") for key in self.weights.arrays)

    def _layer(self, layer: LayerRecord, path: str, owner: str) -> None:
        numbered: dict[str, int] = {}
        for key, inside in layer.inner.items():
            self._layer(inside, f"{path}/.{key}", _below(owner, *_attribute(key, inside, numbered)))
        if layer.model is not None:
            self._model(layer.model, path, owner)
        elif layer.kind == "custom":
            self._custom(layer, path, owner)
        slots = _slots(layer)
        if slots:
            self._own(Leaf(path, layer, slots, True), owner)

    def _own(self, leaf: Leaf, owner: str) -> None:
        sources: dict[str, Source] = {}
        groups: dict[tuple[str, ...], list[Slot]] = {}
        for slot in leaf.slots:
            groups.setdefault(slot.owner, []).append(slot)
        for owners, slots in groups.items():
            place = next((_below(owner, name) for name in owners if _below(owner, name) in self.left), None)
            if place is None:
                self.shared.append((leaf, owner))
                return
            arrays = self.left.pop(place)
            if leaf.layer.is_a("SpectralNormalization") and len(arrays) == 2:
                arrays = arrays[1:]  # the first is the kernel, which the layer inside has too
            if _is_rms(leaf.layer, len(arrays)):
                leaf, slots = replace(leaf, slots=leaf.slots[:1]), slots[:1]
            if len(arrays) != len(slots):
                raise ModelFileError(
                    f"{len(arrays)} weights of {quote(leaf.layer.name)}",
                    f"{len(slots)}, as its config says",
                    place=quote(place),
                )
            sources |= {slot.role: convert.plain(array) for slot, array in zip(slots, arrays, strict=True)}
        made = finished(leaf, sources)
        self.found[leaf.path] = made
        self.by_layer.setdefault(_identity(leaf.layer), made)

    def _custom(self, layer: LayerRecord, path: str, owner: str) -> None:
        made: dict[str, Source] = {}
        for key in [key for key in self.left if key == owner or key.startswith(owner + "/")]:
            for number, array in enumerate(self.left.pop(key)):
                made[f"{key[len(owner) + 1 :]}/{number}".strip("/")] = convert.plain(array)
        self.found[path] = made


def _identity(layer: LayerRecord) -> tuple[str, str, object]:
    return layer.name, layer.class_name, layer.config


def _below(owner: str, *names: str) -> str:
    return "/".join(part for part in (owner, *names) if part)


def _python_class(layer: LayerRecord) -> str:
    if layer.model is not None:
        return "sequential" if layer.class_name == "Sequential" else "functional"
    return snake(layer.class_name)


def _attribute(key: str, layer: LayerRecord, numbered: dict[str, int]) -> tuple[str, ...]:
    """Return the attribute that an inner layer is: one by its name, several counted by class."""
    name, dot, _ = key.partition(".")
    if not dot:
        return (name,)
    counted = _python_class(layer)
    number = numbered.get(counted, 0)
    numbered[counted] = number + 1
    return (name, f"{counted}_{number}" if number else counted)


def count_numbers(layers: Iterable[LayerRecord], keep: Callable[[Weight], bool] = lambda weight: True) -> int:
    """Return how many numbers the weights of layers hold, each layer counted once."""
    return sum(prod(weight.shape) for layer in layers for weight in layer.all_weights() if keep(weight))


def known_sizes(layer: LayerRecord, sizes: Mapping[str, int | None]) -> None:
    """Compare weights with sizes that the shapes of a layer's inputs tell.

    Raises:
        ModelFileError: they differ.
    """
    for slot in _slots(layer):
        weight = layer.weights.get(slot.role)
        if weight is None or slot.shape is None or len(slot.shape) != len(weight.shape):
            continue
        for size, found in zip(slot.shape, weight.shape, strict=True):
            wanted = sizes.get(size) if isinstance(size, str) else None
            if wanted is not None and wanted != found:
                raise ModelFileError(
                    f"{quote(slot.role)} of shape {weight.shape} for an input of size {wanted}",
                    place=quote(layer.name),
                )

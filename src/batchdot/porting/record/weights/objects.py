"""Match arrays of ``.weights.h5``, which have the path of the Python object that owned them."""

from dataclasses import replace

from batchdot.porting.archive import ObjectWeights
from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import convert
from batchdot.porting.record.classes import Slot
from batchdot.porting.record.convert import Source
from batchdot.porting.record.operations import snake
from batchdot.porting.record.values import LayerRecord, ModelRecord
from batchdot.porting.record.weights.leaves import Found, Leaf, finished, is_rms, leaves, slots_of


class Objects:
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
        recorded = self.weights.names.get(owner)
        if self.same_file and recorded is not None and recorded != layer.name and layer.kind == "layer":
            raise ModelFileError(
                f"weights of {quote(recorded)} where those of {quote(layer.name)} belong", place=quote(owner)
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
        slots = slots_of(layer)
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
            if is_rms(leaf.layer, len(arrays)):
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

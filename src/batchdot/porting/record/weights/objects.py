"""Match arrays of ``.weights.h5``, which have the path of the Python object that owned them.

An object that is met again, as a layer is that two models share, writes nothing. Keras 3 counts it all the
same when it numbers the layers of a model by class; tf_keras does not.
"""

import bisect
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from batchdot.porting.archive import ObjectWeights
from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record import convert
from batchdot.porting.record.classes import Slot
from batchdot.porting.record.convert import Source
from batchdot.porting.record.era import Era
from batchdot.porting.record.operations import snake
from batchdot.porting.record.values import LayerRecord, ModelRecord
from batchdot.porting.record.weights.leaves import (
    Found,
    Leaf,
    finished,
    is_open,
    is_rms,
    leaves,
    slots_of,
)
from batchdot.porting.record.weights.order import Keys, parts_of


class Objects:
    """Walks a model as Keras walked its objects when it saved them."""

    def __init__(self, weights: ObjectWeights, era: Era, same_file: bool) -> None:
        self.weights = weights
        self.same_file = same_file
        self.left = dict(weights.arrays)
        self.found: Found = {}
        self.keys = Keys()
        self.written: dict[int, list[str]] = {}
        self.shared: list[tuple[LayerRecord, str, str]] = []
        self.owners = sorted(weights.arrays)
        self.doubled = weights.container != "layers"
        self.groups = Counter() if era.is_keras3 or self.doubled else _numbered(weights.owners)

    def match(self, model: ModelRecord) -> Found:
        """Give every array to a slot.

        Raises:
            ModelFileError: one is left over, missing, or does not fit.
        """
        self._model(model, "", "")
        for layer, path, owner in self.shared:
            self._copy(layer, path, owner)
        if self.left:
            owner = min(self.left)
            raise ModelFileError("weights that no layer of the model has", place=self.left[owner][0].place)
        return self.found

    def _copy(self, layer: LayerRecord, path: str, owner: str) -> None:
        """Give a layer that wrote nothing the weights of the one that it is."""
        own = list(leaves(layer, path))
        twins = self.written.get(self.keys.of(layer), [])
        if len(twins) == 1:
            made = {leaf.path: self.found.get(twins[0] + leaf.path[len(path) :]) for leaf in own}
            if None not in made.values():
                self.found |= {path: sources for path, sources in made.items() if sources is not None}
                return
        parts = list(parts_of(layer, path))
        if parts and not slots_of(layer):
            for part, below in parts:
                self._copy(part, below, owner)
        elif any(leaf.slots for leaf in own):
            what = "several layers {} that may be this one" if twins else "no weights of {}"
            raise ModelFileError(what.format(quote(layer.name)), place=quote(owner))

    def _model(self, model: ModelRecord, path: str, owner: str) -> None:
        container = _below(owner, self.weights.container)
        absent = self._absent(model, container)
        again = Counter[str]()
        counted = Counter[str]()
        for layer in model.layers:
            if layer.kind == "operation":  # no layer to Keras 3; of a class of its own in tf_keras
                continue
            name = _python_class(layer)
            here = f"{path}/{layer.name}"
            if absent[name] > 0 and self.keys.of(layer) in self.written:
                again[name] += 1
                self.shared.append((layer, here, container))
                continue
            number = counted[name]
            counted[name] += 1
            below = _below(container, f"{name}_{number}" if number else name)
            if self.doubled and (self._has_weights(layer) or self._holds(below)):
                counted[name] += 1
            self._check_name(layer, below)
            self._layer(layer, here, below)
        for name, count in again.items():
            if count > absent[name] and any(
                _python_class(layer) == name and self._has_weights(layer) for layer in model.layers
            ):
                raise ModelFileError(
                    f"{count} layers of class {quote(name)} that other models have too, {absent[name]} of"
                    " which have no place of their own",
                    "layers under different names, so that one can tell which are shared",
                    place=quote(container),
                )

    def _absent(self, model: ModelRecord, container: str) -> Counter[str]:
        """Return, per class, how many layers tf_keras left out of a model because it had met them."""
        if not self.groups:
            return Counter()
        listed = Counter(_python_class(layer) for layer in model.layers)
        return Counter({name: count - self.groups[container, name] for name, count in listed.items()})

    def _check_name(self, layer: LayerRecord, owner: str) -> None:
        recorded = self.weights.names.get(owner)
        if self.same_file and recorded is not None and recorded != layer.name and layer.kind == "layer":
            raise ModelFileError(
                f"weights of {quote(recorded)} where those of {quote(layer.name)} belong", place=quote(owner)
            )

    def _inside(self, owner: str) -> Iterator[str]:
        """Yield an object and the objects inside of it, those that the file has arrays of."""
        if owner in self.weights.arrays:
            yield owner
        for at in range(bisect.bisect_left(self.owners, f"{owner}/"), len(self.owners)):
            if not self.owners[at].startswith(f"{owner}/"):
                return
            yield self.owners[at]

    def _holds(self, owner: str) -> bool:
        return any(True for _ in self._inside(owner))

    def _has_weights(self, layer: LayerRecord) -> bool:
        return any(leaf.slots for leaf in leaves(layer, ""))

    def _layer(self, layer: LayerRecord, path: str, owner: str) -> None:
        if not self._holds(owner) and any(True for _ in leaves(layer, path)):
            self.shared.append((layer, path, owner))
            return
        self.written.setdefault(self.keys.of(layer), []).append(path)
        numbered: dict[str, int] = {}
        for key, inside in layer.inner.items():
            self._layer(inside, f"{path}/.{key}", _below(owner, *_attribute(key, inside, numbered)))
        if layer.model is not None:
            self._model(layer.model, path, owner)
        elif is_open(layer):
            self._custom(layer, path, owner)
        slots = slots_of(layer)
        if slots:
            self._own(Leaf(path, layer, slots), owner)

    def _own(self, leaf: Leaf, owner: str) -> None:
        sources: dict[str, Source] = {}
        groups: dict[tuple[str, ...], list[Slot]] = {}
        for slot in leaf.slots:
            groups.setdefault(slot.owner, []).append(slot)
        for owners, slots in groups.items():
            place = next((_below(owner, name) for name in owners if _below(owner, name) in self.left), None)
            if place is None:
                self.shared.append((leaf.layer, leaf.path, owner))
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
        self.found[leaf.path] = finished(leaf, sources)

    def _custom(self, layer: LayerRecord, path: str, owner: str) -> None:
        made: dict[str, Source] = {}
        for key in self._inside(owner):
            for number, array in enumerate(self.left.pop(key, ())):
                made[f"{key[len(owner) + 1 :]}/{number}".strip("/")] = convert.plain(array)
        self.found[path] = made


def _numbered(owners: Iterable[str]) -> Counter[tuple[str, str]]:
    """Count objects by the list that they are in and the name of their class."""
    counted = Counter[tuple[str, str]]()
    for owner in owners:
        container, _, name = owner.rpartition("/")
        counted[container, re.sub(r"_\d+$", "", name)] += 1
    return counted


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

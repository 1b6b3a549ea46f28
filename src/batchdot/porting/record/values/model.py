"""ModelRecord: layers, and the calls that connect them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from batchdot.porting.record.values.call import Call
from batchdot.porting.record.values.config import TensorRef, Value, refs_in
from batchdot.porting.record.values.frozen_map import EMPTY, FrozenMap
from batchdot.porting.record.values.layer import LayerRecord


@dataclass(frozen=True, slots=True)
class Written:
    """Who wrote a file, as far as it says.

    Attributes:
        by: in words: "Keras 1.2.2", "tf.keras of TensorFlow 2.4", "Keras 3.12.0".
        version: the version as it stands in the file.
        backend: the backend that it names; "" where it names none.
        container: what the file is: "whole model (HDF5)".
        file: its path.
    """

    by: str
    version: str
    backend: str
    container: str
    file: str


@dataclass(frozen=True)
class ModelRecord:
    """A saved model.

    Attributes:
        name: the model's name.
        kind: "functional" or "sequential".
        layers: every layer once, in the order of the file.
        calls: every call, each after those that make its inputs.
        inputs: the inputs: a tuple, or a map where the model takes a dict; an input is a layer's name.
        outputs: the tensors that it returns: one, a tuple, or a map; states may stand in tuples of their own.
        trainable: whether it was trainable when saved.
        has_weights: whether the file came with weights.
        training: what was in the training config, for people.
        notes: what a reader of the record should know, in words.
        written: who wrote it; two records may be equal though different versions wrote them.

    >>> from batchdot.porting import read
    >>> model = read("benchmarks/ported/models/factorization.h5")
    >>> model.layer("match").class_name, model.output_refs, model.problems
    ('Dot', (rating,), ())
    """

    # Set by `batchdot.porting.inspection`, which is above this package.
    describe: ClassVar[Callable[["ModelRecord"], str]] = repr
    """Return the record as text, as `batchdot.porting.inspect` prints it."""

    name: str
    kind: str
    layers: tuple[LayerRecord, ...]
    calls: tuple[Call, ...]
    inputs: "tuple[TensorRef, ...] | FrozenMap[str, TensorRef]"
    outputs: "TensorRef | tuple[Value, ...] | FrozenMap[str, TensorRef]"
    trainable: bool = True
    has_weights: bool = True
    training: FrozenMap[str, Value] = field(default=EMPTY, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    written: Written | None = field(default=None, compare=False)

    def layer(self, name: str) -> LayerRecord:
        """Return a layer by name.

        Raises:
            KeyError: the model has none of that name.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    def all_layers(self) -> Iterator[LayerRecord]:
        """Yield every layer, those of nested models after the layer that they make up."""
        for layer in self.layers:
            yield from _with_inner(layer)

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """The layers that cannot be ported without the user's help, each with the reason."""
        return tuple((layer.name, layer.problem) for layer in self.all_layers() if layer.problem)

    @property
    def input_refs(self) -> tuple[TensorRef, ...]:
        """The inputs in order."""
        return tuple(refs_in(self.inputs))

    @property
    def output_refs(self) -> tuple[TensorRef, ...]:
        """The outputs in order."""
        return tuple(refs_in(self.outputs))

    def __str__(self) -> str:
        return self.describe()


def _with_inner(layer: LayerRecord) -> Iterator[LayerRecord]:
    yield layer
    for inside in layer.inner.values():
        yield from _with_inner(inside)
    if layer.model is not None:
        yield from layer.model.all_layers()

"""The classes of the record: a saved model as frozen values, equal for versions of Keras that agree.

`ModelRecord` holds layers and the calls that connect them; `LayerRecord` one layer, its config with the
defaults of the version that wrote it, and its weights; `Call` one use of a layer. Nothing here knows files.
"""

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K = TypeVar("K")
V = TypeVar("V")

Shape: TypeAlias = "tuple[int | None, ...] | None"
"""Sizes, None where one is unknown (the batch, mostly); None as a whole where not even the rank is known."""

Value: TypeAlias = (
    "bool | int | float | str | tuple[Value, ...] | FrozenMap[str, Value] | Activation | Penalty"
    " | Slice | TensorRef | LayerRecord | Blob | EllipsisIndex | None"
)
"""What a config or an argument may be."""


def _escaped(text: object) -> str:
    """Return text without control characters, which a name in a file may have."""
    shown = str(text)
    return shown if shown.isprintable() else ascii(shown)[1:-1]


class FrozenMap(Mapping[K, V], Generic[K, V]):
    """A dict that cannot be changed, and can be hashed and pickled.

    >>> FrozenMap({"units": 3})["units"]
    3
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        object.__setattr__(self, "_items", dict(items or {}))

    def __getitem__(self, key: K) -> V:
        return self._items[key]  # type: ignore[attr-defined, no-any-return]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)  # type: ignore[attr-defined]

    # Those of `Mapping` are right, and slower.

    def __contains__(self, key: object) -> bool:
        return key in self._items  # type: ignore[attr-defined]

    def items(self) -> ItemsView[K, V]:
        """Return the pairs of keys and values."""
        return self._items.items()  # type: ignore[attr-defined, no-any-return]

    def values(self) -> ValuesView[V]:
        """Return the values."""
        return self._items.values()  # type: ignore[attr-defined, no-any-return]

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a record cannot be changed")

    def __reduce__(self) -> tuple[object, ...]:
        return (FrozenMap, (dict(self),))

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{_escaped(key)}: {value!r}" for key, value in self.items()) + "}"


EMPTY: FrozenMap[str, Any] = FrozenMap()
"""No items."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of one tensor, with every parameter that some version of Keras ever changed.

    Attributes:
        name: Keras's newest name of it; of a custom one, the name in the file.
        parameters: what the function needs beside the tensor: {"slope": 0.2, "offset": 0.5}.
        is_custom: whether it is the user's own, so that a replacement has to be given.
    """

    name: str
    parameters: FrozenMap[str, "Value"] = EMPTY
    is_custom: bool = False

    def __repr__(self) -> str:
        inside = ", ".join(f"{_escaped(key)}={value!r}" for key, value in self.parameters.items())
        return f"{_escaped(self.name)}({inside})" if inside else _escaped(self.name)


@dataclass(frozen=True, slots=True)
class Penalty:
    """A regularizer or a constraint, which matters to training only.

    Attributes:
        name: "L1L2" or the name of a constraint, or of a custom class.
        parameters: its numbers.
    """

    name: str
    parameters: FrozenMap[str, "Value"] = EMPTY


@dataclass(frozen=True, slots=True)
class Slice:
    """``start:stop:step`` of an index."""

    start: "Value"
    stop: "Value"
    step: "Value"


@dataclass(frozen=True, slots=True)
class EllipsisIndex:
    """``...`` of an index."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Something in the file that is not read: code, or an object of another library.

    Attributes:
        what: in words.
    """

    what: str


@dataclass(frozen=True, slots=True, order=True)
class TensorRef:
    """A tensor of a graph: the output of one call of a layer.

    Attributes:
        layer: name of the layer.
        call: number of the call of that layer, from 0.
        output: number of the output of that call, from 0.
    """

    layer: str
    call: int = 0
    output: int = 0

    def __repr__(self) -> str:
        call = f"@{self.call}" if self.call else ""
        return _escaped(self.layer) + call + (f"[{self.output}]" if self.output else "")


@dataclass(frozen=True, slots=True)
class Mask:
    """Which steps of a tensor count, as a formula over tensors; True where a step counts.

    Attributes:
        kind: "not_equal" (tensor != value), "any_not_equal" (any(tensor != value) over the last axis),
            "tensor" (the tensor itself), "input" (what the caller passed along with that input),
            "all" (all of several), "any" (any of several), "concatenate" (along ``axis``),
            "first_step" (of a mask over time, its first step),
            "any_part" (of a mask with axes behind time, whether anything counts along them).
        tensor: what it is made of; None where it is made of masks.
        value: the number compared with.
        masks: what "all", "any" and "concatenate" are made of; None in it stands for "every step counts".
        axis: of "concatenate".
        like: for each of ``masks`` the tensor whose steps it is about, for those that are None.
    """

    kind: str
    tensor: TensorRef | None = None
    value: float = 0.0
    masks: tuple["Mask | None", ...] = ()
    axis: int | None = None
    like: tuple[TensorRef | None, ...] = ()

    def __repr__(self) -> str:
        if self.kind == "not_equal":
            return f"({self.tensor!r} != {self.value:g})"
        if self.kind == "any_not_equal":
            return f"any({self.tensor!r} != {self.value:g}, -1)"
        if self.kind == "tensor":
            return repr(self.tensor)
        if self.kind == "input":
            return f"mask of {self.tensor!r}"
        return f"{self.kind}({', '.join(map(repr, self.masks))})"


@dataclass(frozen=True, slots=True)
class Weight:
    """One array of a layer, in Keras's own layout, read when asked for.

    Two weights are equal if they have the same role, shape, dtype and numbers.

    Attributes:
        role: what it is to the layer: "kernel", "recurrent_kernel", "moving_mean", "query.kernel".
        shape: its sizes.
        dtype: NumPy's name of its numbers, or "bfloat16", whose numbers `read` returns as float32.
        trainable: whether gradients reach it while the layer trains.
        place: where in the file it is, for people.
    """

    role: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    place: str
    _read: "Callable[[], NDArray[np.generic]]" = field(repr=False)

    def read(self) -> "NDArray[np.generic]":
        """Return the numbers, each time anew from the file.

        Raises:
            ModelFileError: they are damaged or not all there.
        """
        return self._read()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Weight):
            return NotImplemented
        mine, yours = (
            (weight.role, weight.shape, weight.dtype, weight.trainable) for weight in (self, other)
        )
        return mine == yours and self.read().tobytes() == other.read().tobytes()

    def __hash__(self) -> int:
        return hash((self.role, self.shape, self.dtype))


@dataclass(frozen=True)
class LayerRecord:
    """One layer: what it is, how it is set, what it has learned.

    Attributes:
        name: unique in its model.
        kind: "layer", "operation" (a function of keras.ops or TensorFlow), "model", or "custom".
        class_name: Keras's newest name of the class; of an operation, the name in keras.ops; of a custom
            layer, the name in the file.
        config: its arguments, complete, by Keras's newest names.
        weights: its arrays by role, in Keras's order.
        inner: layers inside of it by attribute: {"layer": ...} of TimeDistributed, {"cells.0": ...} of RNN.
        model: the nested model, where it is one.
        trainable: whether it was trainable when saved.
        dtype: what it computes in: "float32", "mixed_float16"; None where the file does not say.
        problem: why it cannot be ported unless the user gives a replacement; empty where it can.
        raw: the config as it stands in the file, for a custom layer: what a replacement is given.

    >>> layer = LayerRecord("match", "layer", "Dot", FrozenMap({"axes": (2, 2), "normalize": True}))
    >>> layer.is_a("Dot"), layer.config["axes"], layer.parameters
    (True, (2, 2), 0)
    """

    name: str
    kind: str
    class_name: str
    config: FrozenMap[str, Value] = EMPTY
    weights: FrozenMap[str, Weight] = EMPTY
    inner: FrozenMap[str, "LayerRecord"] = EMPTY
    model: "ModelRecord | None" = None
    trainable: bool = True
    dtype: str | None = None
    problem: str = field(default="", compare=False)
    raw: FrozenMap[str, Value] = field(default=EMPTY, compare=False, repr=False)

    def is_a(self, *class_names: str) -> bool:
        """Whether it is one of Keras's own layers of that name; a user's class may share it."""
        return self.kind == "layer" and self.class_name in class_names

    @property
    def parameters(self) -> int:
        """How many numbers its weights have, those of inner layers and nested models included."""
        count = 0
        for weight in self.all_weights():
            size = 1
            for axis in weight.shape:
                size *= axis
            count += size
        return count

    def all_weights(self) -> Iterator[Weight]:
        """Yield its own weights, then those of what is inside of it."""
        yield from self.weights.values()
        for layer in self.inner.values():
            yield from layer.all_weights()
        if self.model is not None:
            for layer in self.model.layers:
                yield from layer.all_weights()


@dataclass(frozen=True)
class Call:
    """One use of a layer.

    Attributes:
        layer: name of the layer.
        number: which call of that layer, from 0.
        arguments: what it is called with, by parameter name; tensors are `TensorRef`.
        masks: by parameter name, the mask that the layer obeys for that tensor. A layer that obeys none, or
            whose inputs have none, has no entry.
        input_shapes: shapes of the tensors in ``arguments``, in order.
        output_shapes: shapes of what it returns.
        returns: "tensor", "tuple" or "dict".

    >>> call = Call("match", arguments=FrozenMap({"inputs": (TensorRef("user"), TensorRef("item"))}))
    >>> call.tensors(), call.output()
    ((user, item), match)
    """

    layer: str
    number: int = 0
    arguments: FrozenMap[str, Value] = EMPTY
    masks: FrozenMap[str, Mask] = EMPTY
    input_shapes: tuple[Shape, ...] = ()
    output_shapes: tuple[Shape, ...] = (None,)
    returns: str = "tensor"

    def tensors(self) -> tuple[TensorRef, ...]:
        """Return the tensors in the arguments, in order, repeated ones too."""
        return tuple(refs_in(self.arguments))

    def output(self, number: int = 0) -> TensorRef:
        """Return the name of one of its results."""
        return TensorRef(self.layer, self.number, number)


def refs_in(value: object) -> list[TensorRef]:
    """Return the tensors in a value, at any depth."""
    found: list[TensorRef] = []
    _collect(value, found)
    return found


def _collect(value: object, found: list[TensorRef]) -> None:
    if isinstance(value, TensorRef):
        found.append(value)
    elif isinstance(value, tuple):
        for item in value:
            if not isinstance(item, (float, int, str)):
                _collect(item, found)
    elif isinstance(value, FrozenMap):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, Slice):
        _collect((value.start, value.stop, value.step), found)


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

    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from batchdot.porting import read
    >>> relu = {"class_name": "ReLU", "config": {"name": "relu", "batch_input_shape": [None, 3]}}
    >>> net = {"class_name": "Sequential", "config": {"name": "net", "layers": [relu]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "net.json")
    ...     written = file.write_text(json.dumps(net | {"keras_version": "2.15.0"}))
    ...     model = read(file)
    >>> model.layer("relu").class_name, model.output_refs, model.problems
    ('ReLU', (relu,), ())
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

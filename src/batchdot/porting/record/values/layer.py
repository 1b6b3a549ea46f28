"""LayerRecord: one layer, its config with the defaults of the version that wrote it, and its weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchdot.porting.record.values.config import Value
from batchdot.porting.record.values.frozen_map import EMPTY, FrozenMap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from batchdot.porting.record.values.model import ModelRecord


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

"""What a config or an argument may be: numbers, text, tensors, activations, and what is not read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from batchdot.porting.record.values.frozen_map import EMPTY, FrozenMap, escaped

if TYPE_CHECKING:
    from batchdot.porting.record.values.layer import LayerRecord

Shape: TypeAlias = "tuple[int | None, ...] | None"
"""Sizes, None where one is unknown (the batch, mostly); None as a whole where not even the rank is known."""

Value: TypeAlias = (
    "bool | int | float | str | tuple[Value, ...] | FrozenMap[str, Value] | Activation | Penalty"
    " | Slice | TensorRef | LayerRecord | Blob | EllipsisIndex | None"
)
"""What a config or an argument may be."""


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
        inside = ", ".join(f"{escaped(key)}={value!r}" for key, value in self.parameters.items())
        return f"{escaped(self.name)}({inside})" if inside else escaped(self.name)


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
        return escaped(self.layer) + call + (f"[{self.output}]" if self.output else "")


def refs_in(value: object) -> list[TensorRef]:
    """Return the tensors in a value, at any depth."""
    if isinstance(value, TensorRef):
        return [value]
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

"""Call: one use of a layer, with the tensors that go in and the masks that it obeys."""

from dataclasses import dataclass

from batchdot.porting.record.values.config import Shape, TensorRef, Value, refs_in
from batchdot.porting.record.values.frozen_map import EMPTY, FrozenMap


@dataclass(frozen=True, slots=True)
class Mask:
    """Which steps of a tensor count, as a formula over tensors; True where a step counts.

    Attributes:
        kind: "not_equal" (tensor != value), "any_not_equal" (any(tensor != value) over the last axis),
            "tensor" (the tensor itself), "input" (what the caller passed along with that input),
            "all" (all of several), "any" (any of several), "concatenate" (along ``axis``),
            "first_step" (of a mask over time, its first step),
            "any_part" (of a mask with axes behind time, whether anything counts along them),
            "inside" (one that only a nested model knows).
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

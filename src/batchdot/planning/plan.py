"""Plans: how a contraction is run, as a value to print, to keep and to assert on.

`lowering` makes them, a kernel fills in how it runs one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, methodcaller
from typing import Any, TypeAlias

import torch
from torch import Tensor

from batchdot.planning.contraction import Contraction

Run: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Quick: TypeAlias = tuple[Callable[..., Tensor], tuple[Any, ...]]

ROW, MATVEC, VECMAT, MATMUL = "row", "matrix-vector", "vector-matrix", "matrix"


@dataclass(frozen=True, slots=True)
class Operand:
    """What lowering may know of a tensor. ``strides`` is None where they must not be looked at."""

    dtype: torch.dtype
    device: str
    strides: tuple[int, ...] | None

    @classmethod
    def of(cls, tensor: Tensor) -> "Operand":
        """Describe a tensor whose strides can be read."""
        return cls(tensor.dtype, tensor.device.type, tensor.stride())


@dataclass(frozen=True, slots=True)
class View:
    """How a plan looks at an input: permuted, then reshaped, then its last two axes swapped, then cast.

    ``copies`` says that the reshape cannot be a view of this input's strides.
    """

    permute: tuple[int, ...] | None = None
    reshape: tuple[int, ...] | None = None
    swap: bool = False
    copies: bool = False
    cast: torch.dtype | None = None

    @property
    def identity(self) -> bool:
        """Whether the tensor is taken as it is."""
        return self.permute is None and self.reshape is None and self.cast is None and not self.swap

    def shape(self, shape: Sequence[Any]) -> tuple[Any, ...]:
        """Return the shape of a tensor of this shape when it is looked at this way."""
        if self.permute is not None:
            shape = [shape[axis] for axis in self.permute]
        if self.reshape is not None:
            shape = self.reshape
        return (*shape[:-2], shape[-1], shape[-2]) if self.swap else tuple(shape)

    def settle(self) -> Callable[[Tensor], Tensor]:
        """Return the function that looks at a tensor this way, and asks nothing more."""
        steps: list[Callable[[Tensor], Tensor]] = []
        steps += [methodcaller("permute", self.permute)] if self.permute is not None else []
        steps += [methodcaller("reshape", self.reshape)] if self.reshape is not None else []
        steps += [attrgetter("mT")] if self.swap else []
        steps += [methodcaller("to", self.cast)] if self.cast is not None else []
        if len(steps) == 1:
            return steps[0]

        def look(tensor: Tensor) -> Tensor:
            for step in steps:
                tensor = step(tensor)
            return tensor

        return look

    def __call__(self, tensor: Tensor) -> Tensor:
        """Look at a tensor this way."""
        return self.settle()(tensor)

    def __str__(self) -> str:
        steps = [f".permute{self.permute}"] if self.permute is not None else []
        steps += [f".reshape{self.reshape}"] if self.reshape is not None else []
        steps += [".mT"] if self.swap else []
        steps += [f".to({_short(self.cast)})"] if self.cast is not None else []
        return ("".join(steps) or " as it is") + (" (a copy)" if self.copies else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """How one contraction is run on one kind of tensors.

    Attributes:
        contraction: what is computed.
        label: the kind of work, ROW, MATVEC, VECMAT or MATMUL.
        epsilon: floor on the squared norms, None where nothing is normalized.
        x: how x is looked at. ROW: as sample axes, then contracted ones. Otherwise a matrix a sample:
            (B, I, K), or without B where nothing is shared.
        y: how y is looked at. ROW: like x. Otherwise (B, K, J).
        swapped: y is the left factor, (B, 1, K), and x the right one, (B, K, I).
        dims: the axes a ROW sums over.
        output_shape: shape of the result.
        dtype: dtype of the result.
        compute: dtype that products are formed in.
        wide: dtype that norms are formed in.
        x_is: what x is.
        y_is: what y is.
        compiled: whether torch.compile makes code of it, which may call operators of ours.
        rows: samples to a block, None for all at once.
        kernel: name of the kernel that runs it.
        run: the kernel's function, of the two tensors as the user gave them.
        quick: what runs it where nothing differentiates and autocast is off, of the two tensors and of
            options, and these options; None where that is nothing else than ``run``.
        alone: what a thread calls once that is one of several to run this plan on samples of its own,
            whose results are those of one call; None where torch's threads share in every call.
    """

    contraction: Contraction
    label: str
    epsilon: float | None
    x: View
    y: View
    swapped: bool
    dims: tuple[int, ...]
    output_shape: tuple[int, ...]
    dtype: torch.dtype
    compute: torch.dtype
    wide: torch.dtype
    x_is: Operand
    y_is: Operand
    compiled: bool = False
    rows: int | None = None
    kernel: str = ""
    run: Run = field(default=lambda x, y: x, compare=False, repr=False)
    quick: Quick | None = field(default=None, compare=False, repr=False)
    alone: Callable[[], None] | None = field(default=None, compare=False, repr=False)

    @property
    def device(self) -> str:
        """The type of the device."""
        return self.x_is.device

    @property
    def traced(self) -> bool:
        """Whether a compiler watches, so that nothing may depend on strides or sizes."""
        return self.x_is.strides is None or self.y_is.strides is None

    @property
    def copies(self) -> tuple[str, ...]:
        """The inputs that are copied because no view serves."""
        return tuple(name for name, view in (("x", self.x), ("y", self.y)) if view.copies)

    def __str__(self) -> str:
        kind = self.label + (" cosine" if self.epsilon is not None else " product")
        lines = [
            f"{kind} by {self.kernel} on {self.device}: {self.contraction.einsum}",
            f"  x{self.x}",
            f"  y{self.y}",
            f"  result {self.output_shape} {_short(self.dtype)}, products in {_short(self.compute)}",
        ]
        if self.epsilon is not None:
            lines.append(f"  norms in {_short(self.wide)}, squared norm at least {self.epsilon:g}")
        if self.rows is not None:
            lines.append(f"  in blocks of {self.rows} samples")
        return "\n".join(lines)


def looking(
    function: Callable[..., Tensor], x: View, y: View, swapped: bool = False, options: tuple[Any, ...] = ()
) -> Run:
    """Return a function of two tensors that calls another on them as their views look at them.

    What needs no look costs no time: a product of matrices is its operator and nothing around it.

    Args:
        function: what to call, on x and y, or on y and x where they are swapped, and on the options.
        x: how the first tensor is looked at.
        y: how the second one is.
        swapped: whether y comes first.
        options: what else it is called with.
    """
    look_x, look_y = x.settle(), y.settle()
    if swapped:
        return lambda a, b: function(look_y(b), look_x(a), *options)
    if not (x.identity or y.identity):
        return lambda a, b: function(look_x(a), look_y(b), *options)
    if not x.identity:
        return lambda a, b: function(look_x(a), b, *options)
    if not y.identity:
        return lambda a, b: function(a, look_y(b), *options)
    return (lambda a, b: function(a, b, *options)) if options else function


def finishing(run: Run, dtype: torch.dtype | None, shape: tuple[Any, ...] | None) -> Run:
    """Return a function whose result has a dtype and a shape, where run's own has not (None where it has)."""
    if dtype is None:
        return run if shape is None else lambda x, y: run(x, y).reshape(shape)
    return lambda x, y: run(x, y).to(dtype) if shape is None else run(x, y).to(dtype).reshape(shape)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

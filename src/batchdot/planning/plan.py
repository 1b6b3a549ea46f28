"""`Plan`, how to run one contraction, and `Executable`, a plan with the functions that run it.

`batchdot.planning.lowering` makes a plan, a kernel builds an executable from it.

Letters for sizes: B shared (batch), I free in x, J free in y, K contracted. "B..." is one or more axes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter, methodcaller
from typing import Any, TypeAlias

import torch
from torch import Tensor

from batchdot.convert import dtype_name
from batchdot.planning.contraction import Contraction

Run: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A function of x and y, as the user passed them, that returns the result."""

FastPath: TypeAlias = tuple[Callable[..., Tensor], tuple[Any, ...]]
"""A function of x, y and options, and these options."""

VECDOT, MATVEC, VECMAT, MATMUL = "row", "matrix-vector", "vector-matrix", "matrix"
"""Labels of plans: by whether x and y have free axes (I, J) of more than one element.

VECDOT: (B, K), (B, K) -> (B,). MATVEC: (B, I, K), (B, K) -> (B, I). VECMAT: (B, K), (B, K, J) -> (B, J).
MATMUL: (B, I, K), (B, K, J) -> (B, I, J).
"""


@dataclass(frozen=True, slots=True)
class TensorMeta:
    """The dtype, device type and strides of a tensor, which lowering reads in addition to its shape.

    ``strides`` is None where they must not be read: in a trace, or of a subclass of Tensor.
    """

    dtype: torch.dtype
    device: str
    strides: tuple[int, ...] | None

    @classmethod
    def of(cls, tensor: Tensor) -> "TensorMeta":
        """Describe a tensor whose strides can be read."""
        return cls(tensor.dtype, tensor.device.type, tensor.stride())


@dataclass(frozen=True, slots=True)
class View:
    """What to do to an input before it is multiplied: permute, reshape, swap the last two axes, cast.

    Attributes:
        permute: order of the axes, None to leave it.
        reshape: shape after that, None to leave it.
        swap: whether the last two axes are then swapped.
        copies: whether the reshape has to copy, because these strides allow no view.
        cast: dtype to convert to, None to leave it.
    """

    permute: tuple[int, ...] | None = None
    reshape: tuple[int, ...] | None = None
    swap: bool = False
    copies: bool = False
    cast: torch.dtype | None = None

    @property
    def identity(self) -> bool:
        """Whether the tensor is used as it is."""
        return self.permute is None and self.reshape is None and self.cast is None and not self.swap

    def shape(self, shape: Sequence[Any]) -> tuple[Any, ...]:
        """Return the shape that a tensor of this shape has in this view."""
        if self.permute is not None:
            shape = [shape[axis] for axis in self.permute]
        if self.reshape is not None:
            shape = self.reshape
        return (*shape[:-2], shape[-1], shape[-2]) if self.swap else tuple(shape)

    def compile(self) -> Callable[[Tensor], Tensor]:
        """Return a function that applies the view, with all decisions made beforehand."""
        steps: list[Callable[[Tensor], Tensor]] = []
        steps += [methodcaller("permute", self.permute)] if self.permute is not None else []
        steps += [methodcaller("reshape", self.reshape)] if self.reshape is not None else []
        steps += [attrgetter("mT")] if self.swap else []
        steps += [methodcaller("to", self.cast)] if self.cast is not None else []
        if len(steps) == 1:
            return steps[0]

        def apply(tensor: Tensor) -> Tensor:
            for step in steps:
                tensor = step(tensor)
            return tensor

        return apply

    def __str__(self) -> str:
        steps = [f".permute{self.permute}"] if self.permute is not None else []
        steps += [f".reshape{self.reshape}"] if self.reshape is not None else []
        steps += [".mT"] if self.swap else []
        steps += [f".to({dtype_name(self.cast)})"] if self.cast is not None else []
        return ("".join(steps) or " as it is") + (" (a copy)" if self.copies else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """How one contraction is run on tensors of one kind: a value to print, compare and cache.

    Attributes:
        contraction: what is computed.
        label: the form of the product, one of VECDOT, MATVEC, VECMAT and MATMUL.
        epsilon: lower bound on the squared norms, None where nothing is normalized.
        x: view of x. VECDOT: (B..., K...). Otherwise (B, I, K), or (I, K) where nothing is shared.
        y: view of y. VECDOT: (B..., K...). Otherwise (B, K, J), or (K, J) where nothing is shared.
        swapped: whether y is the left factor, (B, 1, K), and x the right one, (B, K, I). See MATVEC in
            `batchdot.planning.lowering`.
        dims: the axes of the views that a VECDOT sums over (K).
        output_shape: shape of the result.
        dtype: dtype of the result.
        compute_dtype: dtype in which products are formed and summed.
        norm_dtype: dtype in which squared norms are summed.
        x_meta: dtype, device and strides of x.
        y_meta: dtype, device and strides of y.
        compiled: whether torch.compile generates code from it; custom operators are allowed then.
        block_size: samples in a block where the work is split along the first shared axis, else None.
        kernel: name of the kernel that runs it, empty before one is chosen.
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
    compute_dtype: torch.dtype
    norm_dtype: torch.dtype
    x_meta: TensorMeta
    y_meta: TensorMeta
    compiled: bool = False
    block_size: int | None = None
    kernel: str = ""

    @property
    def device(self) -> str:
        """The type of the device, as in ``torch.device.type``."""
        return self.x_meta.device

    @property
    def traced(self) -> bool:
        """Whether strides are unknown, as in a trace: nothing may depend on them or on symbolic sizes."""
        return self.x_meta.strides is None or self.y_meta.strides is None

    @property
    def copies(self) -> tuple[str, ...]:
        """The names of the inputs that are copied, because their strides allow no view."""
        return tuple(name for name, view in (("x", self.x), ("y", self.y)) if view.copies)

    def __str__(self) -> str:
        kind = self.label + (" cosine" if self.epsilon is not None else " product")
        result = f"{self.output_shape} {dtype_name(self.dtype)}"
        lines = [
            f"{kind} by {self.kernel} on {self.device}: {self.contraction.einsum}",
            f"  x{self.x}",
            f"  y{self.y}",
            f"  result {result}, products in {dtype_name(self.compute_dtype)}",
        ]
        if self.epsilon is not None:
            lines.append(f"  norms in {dtype_name(self.norm_dtype)}, squared norm at least {self.epsilon:g}")
        if self.block_size is not None:
            lines.append(f"  in blocks of {self.block_size} samples")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, eq=False)
class Executable:
    """A plan with the functions that run it, as a kernel builds them.

    Attributes:
        plan: the plan as this kernel runs it, with the kernel's name and its views.
        run: computes the result from x and y, whatever is differentiated and whether autocast is on.
        fast: what may run instead of ``run`` where nothing is differentiated or transformed and autocast
            is off; None where there is nothing faster.
        single_threaded: what each worker thread calls once before it runs this plan, if several threads
            run it in parallel on separate samples. The bits of the result do not change. None where the
            plan uses PyTorch's own thread pool.
    """

    plan: Plan
    run: Run
    fast: FastPath | None = None
    single_threaded: Callable[[], None] | None = None


def with_views(
    function: Callable[..., Tensor], x: View, y: View, swapped: bool = False, options: tuple[Any, ...] = ()
) -> Run:
    """Return a function of x and y that calls another on their views.

    An identity view costs nothing: where both are, and there are no options, ``function`` is returned.

    Args:
        function: what to call: ``function(x, y, *options)``.
        x: view of x.
        y: view of y.
        swapped: whether to call ``function(y, x, *options)``.
        options: further arguments.
    """
    view_x, view_y = x.compile(), y.compile()
    if swapped:
        return lambda a, b: function(view_y(b), view_x(a), *options)
    if not (x.identity or y.identity):
        return lambda a, b: function(view_x(a), view_y(b), *options)
    if not x.identity:
        return lambda a, b: function(view_x(a), b, *options)
    if not y.identity:
        return lambda a, b: function(a, view_y(b), *options)
    return (lambda a, b: function(a, b, *options)) if options else function


def with_output(run: Run, dtype: torch.dtype | None, shape: tuple[Any, ...] | None) -> Run:
    """Return a function that casts and reshapes what ``run`` returns; None leaves dtype or shape as it is."""
    if dtype is None:
        return run if shape is None else lambda x, y: run(x, y).reshape(shape)
    return lambda x, y: run(x, y).to(dtype) if shape is None else run(x, y).to(dtype).reshape(shape)

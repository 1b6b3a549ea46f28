"""`explain`: describe a `batch_dot` call axis by axis, as einsum, in plain PyTorch and as a diagram."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

import torch
from torch import Tensor

from batchdot.convert import AxesLike, dtype_name
from batchdot.explanation.diagram import Diagram, make_diagram
from batchdot.explanation.svg import to_svg
from batchdot.explanation.text import to_text
from batchdot.ops.arguments import batch_dot_operation
from batchdot.planning.contraction import Contraction, product
from batchdot.types import Pairs, Shape, Size


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one axis of one input: its size, whether it is in the output, and why."""

    operand: str
    axis: int
    size: int | None
    appended: bool
    why: str

    def __str__(self) -> str:
        verdict = "append to the output" if self.appended else "do not append"
        return f"{self.operand}.shape[{self.axis}] = {self.size}: {verdict}, {self.why}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The result of `explain`: ``print`` shows it as text, a notebook as a diagram.

    Attributes:
        x_shape: shape of x; unknown sizes are None.
        y_shape: shape of y.
        axes: contracted pairs (axis of x, axis of y), all non-negative.
        batch_dims: number of leading shared axes.
        normalize: whether slices are normalized first.
        steps: one `Step` for each axis of x, then of y, in the order of Keras's documentation.
        output_shape: shape of the result.
        einsum: the equation, without the trailing 1 of a (B, 1) result.
        plain_torch: an expression of ``x`` and ``y`` in plain PyTorch that computes the same.
        gradients: einsum equations of the gradients of x and y, each from the gradient of the result
            and the other input; of the normalized inputs if ``normalize``.
        multiply_adds: number of multiply-adds, including the norms; None if a size is unknown.
        bytes: size of both inputs and the result in ``dtype``; None if a size is unknown.
        dtype: the dtype of ``bytes``.
    """

    x_shape: Shape
    y_shape: Shape
    axes: Pairs
    batch_dims: int
    normalize: bool
    steps: tuple[Step, ...]
    output_shape: Shape
    einsum: str
    plain_torch: str
    gradients: tuple[str, str]
    multiply_adds: int | None
    bytes: int | None
    dtype: torch.dtype

    def __str__(self) -> str:
        axes = ", ".join(f"{x} with {y}" for x, y in self.axes) or "none"
        what = "cosine of" if self.normalize else "dot product of"
        lines = [
            f"{what} x {self.x_shape} and y {self.y_shape}, summed over axes (x with y): {axes}",
            "",
            *(f"  {step}" for step in self.steps),
        ]
        if self.einsum.endswith("->b"):
            lines.append("  the result would have rank 1: a last axis of size 1 is appended")
        g_x, g_y = self.gradients
        known = self.multiply_adds is not None
        facts = {
            "output shape": self.output_shape,
            "einsum": self.einsum,
            "PyTorch": self.plain_torch,
            "gradients": f"x: {g_x} of (gradient, y)   y: {g_y} of (gradient, x)",
            "multiply-adds": f"{self.multiply_adds:,}" if known else "depends on the unknown sizes",
            f"bytes ({dtype_name(self.dtype)})": f"{self.bytes:,}"
            if self.bytes is not None
            else "depends on the unknown sizes",
        }
        if self.normalize:
            facts["gradients"] = "of the normalized inputs, " + str(facts["gradients"])
        width = max(map(len, facts))
        return "\n".join([*lines, "", *(f"  {name:<{width}}  {value}" for name, value in facts.items())])

    @property
    def walk(self) -> tuple[Step, ...]:
        """Deprecated name of ``steps``."""
        warnings.warn("Explanation.walk is Explanation.steps now.", DeprecationWarning, stacklevel=2)
        return self.steps

    @property
    def diagram(self) -> Diagram:
        """The cells of the diagram and the edges between them, without geometry."""
        shared = tuple((axis, axis) for axis in range(self.batch_dims))
        contraction = Contraction(self.x_shape, self.y_shape, shared, self.axes, expand=True)
        return make_diagram(contraction, self.normalize, self.call)

    @property
    def call(self) -> str:
        """The call of `batch_dot` that is explained, with its axes as pairs of non-negative ones."""
        first, second = (tuple(pair[operand] for pair in self.axes) for operand in (0, 1))
        arguments = ["x", "y", f"axes={self.axes[0] if len(self.axes) == 1 else (first, second)}"]
        if self.batch_dims != 1:
            arguments.append(f"batch_dims={self.batch_dims}")
        if self.normalize:
            arguments.append("normalize=True")
        return f"batch_dot({', '.join(arguments)})"

    def to_text(self, width: int = 80, ascii_only: bool = False) -> str:
        """Render the diagram with box-drawing or ASCII characters, at most ``width`` columns wide."""
        return to_text(self.diagram, width, ascii_only)

    def to_svg(self) -> str:
        """Render the diagram as an SVG document."""
        return to_svg(self.diagram)

    def _repr_svg_(self) -> str:
        return self.to_svg()


def explain(
    x_shape: Sequence[Size] | Tensor,
    y_shape: Sequence[Size] | Tensor,
    axes: AxesLike = None,
    *,
    batch_dims: int = 1,
    normalize: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Explanation:
    """Explain what ``batch_dot`` does to two shapes.

    Args:
        x_shape: shape of x, a sequence of sizes with None for an unknown one; or a tensor.
        y_shape: shape of y, likewise.
        axes: as in `batch_dot`.
        batch_dims: as in `batch_dot`.
        normalize: as in `batch_dot`.
        dtype: the dtype for the number of bytes.

    Returns:
        An explanation, to be printed or read field by field: ``output_shape``, ``einsum``,
        ``plain_torch``, ``gradients``, ``steps``, ``multiply_adds``, ``bytes`` and the arguments.
        ``to_text()`` and ``to_svg()`` draw it.

    Raises:
        AxisError, ValueError, TypeError: as `batch_dot`; TypeError for an argument that is not a shape.

    >>> print(explain((100, 20), (100, 30, 20), (1, 2)))
    dot product of x (100, 20) and y (100, 30, 20), summed over axes (x with y): 1 with 2
    <BLANKLINE>
      x.shape[0] = 100: append to the output, shared by the samples
      x.shape[1] = 20: do not append, summed with y.shape[2]
      y.shape[0] = 100: do not append, shared and already there
      y.shape[1] = 30: append to the output, free in y
      y.shape[2] = 20: do not append, summed with x.shape[1]
    <BLANKLINE>
      output shape     (100, 30)
      einsum           bk,bjk->bj
      PyTorch          torch.einsum('bk,bjk->bj', x, y)
      gradients        x: bj,bjk->bk of (gradient, y)   y: bj,bk->bjk of (gradient, x)
      multiply-adds    60,000
      bytes (float32)  260,000
    """
    contraction = batch_dot_operation(axes, batch_dims=batch_dims, normalize=normalize).contract(
        _parse_shape(x_shape, "x_shape"), _parse_shape(y_shape, "y_shape")
    )
    return Explanation(
        x_shape=contraction.x_shape,
        y_shape=contraction.y_shape,
        axes=contraction.contracted,
        batch_dims=len(contraction.shared),
        normalize=bool(normalize),
        steps=(*_steps(contraction, 0), *_steps(contraction, 1)),
        output_shape=contraction.output_shape,
        einsum=contraction.einsum,
        plain_torch=_plain_torch(contraction, bool(normalize)),
        gradients=_gradients(contraction),
        multiply_adds=_count_multiply_adds(contraction, bool(normalize)),
        bytes=_count_bytes(contraction, dtype),
        dtype=dtype,
    )


def _steps(c: Contraction, operand: int) -> list[Step]:
    me, other = ("x", "y") if operand == 0 else ("y", "x")
    shape = (c.x_shape, c.y_shape)[operand]
    shared = {pair[operand] for pair in c.shared}
    partner = {pair[operand]: pair[1 - operand] for pair in c.contracted}
    steps = []
    for axis, size in enumerate(shape):
        if axis in partner:
            steps.append(Step(me, axis, size, False, f"summed with {other}.shape[{partner[axis]}]"))
        elif axis in shared:
            why = "shared by the samples" if operand == 0 else "shared and already there"
            steps.append(Step(me, axis, size, operand == 0, why))
        else:
            steps.append(Step(me, axis, size, True, f"free in {me}"))
    return steps


def _plain_torch(c: Contraction, normalize: bool) -> str:
    x, y = "x", "y"
    # The floor of a norm is 1e-6, the square root of EPSILON.
    if normalize and not c.contracted:
        x, y = (f"({name} / {name}.abs().clamp_min(1e-6))" for name in (x, y))
    elif normalize:
        x, y = (
            f"torch.nn.functional.normalize({name}, dim={_dims(c, operand)}, eps=1e-6)"
            for operand, name in enumerate((x, y))
        )
    if len(c.contracted) == 1 and len(c.shared) == 1:
        (pair,) = c.contracted
        if len(c.x_shape) == len(c.y_shape) == 2:
            return f"({x} * {y}).sum(1, keepdim=True)"
        if len(c.x_shape) == len(c.y_shape) == 3:
            return f"{x}{'' if pair[0] == 2 else '.mT'} @ {y}{'' if pair[1] == 1 else '.mT'}"
    line = f"torch.einsum('{c.einsum}', {x}, {y})"
    return line + ".unsqueeze(1)" if c.einsum.endswith("->b") else line


def _dims(c: Contraction, operand: int) -> int | tuple[int, ...]:
    dims = tuple(pair[operand] for pair in c.contracted)
    return dims[0] if len(dims) == 1 else dims


def _gradients(c: Contraction) -> tuple[str, str]:
    x, y, out = c.subscripts
    return f"{out},{y}->{x}", f"{out},{x}->{y}"


def _count_multiply_adds(c: Contraction, normalize: bool) -> int | None:
    total = c.multiply_adds
    for shape in (c.x_shape, c.y_shape) if normalize else ():
        size = product(shape)
        total = None if total is None or size is None else total + size
    return total


def _count_bytes(c: Contraction, dtype: torch.dtype) -> int | None:
    sizes = [product(shape) for shape in (c.x_shape, c.y_shape, c.output_shape)]
    return None if None in sizes else sum(size for size in sizes if size is not None) * dtype.itemsize


def _parse_shape(value: object, name: str) -> Shape:
    shape = getattr(value, "shape", value)
    try:
        if isinstance(shape, str | bytes) or not isinstance(shape, Sequence):
            raise TypeError
        sizes = tuple(None if size is None else index(size) for size in shape)
    except TypeError:
        raise TypeError(f"{name} should be a sequence of sizes or None. Received: {value!r}") from None
    if any(size is not None and size < 0 for size in sizes):
        raise ValueError(f"{name} holds a negative size. Received: {value!r}")
    return sizes

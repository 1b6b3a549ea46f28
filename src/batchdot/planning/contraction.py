"""`Contraction`: the axes that two shapes share, the axes that are summed over, and the shape of the result.

A contraction is computed from sizes alone (an int, or None where unknown); it knows no tensors and no
devices. Every answer about shapes comes from it: of eager calls, symbolic calls, `explain` and layers.

Letters for groups of axes: B shared (batch), I free in x, J free in y, K contracted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from string import ascii_lowercase, ascii_uppercase

from batchdot.planning.axes import resolve_axes
from batchdot.types import Axes, Pairs, Shape, Size

LETTERS = {"B": "bacdefgh", "I": "imnopq", "J": "jrstuv", "K": "klwxyz"}
"""Einsum subscripts by group. A group with more axes continues with capitals, then with any free letter."""


@dataclass(frozen=True, slots=True)
class Contraction:
    """A product of two tensors by sample: ``out[b] = tensordot(x[b], y[b], axes)``.

    Attributes:
        x_shape: shape of x; a size is an int, or None where it is unknown.
        y_shape: shape of y.
        shared: pairs (axis of x, axis of y) of batch axes (B).
        contracted: pairs (axis of x, axis of y) that are summed over (K).
        expand: whether a result of rank 1 becomes (B, 1), as in Keras.

    Raises:
        ValueError: two sizes that have to be equal are known and differ.

    >>> c = Contraction.batch_dot((32, 20, 1), (32, 30, 20), (1, 2))
    >>> c.output_shape, c.einsum
    ((32, 1, 30), 'bki,bjk->bij')
    """

    x_shape: Shape
    y_shape: Shape
    shared: Pairs
    contracted: Pairs
    expand: bool = False

    def __post_init__(self) -> None:
        for x_axis, y_axis in self.shared:
            if not _compatible(self.x_shape[x_axis], self.y_shape[y_axis]):
                raise ValueError(
                    "Cannot do batch_dot on inputs with different batch sizes: "
                    f"x.shape[{x_axis}] != y.shape[{y_axis}] "
                    f"({self.x_shape[x_axis]} != {self.y_shape[y_axis]})."
                )
        for x_axis, y_axis in self.contracted:
            if not _compatible(self.x_shape[x_axis], self.y_shape[y_axis]):
                raise ValueError(
                    "Cannot sum over axes of different sizes: "
                    f"x.shape[{x_axis}] != y.shape[{y_axis}] "
                    f"({self.x_shape[x_axis]} != {self.y_shape[y_axis]})."
                )

    @classmethod
    def batch_dot(cls, x_shape: Shape, y_shape: Shape, axes: Axes, batch_dims: int = 1) -> "Contraction":
        """Return the contraction of ``tf.keras.backend.batch_dot``: x (B, ...), y (B, ...).

        Args:
            x_shape: shape of x.
            y_shape: shape of y.
            axes: what `batchdot.planning.axes.check_axes` returned.
            batch_dims: number of leading axes that are shared.

        Raises:
            ValueError: a rank is below 2, no axis is left but the shared ones, or sizes differ.
            AxisError: an axis is outside ``[-rank, rank)``.
        """
        if len(x_shape) < 2 or len(y_shape) < 2:
            raise ValueError("Cannot do batch_dot on inputs with rank < 2.")
        if batch_dims >= min(len(x_shape), len(y_shape)):
            raise ValueError(
                f"batch_dims={batch_dims} leaves no axis to sum over: with inputs of ranks {len(x_shape)} "
                f"and {len(y_shape)} it is at most {min(len(x_shape), len(y_shape)) - 1}."
            )
        shared = tuple((axis, axis) for axis in range(batch_dims))
        contracted = resolve_axes(axes, len(x_shape), len(y_shape), batch_dims)
        return cls(x_shape, y_shape, shared, contracted, expand=True)

    @classmethod
    def numpy_dot(cls, x_shape: Shape, y_shape: Shape) -> "Contraction":
        """Return the contraction of ``numpy.dot``: last axis of x, second-to-last of y or its only one."""
        x_rank, y_rank = len(x_shape), len(y_shape)
        contracted = resolve_axes(None, x_rank, y_rank, batch_dims=0) if x_rank and y_rank else ()
        return cls(x_shape, y_shape, (), contracted)

    @property
    def x_free(self) -> tuple[int, ...]:
        """Axes of x that are neither shared nor contracted (I)."""
        return _others(len(self.x_shape), (x for x, _ in self.shared + self.contracted))

    @property
    def y_free(self) -> tuple[int, ...]:
        """Axes of y that are neither shared nor contracted (J)."""
        return _others(len(self.y_shape), (y for _, y in self.shared + self.contracted))

    @property
    def output_shape(self) -> Shape:
        """Shape of the result, (B..., I..., J...). Sizes unknown in one input come from the other."""
        sizes = [_known(self.x_shape[x], self.y_shape[y]) for x, y in self.shared]
        sizes += [self.x_shape[axis] for axis in self.x_free]
        sizes += [self.y_shape[axis] for axis in self.y_free]
        return (*sizes, 1) if self.expand and len(sizes) == 1 else tuple(sizes)

    @property
    def subscripts(self) -> tuple[str, str, str]:
        """Einsum subscripts of x, of y and of the result, without the trailing axis of size 1."""
        letters = _Letters()
        x_letters, y_letters = [""] * len(self.x_shape), [""] * len(self.y_shape)
        for group, pairs in (("B", self.shared), ("K", self.contracted)):
            for x_axis, y_axis in pairs:
                x_letters[x_axis] = y_letters[y_axis] = letters.take(group)
        for axis in self.x_free:
            x_letters[axis] = letters.take("I")
        for axis in self.y_free:
            y_letters[axis] = letters.take("J")
        out = [x_letters[x] for x, _ in self.shared]
        out += [x_letters[axis] for axis in self.x_free] + [y_letters[axis] for axis in self.y_free]
        return "".join(x_letters), "".join(y_letters), "".join(out)

    @property
    def einsum(self) -> str:
        """Einsum equation, without the trailing axis of size 1."""
        x, y, out = self.subscripts
        return f"{x},{y}->{out}"

    @property
    def multiply_adds(self) -> int | None:
        """Number of multiply-adds, B·I·J·K; None where a size is unknown."""
        sizes = list(self.output_shape)  # B..., I..., J...
        sizes += [_known(self.x_shape[x], self.y_shape[y]) for x, y in self.contracted]
        return product(sizes)


def product(sizes: Sequence[Size]) -> int | None:
    """Return the product of sizes; None where one is unknown, unless another is 0."""
    if 0 in sizes:
        return 0
    return None if None in sizes else prod(size for size in sizes if size is not None)


def _compatible(a: Size, b: Size) -> bool:
    return a is None or b is None or a == b


def _known(a: Size, b: Size) -> Size:
    return b if a is None else a


def _others(rank: int, taken: Iterable[int]) -> tuple[int, ...]:
    used = set(taken)
    return tuple([axis for axis in range(rank) if axis not in used])


class _Letters:
    """Gives out each letter once."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    def take(self, group: str) -> str:
        # LETTERS holds all small letters: capitals first, so that no group takes those of another.
        for letter in LETTERS[group] + ascii_uppercase + ascii_lowercase:
            if letter not in self.used:
                self.used.add(letter)
                return letter
        raise ValueError("Cannot write more than 52 axes as an einsum.")

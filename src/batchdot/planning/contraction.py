"""Contraction: which axes of two shapes are shared, which are summed over, what comes out.

A value that knows sizes (an ``int``, or None where unknown) and nothing of tensors or devices.
Everything that speaks about shapes asks it: eager calls, symbolic calls, `explain`, layers.

Letters for groups of axes, everywhere: B shared, I free in x, J free in y, K contracted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from string import ascii_letters

from batchdot.planning.axes import resolve_axes
from batchdot.types import Axes, Pairs, Shape, Size

LETTERS = {"B": "bacdefgh", "I": "imnopq", "J": "jrstuv", "K": "klwxyz"}
"""The subscripts of an einsum, by group; what a group lacks it takes from the rest of the alphabet."""


@dataclass(frozen=True, slots=True)
class Contraction:
    """Sample by sample, ``out[b] = tensordot(x[b], y[b], axes)``, for any number of shared axes.

    Attributes:
        x_shape: shape of x, of sizes that are ints or None where unknown.
        y_shape: shape of y.
        shared: pairs of axes that stand for the same sample axis (B).
        contracted: pairs of axes that are summed over (K).
        expand: whether an output of rank 1 gets a trailing axis of size 1.

    Raises:
        ValueError: two sizes that must be equal are known and differ.

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
        """Return Keras's batch_dot; a rank-1 result gets a trailing 1.

        Raises:
            ValueError: a rank below 2, fewer than two axes beyond the shared ones, sizes that differ.
            AxisError: an axis outside ``[-rank, rank)``.
        """
        if len(x_shape) < 2 or len(y_shape) < 2:
            raise ValueError("Cannot do batch_dot on inputs with rank < 2.")
        if batch_dims >= min(len(x_shape), len(y_shape)):
            raise ValueError(
                f"batch_dims={batch_dims} leaves no axis to sum over: it has to be less than both ranks, "
                f"{len(x_shape)} and {len(y_shape)}."
            )
        shared = tuple((axis, axis) for axis in range(batch_dims))
        contracted = resolve_axes(axes, len(x_shape), len(y_shape), batch_dims)
        return cls(x_shape, y_shape, shared, contracted, expand=True)

    @classmethod
    def numpy_dot(cls, x_shape: Shape, y_shape: Shape) -> "Contraction":
        """Return numpy.dot's rule: last axis of x with second-to-last of y, or with its only one."""
        x_rank, y_rank = len(x_shape), len(y_shape)
        contracted = resolve_axes(None, x_rank, y_rank, batch_dims=0) if x_rank and y_rank else ()
        return cls(x_shape, y_shape, (), contracted)

    @property
    def x_free(self) -> tuple[int, ...]:
        """The axes of x that are neither shared nor contracted (I)."""
        return _others(len(self.x_shape), (x for x, _ in self.shared + self.contracted))

    @property
    def y_free(self) -> tuple[int, ...]:
        """The axes of y that are neither shared nor contracted (J)."""
        return _others(len(self.y_shape), (y for _, y in self.shared + self.contracted))

    @property
    def output_shape(self) -> Shape:
        """The shape of the result; a shared size is taken from whichever input knows it."""
        sizes = [_known(self.x_shape[x], self.y_shape[y]) for x, y in self.shared]
        sizes += [self.x_shape[axis] for axis in self.x_free]
        sizes += [self.y_shape[axis] for axis in self.y_free]
        return (*sizes, 1) if self.expand and len(sizes) == 1 else tuple(sizes)

    @property
    def subscripts(self) -> tuple[str, str, str]:
        """The einsum subscripts of x, of y and of the result, without the trailing 1."""
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
        """The einsum equation, without the trailing 1 of a rank-1 result."""
        x, y, out = self.subscripts
        return f"{x},{y}->{out}"

    @property
    def multiply_adds(self) -> int | None:
        """Multiply-adds of the contraction, B·I·J·K; None where a size is unknown."""
        sizes = list(self.output_shape)
        sizes += [_known(self.x_shape[x], self.y_shape[y]) for x, y in self.contracted]
        return product(sizes)


def product(sizes: Sequence[Size]) -> int | None:
    """Return the product of sizes, None where one is unknown and none is zero."""
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
    """Hands out each letter once."""

    def __init__(self) -> None:
        self.free = dict.fromkeys(ascii_letters)

    def take(self, group: str) -> str:
        own = [letter for letter in LETTERS[group] if letter in self.free]
        reserved = "".join(LETTERS.values())
        spare = [letter for letter in self.free if letter not in reserved]
        candidates = own or spare or list(self.free)
        if not candidates:
            raise ValueError("Cannot write more than 52 axes as an einsum.")
        del self.free[candidates[0]]
        return candidates[0]

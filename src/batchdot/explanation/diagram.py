"""Picture: what a contraction does to two shapes, as cells and the lines between them; no geometry.

Above the two inputs run the pairs: axes that are summed together, axes that are shared. Below them
runs what survives, down to the output. `picture_text` and `picture_svg` draw it.
"""

from dataclasses import dataclass

from batchdot.planning.contraction import Contraction
from batchdot.types import Size

SHARED, FREE_X, FREE_Y, SUMMED, APPENDED = "B", "I", "J", "K", "1"
"""What an axis is: the letters of `batchdot.planning.contraction`, and the trailing 1 of a (B, 1) result."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One axis of a shape: its role, its letter in the einsum, its size as text."""

    role: str
    letter: str
    size: str


@dataclass(frozen=True, slots=True)
class Pair:
    """An axis of x and one of y that stand for the same index: summed over, or shared."""

    role: str
    letter: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Fall:
    """An axis that is appended to the output: of which input (0 or 1), from where, to where."""

    operand: int
    axis: int
    out: int


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn.

    Attributes:
        x: the axes of x.
        y: the axes of y.
        out: the axes of the output.
        pairs: the pairs, the widest first: drawn from the outside to the inside, no pair that spans
            another one crosses it.
        falls: what goes to the output, in the order of the output. None of them cross.
        einsum: the equation below.
        normalize: whether slices along the summed axes are normalized first.

    >>> from batchdot.planning.axes import read_axes
    >>> picture = draw(Contraction.batch_dot((100, 20), (100, None, 20), read_axes((1, 2))), False)
    >>> picture.out
    (Cell(role='B', letter='b', size='100'), Cell(role='J', letter='j', size='?'))
    >>> [(pair.role, pair.x, pair.y) for pair in picture.pairs]
    [('K', 1, 2), ('B', 0, 0)]
    """

    x: tuple[Cell, ...]
    y: tuple[Cell, ...]
    out: tuple[Cell, ...]
    pairs: tuple[Pair, ...]
    falls: tuple[Fall, ...]
    einsum: str
    normalize: bool

    @property
    def summed(self) -> str:
        """The letters that are summed over, in the order of x."""
        return " and ".join(cell.letter for cell in self.x if cell.role == SUMMED)

    @property
    def note(self) -> str:
        """What is done before anything is summed; empty where nothing is."""
        along = f"along {self.summed}" if self.summed else "number by number"
        return f"x and y are normalized {along} first" if self.normalize else ""

    @property
    def title(self) -> str:
        """What is drawn, in a few words."""
        x, y = (f"({', '.join(cell.size for cell in cells)})" for cells in (self.x, self.y))
        return f"{'Cosine' if self.normalize else 'Dot product'} of x {x} and y {y}"

    @property
    def description(self) -> str:
        """What is drawn, in sentences: for those who do not see it."""
        sentences = [
            f"Axis {pair.x} of x and axis {pair.y} of y, {pair.letter}, are "
            + ("summed away." if pair.role == SUMMED else "shared.")
            for pair in self.pairs
        ]
        for fall in self.falls:
            cell = self.out[fall.out]
            if cell.role != SHARED:
                sentences.append(f"Axis {fall.axis} of {'xy'[fall.operand]}, {cell.letter}, is free.")
        if self.note:
            sentences.insert(0, f"{self.note}.")
        out = ", ".join(cell.size for cell in self.out)
        return " ".join([*sentences, f"The output has the shape ({out}): {self.einsum}."])


def draw(contraction: Contraction, normalize: bool) -> Picture:
    """Return the picture of a contraction."""
    c = contraction
    x_letters, y_letters, out_letters = c.subscripts
    roles_x = _roles(len(c.x_shape), 0, c, FREE_X)
    roles_y = _roles(len(c.y_shape), 1, c, FREE_Y)
    pairs = [Pair(SHARED, x_letters[x], x, y) for x, y in c.shared]
    pairs += [Pair(SUMMED, x_letters[x], x, y) for x, y in c.contracted]
    sources = [(0, x) for x, _ in c.shared]
    sources += [(0, axis) for axis in c.x_free] + [(1, axis) for axis in c.y_free]
    out_roles = [SHARED] * len(c.shared) + [FREE_X] * len(c.x_free) + [FREE_Y] * len(c.y_free)
    if len(c.output_shape) > len(sources):
        out_roles, out_letters = [*out_roles, APPENDED], out_letters + "+"
    return Picture(
        x=_cells(roles_x, x_letters, c.x_shape),
        y=_cells(roles_y, y_letters, c.y_shape),
        out=_cells(out_roles, out_letters, c.output_shape),
        pairs=tuple(sorted(pairs, key=lambda pair: (pair.x - pair.y, pair.x))),
        falls=tuple(Fall(operand, axis, out) for out, (operand, axis) in enumerate(sources)),
        einsum=c.einsum,
        normalize=normalize,
    )


def _roles(rank: int, operand: int, c: Contraction, free: str) -> list[str]:
    roles = [free] * rank
    for role, pairs in ((SHARED, c.shared), (SUMMED, c.contracted)):
        for pair in pairs:
            roles[pair[operand]] = role
    return roles


def _cells(roles: list[str], letters: str, sizes: tuple[Size, ...]) -> tuple[Cell, ...]:
    return tuple(
        Cell(role, letter, "?" if size is None else str(size))
        for role, letter, size in zip(roles, letters, sizes, strict=True)
    )

"""Diagram of a contraction: cells for axes and edges between them, without geometry.

Pairs connect axes of both inputs: shared ones above the cells, contracted ones below, so that the two kinds
never cross. Edges below the inputs lead from axes to the output. `text` and `svg` render it.
"""

from dataclasses import dataclass

from batchdot.planning.contraction import Contraction
from batchdot.types import Size

SHARED, FREE_X, FREE_Y, SUMMED, APPENDED = "B", "I", "J", "K", "1"
"""Roles of axes: the letters of `batchdot.planning.contraction`, and the trailing 1 of a (B, 1) result."""


@dataclass(frozen=True, slots=True)
class Cell:
    """An axis of a shape: its role, its letter in the einsum equation, its size as text."""

    role: str
    letter: str
    size: str


@dataclass(frozen=True, slots=True)
class AxisPair:
    """An axis of x and an axis of y with the same index: contracted or shared."""

    role: str
    letter: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class OutputEdge:
    """An edge from an axis of an input (0 is x, 1 is y) to an axis of the output."""

    operand: int
    axis: int
    out: int


@dataclass(frozen=True, slots=True)
class Diagram:
    """The cells and edges of a diagram.

    Attributes:
        x: the axes of x.
        y: the axes of y.
        out: the axes of the output.
        pairs: the pairs, widest first: nested in this order, a pair does not cross one that it spans.
        output_edges: one edge for each output axis that comes from an input, in the order of the output.
            No two of them cross.
        einsum: the einsum equation, without the trailing 1 of a (B, 1) result.
        normalize: whether slices along the contracted axes are normalized first.
        call: the call, the caption of the diagram; empty for none.

    >>> from batchdot.planning.axes import check_axes
    >>> diagram = make_diagram(Contraction.batch_dot((100, 20), (100, None, 20), check_axes((1, 2))), False)
    >>> diagram.out
    (Cell(role='B', letter='b', size='100'), Cell(role='J', letter='j', size='?'))
    >>> [(pair.role, pair.x, pair.y) for pair in diagram.pairs]
    [('K', 1, 2), ('B', 0, 0)]
    """

    x: tuple[Cell, ...]
    y: tuple[Cell, ...]
    out: tuple[Cell, ...]
    pairs: tuple[AxisPair, ...]
    output_edges: tuple[OutputEdge, ...]
    einsum: str
    normalize: bool
    call: str = ""

    @property
    def shared_pairs(self) -> tuple[AxisPair, ...]:
        """The pairs of shared axes, widest first."""
        return tuple(pair for pair in self.pairs if pair.role == SHARED)

    @property
    def summed_pairs(self) -> tuple[AxisPair, ...]:
        """The pairs of contracted axes, widest first."""
        return tuple(pair for pair in self.pairs if pair.role == SUMMED)

    @property
    def appends(self) -> bool:
        """Whether the output has an axis of size 1 that the einsum equation does not have."""
        return any(cell.role == APPENDED for cell in self.out)

    @property
    def equation(self) -> str:
        """The einsum equation, and what it does not say of the output."""
        return f"{self.einsum} and an appended 1" if self.appends else self.einsum

    @property
    def summed(self) -> str:
        """The letters of the contracted axes, in the order of x."""
        return " and ".join(cell.letter for cell in self.x if cell.role == SUMMED)

    @property
    def normalization(self) -> str:
        """A sentence about normalization; empty if there is none."""
        along = f"along {self.summed}" if self.summed else "number by number"
        return f"x and y are normalized {along} first" if self.normalize else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What cells and edges do not say, in sentences."""
        appended = "the last axis of the output, +, is appended" if self.appends else ""
        return tuple(filter(None, (self.normalization, appended)))

    @property
    def title(self) -> str:
        """The title of the diagram."""
        x, y = (f"({', '.join(cell.size for cell in cells)})" for cells in (self.x, self.y))
        return f"{'Cosine' if self.normalize else 'Dot product'} of x {x} and y {y}"

    @property
    def description(self) -> str:
        """A description in sentences, for screen readers."""
        sentences = [
            f"Axis {pair.x} of x and axis {pair.y} of y, {pair.letter}, are "
            + ("summed away." if pair.role == SUMMED else "shared.")
            for pair in self.pairs
        ]
        for edge in self.output_edges:
            cell = self.out[edge.out]
            if cell.role != SHARED:
                sentences.append(f"Axis {edge.axis} of {'xy'[edge.operand]}, {cell.letter}, is free.")
        if self.normalization:
            sentences.insert(0, f"{self.normalization}.")
        out = ", ".join(cell.size for cell in self.out)
        return " ".join([*sentences, f"The output has the shape ({out}): {self.equation}."])


def make_diagram(contraction: Contraction, normalize: bool, call: str = "") -> Diagram:
    """Return the diagram of a contraction, with a call as its caption."""
    c = contraction
    x_letters, y_letters, out_letters = c.subscripts
    roles_x = _roles(len(c.x_shape), 0, c, FREE_X)
    roles_y = _roles(len(c.y_shape), 1, c, FREE_Y)
    pairs = [AxisPair(SHARED, x_letters[x], x, y) for x, y in c.shared]
    pairs += [AxisPair(SUMMED, x_letters[x], x, y) for x, y in c.contracted]
    sources = [(0, x) for x, _ in c.shared]
    sources += [(0, axis) for axis in c.x_free] + [(1, axis) for axis in c.y_free]
    out_roles = [SHARED] * len(c.shared) + [FREE_X] * len(c.x_free) + [FREE_Y] * len(c.y_free)
    if len(c.output_shape) > len(sources):
        out_roles, out_letters = [*out_roles, APPENDED], out_letters + "+"
    return Diagram(
        x=_cells(roles_x, x_letters, c.x_shape),
        y=_cells(roles_y, y_letters, c.y_shape),
        out=_cells(out_roles, out_letters, c.output_shape),
        pairs=tuple(sorted(pairs, key=lambda pair: (pair.x - pair.y, pair.x))),
        output_edges=tuple(OutputEdge(operand, axis, out) for out, (operand, axis) in enumerate(sources)),
        einsum=c.einsum,
        normalize=normalize,
        call=call,
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

"""Rendering of a diagram as text, with box-drawing or ASCII characters."""

from collections.abc import Sequence
from dataclasses import dataclass

from batchdot.explanation.diagram import SUMMED, AxisPair, Cell, Diagram

GAP = 13
"""Columns between x and y, for the labels of pairs."""

LEFT = 2
"""Columns to the left of x, for its name."""

_ASCII = str.maketrans("─│┌┐└┘├┤┬┴┼", "-|+++++++++")


@dataclass(frozen=True, slots=True)
class _CellRow:
    """A row of adjacent cells: their first columns, and their widths without borders."""

    starts: tuple[int, ...]
    widths: tuple[int, ...]

    @classmethod
    def of(cls, left: int, widths: Sequence[int]) -> "_CellRow":
        starts = [left + sum(widths[:axis]) + axis for axis in range(len(widths))]
        return cls(tuple(starts), tuple(widths))

    @property
    def end(self) -> int:
        """The column after the last border."""
        return self.starts[-1] + self.widths[-1] + 2

    def middle(self, axis: int) -> int:
        """Return the column in which edges meet a cell."""
        return self.starts[axis] + 1 + self.widths[axis] // 2


def to_text(diagram: Diagram, width: int = 80, ascii_only: bool = False) -> str:
    """Render a diagram with box-drawing characters.

    Args:
        diagram: what to render.
        width: maximal number of columns. A wider diagram is rendered without margins in its cells; if it
            is still too wide, a line with the width that it needs is returned instead.
        ascii_only: whether to use ``+``, ``-`` and ``|``.

    Returns:
        Lines without trailing spaces, joined.

    >>> from batchdot import explain
    >>> print(explain((100, 20), (100, 30, 20), axes=(1, 2)).to_text())
               ┌───── sum k ─────────────────┐
         ┌─────│─── b shared ─────┐          │
      ┌──┴──┬──┴─┐             ┌──┴──┬────┬──┴─┐
    x │  b  │ k  │             │  b  │ j  │ k  │ y
      │ 100 │ 20 │             │ 100 │ 30 │ 20 │
      └──┬──┴────┘             └─────┴──┬─┴────┘
         │     ┌────────────────────────┘
      ┌──┴──┬──┴─┐
      │  b  │ j  │ output
      │ 100 │ 30 │
      └─────┴────┘
    """
    for margin in (2, 0):
        drawing = _Drawing(diagram, margin)
        if drawing.width <= width:
            break
    else:
        return f"(the picture takes {drawing.width} columns, and here are {width})"
    text = drawing.render()
    if diagram.note:
        text += f"\n\n{diagram.note}"
    return text.translate(_ASCII) if ascii_only else text


class _Drawing:
    """The characters of a diagram, by row and column."""

    def __init__(self, diagram: Diagram, margin: int) -> None:
        self.diagram, self.margin = diagram, margin
        widths = self._widths()
        self.x = _CellRow.of(LEFT, widths[0])
        self.y = _CellRow.of(self.x.end + GAP, widths[1])
        self.out = _CellRow.of(LEFT, widths[2])
        # The output has the cells of both inputs without the contracted ones: it is never wider.
        self.width = self.y.end + len(" y")
        self.canvas: dict[tuple[int, int], str] = {}

    def _widths(self) -> list[list[int]]:
        """Return the widths of cells. The cells of an edge have the same width at both ends."""
        p = self.diagram
        widths = [[len(cell.size) + self.margin for cell in cells] for cells in (p.x, p.y, p.out)]
        for edge in p.output_edges:
            widest = max(widths[edge.operand][edge.axis], widths[2][edge.out])
            widths[edge.operand][edge.axis] = widths[2][edge.out] = widest
        return widths

    def render(self) -> str:
        p = self.diagram
        top = len(p.pairs)
        self._cells(self.x, p.x, top)
        self._cells(self.y, p.y, top)
        self._write(top + 1, 0, "x")
        self._write(top + 1, self.y.end + 1, "y")
        for lane, pair in enumerate(p.pairs):
            self._pair(pair, lane)
        for lane, pair in enumerate(p.pairs):  # vertical lines are drawn over horizontal ones
            for column in (self.x.middle(pair.x), self.y.middle(pair.y)):
                self._write(top, column, "┴")
                for row in range(lane + 1, top):
                    self._write(row, column, "│")
        bottom = self._output_edges(top + 3)
        self._cells(self.out, p.out, bottom)
        for edge in p.output_edges:
            self._write(bottom, self.out.middle(edge.out), "┴")
        self._write(bottom + 1, self.out.end + 1, "output")
        return self._joined()

    def _cells(self, cell_row: _CellRow, cells: tuple[Cell, ...], row: int) -> None:
        for line, left, between, right in ((0, "┌", "┬", "┐"), (3, "└", "┴", "┘")):
            for axis, (start, width) in enumerate(zip(cell_row.starts, cell_row.widths, strict=True)):
                self._write(row + line, start, (between if axis else left) + "─" * width)
            self._write(row + line, cell_row.end - 1, right)
        for line, texts in ((1, [c.letter for c in cells]), (2, [c.size for c in cells])):
            for start, width, text in zip(cell_row.starts, cell_row.widths, texts, strict=True):
                self._write(row + line, start, "│" + " " * ((width - len(text)) // 2) + text)
            self._write(row + line, cell_row.end - 1, "│")

    def _pair(self, pair: AxisPair, lane: int) -> None:
        left, right = self.x.middle(pair.x), self.y.middle(pair.y)
        self._write(lane, left, "┌" + "─" * (right - left - 1) + "┐")
        name = f" sum {pair.letter} " if pair.role == SUMMED else f" {pair.letter} shared "
        self._write(lane, self.x.end + (GAP - len(name)) // 2, name)

    def _output_edges(self, row: int) -> int:
        """Draw the output edges below a row; return the row of the output's top border."""
        lines = []
        for edge in self.diagram.output_edges:
            cell_row = (self.x, self.y)[edge.operand]
            lines.append((cell_row.middle(edge.axis), self.out.middle(edge.out)))
        lanes: list[int] = []
        for number, (start, end) in enumerate(lines):
            # Edges go left or straight down. Each is below all earlier edges that it would touch.
            before = [lane for lane, (other, _) in zip(lanes, lines[:number], strict=True) if other >= end]
            lanes.append(0 if start == end else 1 + max(before, default=0))  # lane 0: straight down
        bottom = row + 1 + max(1, *lanes)
        for (start, end), lane in zip(lines, lanes, strict=True):
            self._write(row, start, "┬")
            if lane:
                self._write(row + lane, end, "┌" + "─" * (start - end - 1) + "┘")
        for (start, end), lane in zip(lines, lanes, strict=True):
            for line in range(row + 1, bottom):
                if line != row + lane:
                    self._write(line, start if line < row + lane else end, "│")
        return bottom

    def _write(self, row: int, column: int, text: str) -> None:
        for offset, letter in enumerate(text):
            self.canvas[row, column + offset] = letter

    def _joined(self) -> str:
        rows = max(row for row, _ in self.canvas) + 1
        lines = []
        for row in range(rows):
            columns = [column for other, column in self.canvas if other == row]
            line = (self.canvas.get((row, column), " ") for column in range(max(columns, default=-1) + 1))
            lines.append("".join(line).rstrip())
        return "\n".join(lines)

"""Rendering of a diagram as text, with box-drawing or ASCII characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

from batchdot.explanation.diagram import SHARED, AxisPair, Cell, Diagram

GAP = 13
"""Columns between x and y, for the labels of pairs."""

LEFT = 2
"""Columns to the left of x, for its name."""

ROWS = 5
"""Rows of a cell: a border, the axis, its letter, its size, a border."""

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
    """Render a diagram with box-drawing characters, below the call that it shows.

    Args:
        diagram: what to render.
        width: maximal number of columns. A wider diagram is rendered without margins in its cells; if it
            is still too wide, a line with the width that it needs is returned instead. The call and the
            notes are wrapped.
        ascii_only: whether to use ``+``, ``-`` and ``|``.

    Returns:
        Lines without trailing spaces, joined.

    >>> from batchdot import explain
    >>> print(explain((100, 20), (100, 30, 20), axes=(1, 2)).to_text())
    batch_dot(x, y, axes=(1, 2))
    <BLANKLINE>
         ┌───────── b shared ─────┐
      ┌──┴──┬────┐             ┌──┴──┬────┬────┐
      │  0  │ 1  │             │  0  │ 1  │ 2  │ axis
    x │  b  │ k  │             │  b  │ j  │ k  │ y
      │ 100 │ 20 │             │ 100 │ 30 │ 20 │
      └──┬──┴──┬─┘             └─────┴──┬─┴──┬─┘
         │     └───── sum k ────────────│────┘
         │     ┌────────────────────────┘
      ┌──┴──┬──┴─┐
      │  0  │ 1  │
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
    sentences = "\n".join(_wrapped(note, width) for note in diagram.notes)
    text = "\n\n".join(filter(None, (_wrapped(diagram.call, width), drawing.render(), sentences)))
    return text.translate(_ASCII) if ascii_only else text


def _wrapped(text: str, width: int) -> str:
    return fill(text, width, subsequent_indent="    ", break_long_words=False)


class _Drawing:
    """The characters of a diagram, by row and column."""

    def __init__(self, diagram: Diagram, margin: int) -> None:
        self.diagram, self.margin = diagram, margin
        widths = self._widths()
        self.x = _CellRow.of(LEFT, widths[0])
        self.y = _CellRow.of(self.x.end + GAP, widths[1])
        self.out = _CellRow.of(LEFT, widths[2])
        # The output has the cells of both inputs without the contracted ones: it is never wider.
        self.width = self.y.end + len(" axis")
        self.canvas: dict[tuple[int, int], str] = {}

    def _widths(self) -> list[list[int]]:
        """Return the widths of cells. The cells of an edge have the same width at both ends."""
        diagram = self.diagram
        widths = [
            [len(cell.size) + self.margin for cell in cells] for cells in (diagram.x, diagram.y, diagram.out)
        ]
        for edge in diagram.output_edges:
            widest = max(widths[edge.operand][edge.axis], widths[2][edge.out])
            widths[edge.operand][edge.axis] = widths[2][edge.out] = widest
        return widths

    def render(self) -> str:
        diagram = self.diagram
        top = len(diagram.shared_pairs)
        below = top + ROWS  # the row below the inputs
        for cells, cell_row, name in ((diagram.x, self.x, ""), (diagram.y, self.y, "axis")):
            self._cells(cell_row, cells, top)
            self._write(top + 1, cell_row.end + 1, name)
        self._write(top + 2, 0, "x")
        self._write(top + 2, self.y.end + 1, "y")
        self._pairs(diagram.shared_pairs, range(top), top, "┌┐┴")
        deepest = below + len(diagram.summed_pairs) - 1
        self._pairs(diagram.summed_pairs, range(deepest, below - 1, -1), below - 1, "└┘┬")
        bottom = self._output_edges(below, deepest)
        self._cells(self.out, diagram.out, bottom)
        for edge in diagram.output_edges:
            self._write(bottom, self.out.middle(edge.out), "┴")
        self._write(bottom + 2, self.out.end + 1, "output")
        return self._joined()

    def _cells(self, cell_row: _CellRow, cells: tuple[Cell, ...], row: int) -> None:
        for line, left, between, right in ((0, "┌", "┬", "┐"), (ROWS - 1, "└", "┴", "┘")):
            for axis, (start, width) in enumerate(zip(cell_row.starts, cell_row.widths, strict=True)):
                self._write(row + line, start, (between if axis else left) + "─" * width)
            self._write(row + line, cell_row.end - 1, right)
        texts = [(str(axis), cell.letter, cell.size) for axis, cell in enumerate(cells)]
        for line, line_texts in enumerate(zip(*texts, strict=True), 1):
            for start, width, text in zip(cell_row.starts, cell_row.widths, line_texts, strict=True):
                self._write(row + line, start, "│" + " " * ((width - len(text)) // 2) + text)
            self._write(row + line, cell_row.end - 1, "│")

    def _pairs(self, pairs: tuple[AxisPair, ...], lanes: range, border: int, corners: str) -> None:
        """Draw pairs of axes, each in its lane, and join them to the border of the inputs."""
        for pair, lane in zip(pairs, lanes, strict=True):
            left, right = self.x.middle(pair.x), self.y.middle(pair.y)
            self._write(lane, left, corners[0] + "─" * (right - left - 1) + corners[1])
            name = f" {pair.letter} shared " if pair.role == SHARED else f" sum {pair.letter} "
            self._write(lane, self.x.end + (GAP - len(name)) // 2, name)
        for pair, lane in zip(pairs, lanes, strict=True):  # vertical lines are drawn over horizontal ones
            for column in (self.x.middle(pair.x), self.y.middle(pair.y)):
                self._write(border, column, corners[2])
                for row in range(min(lane, border) + 1, max(lane, border)):
                    self._write(row, column, "│")

    def _output_edges(self, first: int, row: int) -> int:
        """Draw the output edges, straight from row `first` to `row`; return the output's first row."""
        lines = []
        for edge in self.diagram.output_edges:
            cell_row = (self.x, self.y)[edge.operand]
            lines.append((cell_row.middle(edge.axis), self.out.middle(edge.out)))
        lanes: list[int] = []
        for number, (start, end) in enumerate(lines):
            # Edges go left or straight down. Each is below all earlier edges that it would touch.
            before = [lane for lane, (other, _) in zip(lanes, lines[:number], strict=True) if other >= end]
            lanes.append(0 if start == end else 1 + max(before, default=0))  # lane 0: straight down
        bottom = row + 1 + max([int(row < first), *lanes])  # at least one row of lines
        for (start, end), lane in zip(lines, lanes, strict=True):
            self._write(first - 1, start, "┬")
            if lane:
                self._write(row + lane, end, "┌" + "─" * (start - end - 1) + "┘")
        for (start, end), lane in zip(lines, lanes, strict=True):
            for line in range(first, bottom):
                if not lane or line != row + lane:
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

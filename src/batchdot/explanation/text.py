"""A picture as text, in box drawing or in ASCII."""

from collections.abc import Sequence
from dataclasses import dataclass

from batchdot.explanation.diagram import SUMMED, Cell, Pair, Picture

GAP = 13
"""Columns between x and y, where the pairs are named."""

LEFT = 2
"""Columns before x, for its name."""

_ASCII = str.maketrans("─│┌┐└┘├┤┬┴┼", "-|+++++++++")


@dataclass(frozen=True, slots=True)
class _Strip:
    """A row of cells, drawn side by side: where each begins, and how wide it is between its walls."""

    starts: tuple[int, ...]
    widths: tuple[int, ...]

    @classmethod
    def of(cls, left: int, widths: Sequence[int]) -> "_Strip":
        starts = [left + sum(widths[:axis]) + axis for axis in range(len(widths))]
        return cls(tuple(starts), tuple(widths))

    @property
    def end(self) -> int:
        """The column behind the last wall."""
        return self.starts[-1] + self.widths[-1] + 2

    def middle(self, axis: int) -> int:
        """Return the column in which lines meet a cell."""
        return self.starts[axis] + 1 + self.widths[axis] // 2


def to_text(picture: Picture, width: int = 80, ascii_only: bool = False) -> str:
    """Draw a picture with box-drawing characters.

    Args:
        picture: what to draw.
        width: columns that it may take. Where it would be wider, cells lose their margins, then
            it is left out, and a line says how wide it would be.
        ascii_only: whether to draw with ``+``, ``-`` and ``|``.

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
    drawing = min(
        (_Drawing(picture, margin) for margin in (2, 0)), key=lambda d: (d.width > width, -d.margin)
    )
    if drawing.width > width:
        return f"(the picture takes {drawing.width} columns, and here are {width})"
    text = drawing.render()
    if picture.note:
        text += f"\n\n{picture.note}"
    return text.translate(_ASCII) if ascii_only else text


class _Drawing:
    """Characters by row and column."""

    def __init__(self, picture: Picture, margin: int) -> None:
        self.picture, self.margin = picture, margin
        widths = self._widths()
        self.x = _Strip.of(LEFT, widths[0])
        self.y = _Strip.of(self.x.end + GAP, widths[1])
        self.out = _Strip.of(LEFT, widths[2])
        self.width = max(self.y.end + 2, self.out.end + len("  output"))
        self.canvas: dict[tuple[int, int], str] = {}

    def _widths(self) -> list[list[int]]:
        """Return how wide cells are. What stands for one index is of one width wherever it is."""
        p = self.picture
        widths = [[len(cell.size) + self.margin for cell in cells] for cells in (p.x, p.y, p.out)]
        for fall in p.falls:
            widest = max(widths[fall.operand][fall.axis], widths[2][fall.out])
            widths[fall.operand][fall.axis] = widths[2][fall.out] = widest
        return widths

    def render(self) -> str:
        p = self.picture
        top = len(p.pairs)
        self._strip(self.x, p.x, top)
        self._strip(self.y, p.y, top)
        self._write(top + 1, 0, "x")
        self._write(top + 1, self.y.end + 1, "y")
        for lane, pair in enumerate(p.pairs):
            self._pair(pair, lane)
        for lane, pair in enumerate(p.pairs):  # what goes up passes over what goes across
            for column in (self.x.middle(pair.x), self.y.middle(pair.y)):
                self._write(top, column, "┴")
                for row in range(lane + 1, top):
                    self._write(row, column, "│")
        bottom = self._falls(top + 3)
        self._strip(self.out, p.out, bottom)
        for fall in p.falls:
            self._write(bottom, self.out.middle(fall.out), "┴")
        self._write(bottom + 1, self.out.end + 1, "output")
        return self._joined()

    def _strip(self, strip: _Strip, cells: tuple[Cell, ...], row: int) -> None:
        for line, left, between, right in ((0, "┌", "┬", "┐"), (3, "└", "┴", "┘")):
            for axis, (start, width) in enumerate(zip(strip.starts, strip.widths, strict=True)):
                self._write(row + line, start, (between if axis else left) + "─" * width)
            self._write(row + line, strip.end - 1, right)
        for line, texts in ((1, [c.letter for c in cells]), (2, [c.size for c in cells])):
            for start, width, text in zip(strip.starts, strip.widths, texts, strict=True):
                self._write(row + line, start, "│" + " " * ((width - len(text)) // 2) + text)
            self._write(row + line, strip.end - 1, "│")

    def _pair(self, pair: Pair, lane: int) -> None:
        left, right = self.x.middle(pair.x), self.y.middle(pair.y)
        self._write(lane, left, "┌" + "─" * (right - left - 1) + "┐")
        name = f" sum {pair.letter} " if pair.role == SUMMED else f" {pair.letter} shared "
        self._write(lane, self.x.end + (GAP - len(name)) // 2, name)

    def _falls(self, row: int) -> int:
        """Draw the lines to the output from a row on; return the row of the output's top."""
        lines = []
        for fall in self.picture.falls:
            strip = (self.x, self.y)[fall.operand]
            lines.append((strip.middle(fall.axis), self.out.middle(fall.out)))
        lanes: list[int] = []
        for number, (start, end) in enumerate(lines):
            # Lines go to the left or straight down: below every line before it that it would touch.
            before = [lane for lane, (other, _) in zip(lanes, lines[:number], strict=True) if other >= end]
            lanes.append(0 if start == end else 1 + max(before, default=0))  # 0: straight down
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

"""Rendering of a diagram as self-contained SVG, readable on light and dark backgrounds.

All small text is on shapes with a fill of their own, so that its contrast does not depend on the background.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from batchdot.explanation.diagram import APPENDED, FREE_X, FREE_Y, SHARED, SUMMED, AxisPair, Cell, Diagram

NORMALIZED = "normalized"  # the role of a caption, in addition to those of cells

# Fill and stroke of each role. Dark text has contrast on the fills, strokes on black and on white.
COLOURS = {
    SHARED: ("#cfe2ff", "#3b82e0"),
    FREE_X: ("#cdeed6", "#2f9e57"),
    FREE_Y: ("#fdeab8", "#c28a0e"),
    SUMMED: ("#ffdcd8", "#e25b50"),
    APPENDED: ("#e8eaee", "#8b919b"),
    NORMALIZED: ("#e6defa", "#8f6fd8"),
}
MEANINGS = {
    SHARED: "shared",
    FREE_X: "free in x",
    FREE_Y: "free in y",
    SUMMED: "summed away",
    APPENDED: "1 appended",
}
TEXT = "#1f2430"
NAME = "#7d838d"
PLAIN = "#e8eaee"

SANS = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
MONO = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

MARGIN = 24
HEIGHT = 80  # height of a cell
LANE = 36  # vertical distance of pairs
GAP = 170  # between x and y, for the labels of pairs
DROP = 92  # from the inputs, or from the last pair below them, to the output
NAME_ROOM = 40  # for the names x and y
PILL = 28  # height of a pill, a label with round ends


@dataclass(frozen=True, slots=True)
class _CellRow:
    """A row of adjacent cells: their left edges and widths."""

    lefts: tuple[float, ...]
    widths: tuple[float, ...]

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> "_CellRow":
        widths = [max(58.0, 26 + 12.5 * len(cell.size)) for cell in cells]
        return cls(tuple(sum(widths[:axis]) for axis in range(len(widths))), tuple(widths))

    def moved(self, by: float) -> "_CellRow":
        return _CellRow(tuple(left + by for left in self.lefts), self.widths)

    @property
    def width(self) -> float:
        return sum(self.widths)

    @property
    def end(self) -> float:
        return self.lefts[-1] + self.widths[-1]

    def middle(self, axis: int) -> float:
        return self.lefts[axis] + self.widths[axis] / 2


def to_svg(diagram: Diagram) -> str:
    """Render a diagram as SVG.

    Args:
        diagram: what to render.

    Returns:
        The document: one ``svg`` element without external references, with a title and a description
        for screen readers.

    >>> from batchdot import explain
    >>> explain((100, 20), (100, 30, 20), axes=(1, 2)).to_svg()[:42]
    '<svg xmlns="http://www.w3.org/2000/svg" ro'
    """
    return _Drawing(diagram).render()


class _Drawing:
    """The SVG elements of a diagram, with the geometry."""

    def __init__(self, diagram: Diagram) -> None:
        self.diagram = diagram
        self.elements: list[str] = []
        captions = ((diagram.call, None), (diagram.normalization, NORMALIZED))
        self.captions = [(text, role) for text, role in captions if text]
        self.equation = diagram.equation.replace("->", " → ").replace(",", ", ")
        roles = {cell.role for cell in (*diagram.x, *diagram.y, *diagram.out)}
        self.legend = [role for role in MEANINGS if role in roles]

        x, y, out = map(_CellRow.of, (diagram.x, diagram.y, diagram.out))
        half = max(  # the output has no more cells than the inputs, and the room of the gap for its name
            NAME_ROOM + (x.width + GAP + y.width) / 2,
            self._legend_width() / 2,
            *(_pill_width(text) / 2 for text in (self.equation, *(text for text, _ in self.captions))),
        )
        self.centre = MARGIN + half
        self.x = x.moved(self.centre - (x.width + GAP + y.width) / 2)
        self.y = y.moved(self.x.end + GAP)
        self.out = out.moved(self.centre - out.width / 2)

        self.top: float = MARGIN + LANE * (len(self.captions) + len(diagram.shared_pairs))
        self.below = self.top + HEIGHT + LANE * len(diagram.summed_pairs)  # where output edges bend
        self.out_top = self.below + DROP
        self.width = 2 * self.centre
        self.height = self.out_top + HEIGHT + 2 * (PILL + 14) + 4 + MARGIN

    def render(self) -> str:
        diagram = self.diagram
        for line, (text, role) in enumerate(self.captions):
            self._pill(self.centre, MARGIN + LANE * line + PILL / 2, text, role)
        above = self.top - LANE * len(diagram.shared_pairs) + PILL / 2
        shared = [(pair, above + LANE * lane, self.top) for lane, pair in enumerate(diagram.shared_pairs)]
        deepest = self.below - PILL / 2
        bottom = self.top + HEIGHT
        summed = [(pair, deepest - LANE * lane, bottom) for lane, pair in enumerate(diagram.summed_pairs)]
        for pair, lane, edge in (*shared, *summed):
            self._bracket(pair, lane, edge)
        for output_edge in diagram.output_edges:  # over the brackets of summed axes
            start = (self.x, self.y)[output_edge.operand].middle(output_edge.axis)
            self._output_edge(start, output_edge.out)
        for pair, lane, _ in (*shared, *summed):
            name = f"Σ {pair.letter}" if pair.role == SUMMED else f"{pair.letter} shared"
            self._pill(self.x.end + GAP / 2, lane, name, pair.role)
        for cell_row, cells, top in (
            (self.x, diagram.x, self.top),
            (self.y, diagram.y, self.top),
            (self.out, diagram.out, self.out_top),
        ):
            for axis, cell in enumerate(cells):
                self._cell(axis, cell, cell_row.lefts[axis], top, cell_row.widths[axis])
        self._name(self.x.lefts[0] - 14, self.top, "x", "end")
        self._name(self.y.end + 14, self.top, "y", "start")
        self._name(self.out.lefts[0] - 14, self.out_top, "output", "end")
        equation = self.out_top + HEIGHT + 18 + PILL / 2
        self._pill(self.centre, equation, self.equation, None)
        self._legend(equation + PILL + 14)
        return self._document()

    def _cell(self, axis: int, cell: Cell, left: float, top: float, width: float) -> None:
        fill, line = COLOURS[cell.role]
        dashes = ' stroke-dasharray="6 4"' if cell.role == SUMMED else ""
        self._add(
            f'<rect x="{left + 2:g}" y="{top:g}" width="{width - 4:g}" height="{HEIGHT}" rx="8" '
            f'fill="{fill}" stroke="{line}" stroke-width="2"{dashes}/>'
        )
        middle = left + width / 2
        self._text(middle, top + 18, f"axis {axis}", 12)
        self._text(middle, top + 42, cell.letter, 18, style=' font-style="italic"')
        self._text(middle, top + 67, cell.size, 19, style=' font-weight="600"')

    def _bracket(self, pair: AxisPair, lane: float, edge: float) -> None:
        """Join two axes by a line that leaves the cells at `edge` and runs along `lane`."""
        left, right = self.x.middle(pair.x), self.y.middle(pair.y)
        line = COLOURS[pair.role][1]
        dashes = ' stroke-dasharray="6 4"' if pair.role == SUMMED else ""
        turn = 10 if lane < edge else -10
        self._add(
            f'<path d="M{left:g} {edge:g}V{lane + turn:g}q0 {-turn} 10 {-turn}H{right - 10:g}'
            f'q10 0 10 {turn}V{edge:g}" fill="none" stroke="{line}" stroke-width="2.5"{dashes}/>'
        )

    def _output_edge(self, start: float, out: int) -> None:
        end, line = self.out.middle(out), COLOURS[self.diagram.out[out].role][1]
        top, bottom = self.top + HEIGHT, self.out_top - 9
        bend = (self.below + bottom) / 2
        self._add(
            f'<path d="M{start:g} {top:g}V{self.below:g}'
            f'C{start:g} {bend:g} {end:g} {bend:g} {end:g} {bottom:g}" '
            f'fill="none" stroke="{line}" stroke-width="2.5"/>'
        )
        self._add(f'<path d="M{end - 6:g} {bottom - 2:g}h12l-6 10z" fill="{line}"/>')

    def _pill(self, middle: float, centre: float, text: str, role: str | None) -> None:
        fill, line = (PLAIN, "none") if role is None else COLOURS[role]
        family = MONO if role is None else SANS
        width = _pill_width(text)
        self._add(
            f'<rect x="{middle - width / 2:g}" y="{centre - PILL / 2:g}" width="{width:g}" height="{PILL}" '
            f'rx="{PILL / 2:g}" fill="{fill}" stroke="{line}" stroke-width="1.5"/>'
        )
        self._text(middle, centre + 5.5, text, 16, style=f' font-family="{family}"')

    def _legend_width(self) -> float:
        return sum(_pill_width(MEANINGS[role]) for role in self.legend) + 10 * (len(self.legend) - 1)

    def _legend(self, centre: float) -> None:
        left = self.centre - self._legend_width() / 2
        for role in self.legend:
            width = _pill_width(MEANINGS[role])
            self._pill(left + width / 2, centre, MEANINGS[role], role)
            left += width + 10

    def _name(self, at: float, top: float, text: str, anchor: str) -> None:
        self._add(
            f'<text x="{at:g}" y="{top + HEIGHT / 2 + 7:g}" font-size="22" font-weight="600" '
            f'text-anchor="{anchor}" fill="{NAME}">{escape(text)}</text>'
        )

    def _text(self, middle: float, baseline: float, text: str, size: int, style: str = "") -> None:
        self._add(
            f'<text x="{middle:g}" y="{baseline:g}" font-size="{size}" text-anchor="middle" '
            f'fill="{TEXT}"{style}>{escape(text)}</text>'
        )

    def _add(self, element: str) -> None:
        self.elements.append(element)

    def _document(self) -> str:
        diagram = self.diagram
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{self.width:g}" '
            f'height="{self.height:g}" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'style="max-width: 100%; height: auto" font-family="{SANS}">'
        )
        about = [f"<title>{escape(diagram.title)}</title>", f"<desc>{escape(diagram.description)}</desc>"]
        return "\n".join([head, *about, *self.elements, "</svg>\n"])


def _pill_width(text: str) -> float:
    """Estimate the width of a pill with text of 16 pixels, for a wide font: the viewer chooses the font."""
    return 16 * 0.6 * len(text) + 26

"""Rendering of a diagram as self-contained SVG, readable on light and dark backgrounds.

All small text is on shapes with a fill of their own, so that its contrast does not depend on the background.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from batchdot.explanation.diagram import APPENDED, FREE_X, FREE_Y, SHARED, SUMMED, AxisPair, Cell, Diagram

# Fill and stroke of each role. Dark text has contrast on the fills, strokes on black and on white.
COLOURS = {
    SHARED: ("#cfe2ff", "#3b82e0"),
    FREE_X: ("#cdeed6", "#2f9e57"),
    FREE_Y: ("#fdeab8", "#c28a0e"),
    SUMMED: ("#ffdcd8", "#e25b50"),
    APPENDED: ("#e8eaee", "#8b919b"),
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
HEIGHT = 66  # height of a cell
LANE = 36  # vertical distance of pairs
GAP = 170  # between x and y, for the labels of pairs
DROP = 92  # from the inputs to the output
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
        note = LANE if diagram.note else 0
        self.top = MARGIN + note + LANE * len(diagram.pairs)
        self.x = _CellRow.of(diagram.x).moved(MARGIN + NAME_ROOM)
        self.y = _CellRow.of(diagram.y).moved(self.x.end + GAP)
        self.centre = (self.x.lefts[0] + self.y.end) / 2
        out = _CellRow.of(diagram.out)
        self.out = out.moved(self.centre - out.width / 2)
        self.out_top = self.top + HEIGHT + DROP
        roles = {cell.role for cell in (*diagram.x, *diagram.y, *diagram.out)}
        self.legend = [role for role in MEANINGS if role in roles]
        self.width = self.y.end + NAME_ROOM + MARGIN
        self.height = self.out_top + HEIGHT + 2 * (PILL + 14) + 4 + MARGIN

    def render(self) -> str:
        p = self.diagram
        if p.note:
            self._pill(self.centre, MARGIN + PILL / 2, p.note, SUMMED if p.summed else None)
        for edge in p.output_edges:
            self._output_edge((self.x, self.y)[edge.operand].middle(edge.axis), edge.out)
        lanes = [self.top - LANE * (len(p.pairs) - lane) + PILL / 2 for lane in range(len(p.pairs))]
        for pair, lane in zip(p.pairs, lanes, strict=True):
            self._bracket(pair, lane)
        for pair, lane in zip(p.pairs, lanes, strict=True):
            name = f"Σ {pair.letter}" if pair.role == SUMMED else f"{pair.letter} shared"
            self._pill(self.x.end + GAP / 2, lane, name, pair.role)
        for cell_row, cells, top in (
            (self.x, p.x, self.top),
            (self.y, p.y, self.top),
            (self.out, p.out, self.out_top),
        ):
            for axis, cell in enumerate(cells):
                self._cell(cell, cell_row.lefts[axis], top, cell_row.widths[axis])
        self._name(self.x.lefts[0] - 14, self.top, "x", "end")
        self._name(self.y.end + 14, self.top, "y", "start")
        self._name(self.out.lefts[0] - 14, self.out_top, "output", "end")
        below = self.out_top + HEIGHT + 18 + PILL / 2
        self._pill(self.centre, below, p.einsum.replace("->", " → ").replace(",", ", "), None)
        self._legend(below + PILL + 14)
        return self._document()

    def _cell(self, cell: Cell, left: float, top: float, width: float) -> None:
        fill, line = COLOURS[cell.role]
        dashes = ' stroke-dasharray="6 4"' if cell.role == SUMMED else ""
        self._add(
            f'<rect x="{left + 2:g}" y="{top:g}" width="{width - 4:g}" height="{HEIGHT}" rx="8" '
            f'fill="{fill}" stroke="{line}" stroke-width="2"{dashes}/>'
        )
        middle = left + width / 2
        self._text(middle, top + 26, cell.letter, 18, style=' font-style="italic"')
        self._text(middle, top + 52, cell.size, 19, style=' font-weight="600"')

    def _bracket(self, pair: AxisPair, lane: float) -> None:
        left, right = self.x.middle(pair.x), self.y.middle(pair.y)
        line = COLOURS[pair.role][1]
        dashes = ' stroke-dasharray="6 4"' if pair.role == SUMMED else ""
        self._add(
            f'<path d="M{left:g} {self.top:g}V{lane + 10:g}q0 -10 10 -10H{right - 10:g}q10 0 10 10'
            f'V{self.top:g}" fill="none" stroke="{line}" stroke-width="2.5"{dashes}/>'
        )

    def _output_edge(self, start: float, out: int) -> None:
        end, line = self.out.middle(out), COLOURS[self.diagram.out[out].role][1]
        top, bottom = self.top + HEIGHT, self.out_top - 9
        bend = (top + bottom) / 2
        self._add(
            f'<path d="M{start:g} {top:g}C{start:g} {bend:g} {end:g} {bend:g} {end:g} {bottom:g}" '
            f'fill="none" stroke="{line}" stroke-width="2.5"/>'
        )
        self._add(f'<path d="M{end - 6:g} {bottom - 2:g}h12l-6 10z" fill="{line}"/>')

    def _pill(self, middle: float, centre: float, text: str, role: str | None) -> None:
        fill, line = (PLAIN, "none") if role is None else COLOURS[role]
        family = MONO if role is None else SANS
        width = _text_width(text) + 26
        self._add(
            f'<rect x="{middle - width / 2:g}" y="{centre - PILL / 2:g}" width="{width:g}" height="{PILL}" '
            f'rx="{PILL / 2:g}" fill="{fill}" stroke="{line}" stroke-width="1.5"/>'
        )
        self._text(middle, centre + 5.5, text, 16, style=f' font-family="{family}"')

    def _legend(self, centre: float) -> None:
        widths = [_text_width(MEANINGS[role]) + 26 for role in self.legend]
        left = self.centre - (sum(widths) + 10 * (len(widths) - 1)) / 2
        for role, width in zip(self.legend, widths, strict=True):
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
        p = self.diagram
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{self.width:g}" '
            f'height="{self.height:g}" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'style="max-width: 100%; height: auto" font-family="{SANS}">'
        )
        about = [f"<title>{escape(p.title)}</title>", f"<desc>{escape(p.description)}</desc>"]
        return "\n".join([head, *about, *self.elements, "</svg>\n"])


def _text_width(text: str) -> float:
    """Estimate the width of a text at 16 pixels, for a wide font: the viewer chooses the font."""
    return 16 * 0.6 * len(text)

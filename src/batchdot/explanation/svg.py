"""A picture as SVG: self-contained, for a slide or a notebook, on a light or a dark background.

All small text stands on shapes of their own colour, so that no background can swallow it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from batchdot.explanation.diagram import APPENDED, FREE_X, FREE_Y, SHARED, SUMMED, Cell, Pair, Picture

# Fill and line of a role. Dark text is readable on the fills, the lines on black and on white.
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
HEIGHT = 66  # of a cell
LANE = 36  # from pair to pair
GAP = 170  # between x and y, where the pairs are named
DROP = 92  # from the inputs to the output
NAME_ROOM = 40  # for x and y
PILL = 28


@dataclass(frozen=True, slots=True)
class _Strip:
    """A row of cells: their left edges, and how wide they are."""

    lefts: tuple[float, ...]
    widths: tuple[float, ...]

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> "_Strip":
        widths = [max(58.0, 26 + 12.5 * len(cell.size)) for cell in cells]
        return cls(tuple(sum(widths[:axis]) for axis in range(len(widths))), tuple(widths))

    def moved(self, by: float) -> "_Strip":
        return _Strip(tuple(left + by for left in self.lefts), self.widths)

    @property
    def width(self) -> float:
        return sum(self.widths)

    @property
    def end(self) -> float:
        return self.lefts[-1] + self.widths[-1]

    def middle(self, axis: int) -> float:
        return self.lefts[axis] + self.widths[axis] / 2


def to_svg(picture: Picture) -> str:
    """Draw a picture as SVG.

    Args:
        picture: what to draw.

    Returns:
        A document in Unicode: one ``svg`` element that refers to nothing outside it, with a title and
        a description for those who do not see it.

    >>> from batchdot import explain
    >>> explain((100, 20), (100, 30, 20), axes=(1, 2)).to_svg()[:42]
    '<svg xmlns="http://www.w3.org/2000/svg" ro'
    """
    return _Drawing(picture).render()


class _Drawing:
    """The elements of an SVG, and where things are."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.elements: list[str] = []
        note = LANE if picture.note else 0
        self.top = MARGIN + note + LANE * len(picture.pairs)
        self.x = _Strip.of(picture.x).moved(MARGIN + NAME_ROOM)
        self.y = _Strip.of(picture.y).moved(self.x.end + GAP)
        self.centre = (self.x.lefts[0] + self.y.end) / 2
        out = _Strip.of(picture.out)
        self.out = out.moved(self.centre - out.width / 2)
        self.out_top = self.top + HEIGHT + DROP
        roles = {cell.role for cell in (*picture.x, *picture.y, *picture.out)}
        self.legend = [role for role in MEANINGS if role in roles]
        self.width = self.y.end + NAME_ROOM + MARGIN
        self.height = self.out_top + HEIGHT + 2 * (PILL + 14) + 4 + MARGIN

    def render(self) -> str:
        p = self.picture
        if p.note:
            self._pill(self.centre, MARGIN + PILL / 2, p.note, SUMMED if p.summed else None)
        for fall in p.falls:
            self._fall((self.x, self.y)[fall.operand].middle(fall.axis), fall.out)
        lanes = [self.top - LANE * (len(p.pairs) - lane) + PILL / 2 for lane in range(len(p.pairs))]
        for pair, lane in zip(p.pairs, lanes, strict=True):
            self._bracket(pair, lane)
        for pair, lane in zip(p.pairs, lanes, strict=True):
            name = f"Σ {pair.letter}" if pair.role == SUMMED else f"{pair.letter} shared"
            self._pill(self.x.end + GAP / 2, lane, name, pair.role)
        for strip, cells, top in (
            (self.x, p.x, self.top),
            (self.y, p.y, self.top),
            (self.out, p.out, self.out_top),
        ):
            for axis, cell in enumerate(cells):
                self._cell(cell, strip.lefts[axis], top, strip.widths[axis])
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

    def _bracket(self, pair: Pair, lane: float) -> None:
        left, right = self.x.middle(pair.x), self.y.middle(pair.y)
        line = COLOURS[pair.role][1]
        dashes = ' stroke-dasharray="6 4"' if pair.role == SUMMED else ""
        self._add(
            f'<path d="M{left:g} {self.top:g}V{lane + 10:g}q0 -10 10 -10H{right - 10:g}q10 0 10 10'
            f'V{self.top:g}" fill="none" stroke="{line}" stroke-width="2.5"{dashes}/>'
        )

    def _fall(self, start: float, out: int) -> None:
        end, line = self.out.middle(out), COLOURS[self.picture.out[out].role][1]
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
        p = self.picture
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{self.width:g}" '
            f'height="{self.height:g}" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'style="max-width: 100%; height: auto" font-family="{SANS}">'
        )
        about = [f"<title>{escape(p.title)}</title>", f"<desc>{escape(p.description)}</desc>"]
        return "\n".join([head, *about, *self.elements, "</svg>\n"])


def _text_width(text: str) -> float:
    """Guess the width of a text of 16 pixels, as in a wide font: which one there is, nobody knows."""
    return 16 * 0.6 * len(text)

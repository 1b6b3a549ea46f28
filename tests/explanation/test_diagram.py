"""Pictures of explain: every line is followed from cell to cell, in box drawing and in the SVG."""

import itertools
import re
from xml.etree import ElementTree

import pytest
import torch
from expecttest import assert_expected_inline
from tests.support.cases import RANKS, enumerate_cases

from batchdot import explain

WIDER = {
    "row": ((32, 128), (32, 128), 1, 1),
    "Q Kᵀ": ((8, 5, 64), (8, 7, 64), 2, 1),
    "rank 4 with rank 4": ((32, 64, 10, 128), (32, 128, 32, 15), (3, 1), 1),
    "several axes": ((8, 3, 4, 5), (8, 5, 3, 6), ((3, 1), (1, 2)), 1),
    "two shared axes": ((32, 12, 64), (32, 12, 64, 9), 2, 2),
    "all shared": ((3, 4, 5, 6, 2), (3, 4, 5, 6, 2), 4, 4),
    "unknown sizes": ((None, 64, None), (7, None, 15), (2, 1), 1),
    "rank 7": ((32, 2, 3, 4, 5, 6, 7), (32, 7, 12, 3, 14, 5, 16), ((6, 2), (1, 3)), 1),
    "nothing summed": ((2, 3), (2, 4), ((), ()), 1),
    "all summed": ((2, 3, 4, 5), (2, 5, 3, 4), ((1, 2, 3), (2, 3, 1)), 1),
    "large sizes": ((1000000, 2048), (1000000, 2048, 30000), 1, 1),
    "rank 20": ((2,) * 20, (2,) * 20, 1, 1),
}


def every_call():
    for x, y, axes, batch_dims in WIDER.values():
        yield explain(x, y, axes, batch_dims=batch_dims)
    for ranks in itertools.product(RANKS, RANKS):
        for case in enumerate_cases(*ranks, sample=1):
            yield explain(*case.tensors(torch.float32), case.axes)


def expected(explanation):
    """What an einsum says about lines: (from, axis) of what falls to each axis of the output; and pairs."""
    x, y, out = re.split(r",|->", explanation.einsum)
    falls = [("x", x.index(letter)) if letter in x else ("y", y.index(letter)) for letter in out]
    pairs = {(x.index(letter), y.index(letter)): letter in out for letter in x if letter in y}
    return falls, pairs


class Drawing:
    """Box drawing as a reader sees it: lines are followed by their shape."""

    def __init__(self, text):
        self.lines = text.split("\n")
        self.x_row = next(n for n, line in enumerate(self.lines) if line.startswith("x "))
        self.out_row = next(n for n, line in enumerate(self.lines) if line.endswith(" output"))
        split = self.lines[self.x_row + 2].index("┘")
        walls = [n for n, letter in enumerate(self.lines[self.x_row]) if letter == "│"]
        self.x = [wall for wall in walls if wall <= split]
        self.y = [wall for wall in walls if wall > split]
        self.out = [n for n, letter in enumerate(self.lines[self.out_row]) if letter == "│"]

    def at(self, row, column):
        line = self.lines[row]
        return line[column] if 0 <= column < len(line) else " "

    def cell(self, column):
        for name, walls in (("x", self.x), ("y", self.y)):
            for axis, (left, right) in enumerate(itertools.pairwise(walls)):
                if left < column < right:
                    return name, axis
        raise AssertionError(column)

    def sizes(self, walls, row):
        return [self.lines[row][a + 1 : b].strip() for a, b in itertools.pairwise(walls)]

    def fall(self, axis):
        """Follow the line from an axis of the output upwards; None where there is none."""
        left, right = self.out[axis : axis + 2]
        columns = [n for n in range(left + 1, right) if self.at(self.out_row - 1, n) == "┴"]
        if not columns:
            return None
        (column,), row = columns, self.out_row - 2
        while row > self.x_row + 2:
            if self.at(row, column) == "┌":
                column += 1
                while self.at(row, column) != "┘":
                    assert self.at(row, column) == "─"
                    column += 1
            else:
                assert self.at(row, column) == "│"
            row -= 1
        assert self.at(row, column) == "┬"
        return self.cell(column)

    def pairs(self):
        """Follow each line above the inputs down from both its ends."""
        found = {}
        for row in range(self.x_row - 1):
            line = self.lines[row]
            ends = line.index("┌"), line.index("┐")
            assert line.count("┌") == line.count("┐") == 1
            for column in ends:
                assert all(self.at(below, column) == "│" for below in range(row + 1, self.x_row - 1))
                assert self.at(self.x_row - 1, column) == "┴"
            (x, x_axis), (y, y_axis) = map(self.cell, ends)
            assert (x, y) == ("x", "y")
            found[x_axis, y_axis] = "shared" in line
            assert ("sum" in line) != ("shared" in line)
        return found


def test_lines_of_the_drawing():
    ran = 0
    for explanation in every_call():
        drawing = Drawing(explanation.to_text(width=10_000))
        falls, pairs = expected(explanation)
        out = [drawing.fall(axis) for axis in range(len(explanation.output_shape))]
        assert out == falls + [None] * (len(out) - len(falls)), explanation.einsum
        assert drawing.pairs() == pairs, explanation.einsum
        for walls, row, shape in (
            (drawing.x, drawing.x_row + 1, explanation.x_shape),
            (drawing.y, drawing.x_row + 1, explanation.y_shape),
            (drawing.out, drawing.out_row + 1, explanation.output_shape),
        ):
            sizes = ["?" if size is None else str(size) for size in shape]
            assert drawing.sizes(walls, row) == sizes
        ran += 1
    assert ran > 200


SVG = "{http://www.w3.org/2000/svg}"


def test_lines_of_the_svg():
    """Cells are the rects that have a letter and a size in them; lines begin and end at their middles."""
    for explanation in every_call():
        root = ElementTree.fromstring(explanation.to_svg())
        cells = {}  # (middle, top or bottom edge): (shape, axis)
        rects = [r for r in root.iter(SVG + "rect") if r.get("height") == "66"]
        sizes = [*explanation.x_shape, *explanation.y_shape, *explanation.output_shape]
        names = [("x", axis) for axis in range(len(explanation.x_shape))]
        names += [("y", axis) for axis in range(len(explanation.y_shape))]
        names += [("out", axis) for axis in range(len(explanation.output_shape))]
        texts = [
            t.text for t in root.iter(SVG + "text") if t.get("font-weight") and t.get("font-size") == "19"
        ]
        assert texts == ["?" if size is None else str(size) for size in sizes]
        for rect, name in zip(rects, names, strict=True):
            x, y, width = (float(rect.get(key)) for key in ("x", "y", "width"))
            cells[round(x + width / 2), round(y)] = cells[round(x + width / 2), round(y) + 66] = name
        falls, pairs = {}, {}
        for path in root.iter(SVG + "path"):
            numbers = [float(number) for number in re.findall(r"-?[\d.]+", path.get("d"))]
            if "C" in path.get("d"):
                start, end = cells[round(numbers[0]), round(numbers[1])], numbers[-2:]
                falls[cells[round(end[0]), round(end[1]) + 9][1]] = start
            elif "V" in path.get("d"):
                top = round(numbers[1])
                right = float(re.search(r"H([\d.]+)", path.get("d"))[1]) + 10
                x, y = cells[round(numbers[0]), top], cells[round(right), top]
                assert (x[0], y[0]) == ("x", "y")
                pairs[x[1], y[1]] = path.get("stroke-dasharray") is None
        expected_falls, expected_pairs = expected(explanation)
        assert falls == dict(enumerate(expected_falls))
        assert pairs == expected_pairs


@pytest.mark.parametrize("call", WIDER.values(), ids=WIDER)
@pytest.mark.parametrize("normalize", [False, True])
def test_the_svg_stays_within_its_frame(call, normalize):
    x, y, axes, batch_dims = call
    root = ElementTree.fromstring(explain(x, y, axes, batch_dims=batch_dims, normalize=normalize).to_svg())
    width, height = float(root.get("width")), float(root.get("height"))
    assert root.get("viewBox") == f"0 0 {width:g} {height:g}"
    for rect in root.iter(SVG + "rect"):
        left, top, w, h = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
        assert left >= 0
        assert top >= 0
        assert left + w <= width
        assert top + h <= height
    for text in root.iter(SVG + "text"):  # the widest fonts take about 0.65 of their size a letter
        length = 0.65 * float(text.get("font-size")) * len(text.text)
        ends = {"end": (-length, 0), "start": (0, length)}.get(
            text.get("text-anchor"), (-length / 2, length / 2)
        )
        assert float(text.get("x")) + ends[0] >= 0
        assert float(text.get("x")) + ends[1] <= width


def test_the_svg_is_read_aloud_and_refers_to_nothing():
    text = explain((None, 20), (100, 30, 20), (1, 2), normalize=True).to_svg()
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert [root[0].tag, root[1].tag] == [SVG + "title", SVG + "desc"]
    assert root[0].text == "Cosine of x (?, 20) and y (100, 30, 20)"
    assert root[1].text == (
        "x and y are normalized along k first. Axis 1 of x and axis 2 of y, k, are summed away. "
        "Axis 0 of x and axis 0 of y, b, are shared. Axis 1 of y, j, is free. "
        "The output has the shape (100, 30): bk,bjk->bj."
    )
    assert not re.search(r"href|url\(|<script|<image|<style|@import|\bid=", text)
    assert text.count("http") == 1  # the name of the format


def luminance(colour):
    parts = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_colours_are_readable_on_light_and_dark():
    """The ratios of the Web Content Accessibility Guidelines: 4.5 for text, 3 for large text."""
    root = ElementTree.fromstring(explain((2, 3, 4), (2, 3, 5), 1, normalize=True).to_svg())
    fills = {rect.get("fill") for rect in root.iter(SVG + "rect")}
    texts = {text.get("fill") for text in root.iter(SVG + "text") if text.get("text-anchor") == "middle"}
    names = {text.get("fill") for text in root.iter(SVG + "text") if text.get("text-anchor") != "middle"}
    lines = {path.get("stroke") for path in root.iter(SVG + "path")} - {None}
    assert all(contrast(text, fill) >= 4.5 for text in texts for fill in fills)
    assert all(contrast(name, ground) >= 3 for name in names for ground in ("#ffffff", "#111111"))
    assert len(lines) == 4
    assert all(contrast(line, ground) >= 2.8 for line in lines for ground in ("#ffffff", "#111111"))


def test_a_notebook_shows_the_picture():
    explanation = explain((2, 3), (2, 3), 1)
    assert explanation._repr_svg_() == explanation.to_svg()


def test_drawn():
    assert_expected_inline(
        explain((32, 64, 10, 128), (32, 128, None, 15), (3, 1), normalize=True).to_text(),
        """\
     ┌─────────────────── b shared ─────┐
     │              ┌────── sum k ──────│────┐
  ┌──┴─┬────┬────┬──┴──┐             ┌──┴─┬──┴──┬───┬────┐
x │ b  │ i  │ m  │  k  │             │ b  │  k  │ j │ r  │ y
  │ 32 │ 64 │ 10 │ 128 │             │ 32 │ 128 │ ? │ 15 │
  └──┬─┴──┬─┴──┬─┴─────┘             └────┴─────┴─┬─┴──┬─┘
     │    │    │   ┌──────────────────────────────┘    │
     │    │    │   │    ┌──────────────────────────────┘
  ┌──┴─┬──┴─┬──┴─┬─┴─┬──┴─┐
  │ b  │ i  │ m  │ j │ r  │ output
  │ 32 │ 64 │ 10 │ ? │ 15 │
  └────┴────┴────┴───┴────┘

x and y are normalized along k first""",
    )
    assert_expected_inline(
        explain((5, 3), (5, 3), 1).to_text(ascii_only=True),
        """\
    +------- b shared ----+
    |   +----- sum k -----|---+
  +-+-+-+-+             +-+-+-+-+
x | b | k |             | b | k | y
  | 5 | 3 |             | 5 | 3 |
  +-+-+---+             +---+---+
    |
  +-+-+---+
  | b | + | output
  | 5 | 1 |
  +---+---+""",
    )


def test_the_drawing_is_as_wide_as_it_may_be():
    explanation = explain(*WIDER["rank 7"][:3])
    widths = [
        max(map(len, explanation.to_text(width).split("\n")))
        for width in (200, 80, 66, 65, 64, 63, 52, 51, 20)
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-2]
    assert all(w <= limit for w, limit in zip(widths[:4], (200, 80, 66, 65), strict=True))
    assert re.fullmatch(r"\(the picture takes \d+ columns, and here are 20\)", explanation.to_text(20))


WIDE_OUTPUTS = {
    "three axes": ((2, 3, 4, 2), (2, 2, 30, 40), (3, 1)),
    "large sizes": ((9, 9999999, 9999999, 2), (9, 2, 8888888, 7777777), (3, 1)),
    "many axes": ((2, 1, 1, 1, 1, 1, 3), (2, 3, 1, 1, 1, 1, 1), (6, 1)),
}


@pytest.mark.parametrize(
    "call", [call[:3] for call in WIDER.values() if call[3] == 1] + [*WIDE_OUTPUTS.values()], ids=str
)
def test_the_drawing_fits_the_columns_that_it_takes(call):
    """A drawing is returned for its own width and not for one column less, with and without margins."""
    explanation = explain(*call)
    with_margins = explanation.to_text(10_000)
    takes = max(map(len, with_margins.split("\n")))
    assert explanation.to_text(takes) == with_margins
    assert explanation.to_text(takes - 1) != with_margins
    least = int(re.search(r"takes (\d+) columns", explanation.to_text(1))[1])
    assert max(map(len, explanation.to_text(least).split("\n"))) == least < takes
    assert explanation.to_text(least - 1) == f"(the picture takes {least} columns, and here are {least - 1})"


@pytest.mark.parametrize("call", WIDER.values(), ids=WIDER)
@pytest.mark.parametrize("normalize", [False, True])
def test_pills_have_round_ends_and_hold_their_text(call, normalize):
    x, y, axes, batch_dims = call
    root = ElementTree.fromstring(explain(x, y, axes, batch_dims=batch_dims, normalize=normalize).to_svg())
    elements = list(root)
    pills = [n for n, e in enumerate(elements) if e.tag == SVG + "rect" and e.get("height") == "28"]
    assert len(pills) > 2
    for n in pills:
        rect, text = elements[n], elements[n + 1]
        left, top, width, height, radius = (float(rect.get(k)) for k in ("x", "y", "width", "height", "rx"))
        assert radius == height / 2
        assert float(text.get("x")) == pytest.approx(left + width / 2, abs=0.1)
        assert top < float(text.get("y")) < top + height
        assert width >= 0.6 * float(text.get("font-size")) * len(text.text) + radius


def test_cells_have_slightly_rounded_corners_and_hold_their_size():
    root = ElementTree.fromstring(explain((1234567, 3), (1234567, 3), 1).to_svg())
    cells = [rect for rect in root.iter(SVG + "rect") if rect.get("height") == "66"]
    assert {rect.get("rx") for rect in cells} == {"8"}
    assert float(cells[0].get("width")) >= 0.6 * 19 * len("1234567") + 16

"""Pictures of explain: every line is followed from cell to cell, in box drawing and in the SVG."""

import itertools
import re
from xml.etree import ElementTree

import pytest
import torch
from expecttest import assert_expected_inline
from tests.support.cases import RANKS, enumerate_cases

from batchdot import explain
from batchdot.explanation.diagram import make_diagram
from batchdot.explanation.svg import to_svg
from batchdot.explanation.text import to_text
from batchdot.planning.contraction import Contraction

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
    "row of matrices": ((32, 20, 6), (32, 20), 1, 1),
    "ones": ((1, 1), (1, 1), 1, 1),
    "ones of rank 3": ((1, 1, 1), (1, 1, 1), (1, 2), 1),
    "crossing sums": ((2, 3, 4), (2, 3, 4), ((1, 2), (1, 2)), 1),
    "many pairs": ((2, 3, 4, 5, 6), (2, 3, 4, 6, 5), ((3, 4), (4, 3)), 3),
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
        self.top, self.bottom = self.x_row - 2, self.x_row + 2  # borders of the inputs
        self.out_row = next(n for n, line in enumerate(self.lines) if line.endswith(" output"))
        split = self.lines[self.bottom].index("┘")
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

    def texts(self, walls, row):
        return [self.lines[row][a + 1 : b].strip() for a, b in itertools.pairwise(walls)]

    def fall(self, axis):
        """Follow the line from an axis of the output upwards; None where there is none."""
        left, right = self.out[axis : axis + 2]
        columns = [n for n in range(left + 1, right) if self.at(self.out_row - 2, n) == "┴"]
        if not columns:
            return None
        (column,), row = columns, self.out_row - 3
        while row > self.bottom:
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
        """Follow each line between the inputs from both its ends: shared ones above, summed ones below."""
        found = {}
        for row, line in enumerate(self.lines):
            shared = re.search(r" \w shared ", line)
            summed = re.search(r" sum \w ", line)
            if not shared and not summed:
                continue
            corners, border, meets = ("┌┐", self.top, "┴") if shared else ("└┘", self.bottom, "┬")
            assert (row < self.top) if shared else (row > self.bottom)
            label = line.index("shared" if shared else "sum")
            ends = line.rindex(corners[0], 0, label), line.index(corners[1], label)
            between = range(min(row, border) + 1, max(row, border))
            for column in ends:
                assert all(self.at(other, column) == "│" for other in between)
                assert self.at(border, column) == meets
            run = line[ends[0] + 1 : ends[1]].replace((shared or summed)[0], "")
            assert set(run) <= {"─", "│"}  # a label whole, and lines that cross
            (x, x_axis), (y, y_axis) = map(self.cell, ends)
            assert (x, y) == ("x", "y")
            found[x_axis, y_axis] = bool(shared)
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
            (drawing.x, drawing.x_row, explanation.x_shape),
            (drawing.y, drawing.x_row, explanation.y_shape),
            (drawing.out, drawing.out_row, explanation.output_shape),
        ):
            sizes = ["?" if size is None else str(size) for size in shape]
            assert drawing.texts(walls, row - 1) == [str(axis) for axis in range(len(shape))]
            assert drawing.texts(walls, row + 1) == sizes
        ran += 1
    assert ran > 200


SVG = "{http://www.w3.org/2000/svg}"


def test_lines_of_the_svg():
    """Cells are the rects that have a letter and a size in them; lines begin and end at their middles."""
    for explanation in every_call():
        root = ElementTree.fromstring(explanation.to_svg())
        cells = {}  # (middle, top or bottom edge): (shape, axis)
        rects = [r for r in root.iter(SVG + "rect") if r.get("height") == "80"]
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
            cells[round(x + width / 2), round(y)] = cells[round(x + width / 2), round(y) + 80] = name
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


class Box:
    """The rectangle of an element: left, top, right, bottom."""

    def __init__(self, left, top, width, height):
        self.left, self.top, self.right, self.bottom = left, top, left + width, top + height

    def overlaps(self, other, by=0.0):
        across = min(self.right, other.right) - max(self.left, other.left)
        return across > by and min(self.bottom, other.bottom) - max(self.top, other.top) > by

    def holds(self, other):
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def __repr__(self):
        return f"{self.left:g}:{self.right:g} x {self.top:g}:{self.bottom:g}"


class Picture:
    """An SVG as shapes on a plane."""

    def __init__(self, text):
        root = ElementTree.fromstring(text)
        width, height = float(root.get("width")), float(root.get("height"))
        assert root.get("viewBox") == f"0 0 {width:g} {height:g}"
        self.frame = Box(0, 0, width, height)
        rects = list(root.iter(SVG + "rect"))
        self.cells = [self.box(rect) for rect in rects if rect.get("height") == "80"]
        self.pills = [self.box(rect) for rect in rects if rect.get("height") == "28"]
        assert len(self.cells) + len(self.pills) == len(rects)
        self.texts = [(text.text, self.extent(text)) for text in root.iter(SVG + "text")]
        paths = list(root.iter(SVG + "path"))
        lines = [path for path in paths if path.get("fill") == "none"]
        self.summed = [self.points(path) for path in lines if path.get("stroke-dasharray")]
        self.falls = [self.points(path) for path in lines if "C" in path.get("d")]
        self.shared = [p for p in map(self.points, lines) if p not in self.summed and p not in self.falls]
        self.arrows = [self.points(path) for path in paths if path not in lines]

    @staticmethod
    def box(rect):
        return Box(*(float(rect.get(key)) for key in ("x", "y", "width", "height")))

    @staticmethod
    def extent(text):
        """The box of a text, in a wide font, 0.6 of its size a letter, around its base line."""
        size = float(text.get("font-size"))
        length, at, base = 0.6 * size * len(text.text), float(text.get("x")), float(text.get("y"))
        left = {"end": at - length, "start": at}.get(text.get("text-anchor"), at - length / 2)
        return Box(left, base - 0.75 * size, length, size)

    @staticmethod
    def points(path):
        """Points of a path, close to one another on its lines and curves."""
        corners = []
        for command, numbers in re.findall(r"([MVHqChlz])([-\d. ]*)", path.get("d")):
            n = [float(number) for number in numbers.split()]
            x, y = corners[-1] if corners else (0.0, 0.0)
            if command == "C":
                steps = [step / 20 for step in range(1, 21)]
                mix = [((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3) for t in steps]
                xs, ys = (x, *n[0::2]), (y, *n[1::2])
                dots = [[sum(a * b for a, b in zip(m, v, strict=True)) for v in (xs, ys)] for m in mix]
                corners += [tuple(dot) for dot in dots]
            elif command in "MVH":
                corners.append({"M": tuple(n), "V": (x, n[-1]), "H": (n[0], y)}[command])
            elif command != "z":  # relative to where the line is
                corners.append((x + n[0], y) if command == "h" else (x + n[-2], y + n[-1]))
        shares = [n / 50 for n in range(51)]
        return [
            (a + (c - a) * t, b + (d - b) * t)
            for (a, b), (c, d) in itertools.pairwise(corners)
            for t in shares
        ]


def inside(point, box, by=1.0):
    return box.left + by < point[0] < box.right - by and box.top + by < point[1] < box.bottom - by


def svgs():
    for name, (x, y, axes, batch_dims) in WIDER.items():
        for normalize in (False, True):
            e = explain(x, y, axes, batch_dims=batch_dims, normalize=normalize)
            yield pytest.param(e.to_svg(), id=f"{name}, normalize={normalize}")
    for x, y in (((3, 4), (4, 5)), ((2, 3, 4), (5, 4, 6)), ((4,), (4, 5)), ((2, 4), (4,))):
        diagram = make_diagram(Contraction.numpy_dot(x, y), False, "dot(x, y)")
        yield pytest.param(to_svg(diagram), id=f"dot, {x} {y}")


@pytest.mark.parametrize("svg", [*svgs()])
def test_nothing_in_the_svg_overlaps_or_leaves_its_frame(svg):
    picture = Picture(svg)
    shapes = [*picture.cells, *picture.pills]
    names = [box for text, box in picture.texts if text in ("x", "y", "output")][-3:]
    for a, b in itertools.combinations([*shapes, *names], 2):
        assert not a.overlaps(b), (a, b)
    assert all(picture.frame.holds(box) for box in (*shapes, *(box for _, box in picture.texts)))
    for text, box in picture.texts:
        holders = [shape for shape in shapes if shape.overlaps(box)]
        assert box in names or (len(holders) == 1 and holders[0].holds(box)), (text, box, holders)
    for a, b in itertools.combinations([box for _, box in picture.texts], 2):
        assert not a.overlaps(b), (a, b)


@pytest.mark.parametrize("svg", [*svgs()])
def test_lines_of_the_svg_run_beside_cells_and_labels(svg):
    picture = Picture(svg)
    top, bottom = picture.cells[0].top, picture.cells[0].bottom
    for line in (*picture.shared, *picture.summed, *picture.falls, *picture.arrows):
        assert not any(inside(point, cell) for point in line for cell in picture.cells)
        labels = [pill for pill in picture.pills if any(inside(point, pill) for point in line)]
        assert len(labels) == (line in picture.shared or line in picture.summed), labels
        assert all(inside(point, picture.frame) for point in line)
    assert all(y <= top for line in picture.shared for _, y in line)
    assert all(y >= bottom for line in (*picture.summed, *picture.falls) for _, y in line)
    lanes = [{y for _, y in line} for line in (*picture.shared, *picture.summed)]
    deepest = [max(lane, key=lambda y: abs(y - (top + bottom) / 2)) for lane in lanes]
    assert len(set(deepest)) == len(deepest)  # a lane each
    for line, lane in zip((*picture.shared, *picture.summed), deepest, strict=True):
        assert sum(y == lane for _, y in line) > 50  # the lane is the farthest that a line goes


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
    note = next(n for n, e in enumerate(root) if (e.text or "").startswith("x and y are normalized"))
    summed = next(rect for rect in root.iter(SVG + "rect") if rect.get("stroke-dasharray"))
    assert root[note - 1].get("fill") != summed.get("fill")
    assert root[note - 1].get("stroke") != summed.get("stroke")
    assert all(contrast(line, ground) >= 2.8 for line in lines for ground in ("#ffffff", "#111111"))


def test_a_notebook_shows_the_picture():
    explanation = explain((2, 3), (2, 3), 1)
    assert explanation._repr_svg_() == explanation.to_svg()


def test_drawn():
    assert_expected_inline(
        explain((32, 64, 10, 128), (32, 128, None, 15), (3, 1), normalize=True).to_text(),
        """\
batch_dot(x, y, axes=(3, 1), normalize=True)

     ┌─────────────────── b shared ─────┐
  ┌──┴─┬────┬────┬─────┐             ┌──┴─┬─────┬───┬────┐
  │ 0  │ 1  │ 2  │  3  │             │ 0  │  1  │ 2 │ 3  │ axis
x │ b  │ i  │ m  │  k  │             │ b  │  k  │ j │ r  │ y
  │ 32 │ 64 │ 10 │ 128 │             │ 32 │ 128 │ ? │ 15 │
  └──┬─┴──┬─┴──┬─┴──┬──┘             └────┴──┬──┴─┬─┴──┬─┘
     │    │    │    └────── sum k ───────────┘    │    │
     │    │    │   ┌──────────────────────────────┘    │
     │    │    │   │    ┌──────────────────────────────┘
  ┌──┴─┬──┴─┬──┴─┬─┴─┬──┴─┐
  │ 0  │ 1  │ 2  │ 3 │ 4  │
  │ b  │ i  │ m  │ j │ r  │ output
  │ 32 │ 64 │ 10 │ ? │ 15 │
  └────┴────┴────┴───┴────┘

x and y are normalized along k first""",
    )
    assert_expected_inline(
        explain((5, 3), (5, 3), 1).to_text(ascii_only=True),
        """\
batch_dot(x, y, axes=(1, 1))

    +------- b shared ----+
  +-+-+---+             +-+-+---+
  | 0 | 1 |             | 0 | 1 | axis
x | b | k |             | b | k | y
  | 5 | 3 |             | 5 | 3 |
  +-+-+-+-+             +---+-+-+
    |   +----- sum k ---------+
  +-+-+---+
  | 0 | 1 |
  | b | + | output
  | 5 | 1 |
  +---+---+

the last axis of the output, +, is appended""",
    )


def columns(text):
    """The columns that a drawing takes, its call and notes apart; or those of what is said instead."""
    blocks = text.split("\n\n")
    drawing = next((block for block in blocks if " output" in block and "┌" in block), blocks[0])
    return max(map(len, drawing.split("\n")))


def test_the_drawing_is_as_wide_as_it_may_be():
    explanation = explain(*WIDER["rank 7"][:3])
    widths = [columns(explanation.to_text(width)) for width in (200, 80, 66, 65, 64, 63, 52, 51, 20)]
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
    takes = columns(with_margins)
    assert columns(explanation.to_text(takes)) == takes
    assert columns(explanation.to_text(takes - 1)) < takes
    least = int(re.search(r"takes (\d+) columns", explanation.to_text(1))[1])
    assert columns(explanation.to_text(least)) == least < takes
    assert explanation.to_text(least - 1) == f"(the picture takes {least} columns, and here are {least - 1})"


CALLS = {
    "batch_dot(x, y, axes=(1, 2))": ((2, 3), (2, 4, 3), -1, 1, False),
    "batch_dot(x, y, axes=(1, 1), normalize=True)": ((2, 3), (2, 3), 1, 1, True),
    "batch_dot(x, y, axes=((3, 1), (1, 2)))": ((8, 3, 4, 5), (8, 5, 3, 6), ((3, 1), (1, 2)), 1, False),
    "batch_dot(x, y, axes=(2, 2), batch_dims=2)": ((2, 3, 4), (2, 3, 4), 2, 2, False),
    "batch_dot(x, y, axes=((), ()))": ((2, 3), (2, 4), ((), ()), 1, False),
}


@pytest.mark.parametrize(("call", "arguments"), CALLS.items(), ids=str)
def test_the_caption_is_a_call_that_says_the_same(call, arguments):
    x, y, axes, batch_dims, normalize = arguments
    explanation = explain(x, y, axes, batch_dims=batch_dims, normalize=normalize)
    assert explanation.call == call
    assert explanation.to_text().startswith(f"{call}\n\n")
    assert call in explanation.to_svg()
    again = eval(call.replace("batch_dot(x, y", "explain(x, y"), {"explain": explain, "x": x, "y": y})
    assert again == explanation


def test_a_long_caption_is_wrapped():
    explanation = explain((2, 3, 4, 5, 6), (2, 6, 5, 4, 3), ((1, 2, 3, 4), (4, 3, 2, 1)), normalize=True)
    caption = explanation.to_text(60).split("\n\n")[0]
    assert caption.split("\n") == [
        "batch_dot(x, y, axes=((1, 2, 3, 4), (4, 3, 2, 1)),",
        "    normalize=True)",
    ]


@pytest.mark.parametrize(("x", "y", "appends"), [((2, 3), (2, 3), True), ((2, 3), (2, 3, 1), False)])
def test_picture_and_einsum_agree_about_the_appended_axis(x, y, appends):
    """The row dot has an axis that its einsum has not: text, SVG and description say so."""
    explanation = explain(x, y, 1)
    assert explanation.output_shape == (2, 1)
    assert (len(explanation.einsum.split("->")[1]) == 1) is appends
    assert ("the last axis of the output, +, is appended" in explanation.to_text()) is appends
    svg = explanation.to_svg()
    assert ("bk, bk → b and an appended 1" in svg) is appends
    assert ("bk,bk-&gt;b and an appended 1." in svg) is appends


def test_a_diagram_of_dot_has_no_shared_axes():
    diagram = make_diagram(Contraction.numpy_dot((2, 3), (3, 4)), False)
    assert_expected_inline(
        to_text(diagram),
        """\
  ┌───┬───┐             ┌───┬───┐
  │ 0 │ 1 │             │ 0 │ 1 │ axis
x │ i │ k │             │ k │ j │ y
  │ 2 │ 3 │             │ 3 │ 4 │
  └─┬─┴─┬─┘             └─┬─┴─┬─┘
    │   └───── sum k ─────┘   │
    │   ┌─────────────────────┘
  ┌─┴─┬─┴─┐
  │ 0 │ 1 │
  │ i │ j │ output
  │ 2 │ 4 │
  └───┴───┘""",
    )


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
    cells = [rect for rect in root.iter(SVG + "rect") if rect.get("height") == "80"]
    assert {rect.get("rx") for rect in cells} == {"8"}
    assert float(cells[0].get("width")) >= 0.6 * 19 * len("1234567") + 16

"""How axes and shapes are written on the command line."""

import pytest

from batchdot.cli.shapes import parse_axes, parse_shape


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("1", 1),
        (" -2 ", -2),
        ("[1]", 1),
        ("1,2", (1, 2)),
        ("-1, -2", (-1, -2)),
        ("[1, 2]", (1, 2)),
        ("1+2", ((1, 2), (1, 2))),
        ("1+-1,2 + 1", ((1, -1), (2, 1))),
        ("1+2,3", ((1, 2), 3)),
    ],
)
def test_axes_are_read(text, axes):
    assert parse_axes(text) == axes


@pytest.mark.parametrize(
    "text", ["", "1,", ",1", "1,,2", "(1,2", "1.0", "+", "1+", "--1", "1 2", "９", "9" * 19, "()"]
)
def test_axes_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="cannot parse the axes"):
        parse_axes(text)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("()", ()),
        ("(3,)", (3,)),
        ("3", (3,)),
        ("3, ?,None", (3, None, None)),
        ("[ 0 ,1 ]", (0, 1)),
        (" (4 , )", (4,)),
    ],
)
def test_shapes_are_read(text, shape):
    assert parse_shape(text) == shape


@pytest.mark.parametrize(
    "text", ["", ",", "(,)", "3,,4", "(3", "3)", "none", "3 4", "-1", "1e3", "(3,,)", "３"]
)
def test_shapes_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="cannot parse the shape"):
        parse_shape(text)

"""Parsers of axes and shapes as users write them on the command line."""

import re
from typing import TypeAlias

AxisGroup: TypeAlias = int | tuple[int, ...]
"""The contracted axes of one input."""

_INTEGER = r"-?[0-9]{1,18}"
_GROUP = rf"{_INTEGER}(?:\s*\+\s*{_INTEGER})*"
_SIZE = r"(?:[0-9]{1,18}|None|\?)"
_BRACKETS = {"(": ")", "[": "]"}


def parse_axes(text: str) -> int | tuple[AxisGroup, AxisGroup]:
    """Parse axes: ``1``, ``-1``, ``1,2``; several contracted axes are ``1+2`` or ``1+2,2+3``.

    Raises:
        ValueError: the text is none of these.

    >>> parse_axes("-1"), parse_axes("(1, 2)"), parse_axes("1+2"), parse_axes("1+2,2+3")
    (-1, (1, 2), ((1, 2), (1, 2)), ((1, 2), (2, 3)))
    """
    inner = _without_brackets(text)
    if not re.fullmatch(rf"{_GROUP}(?:\s*,\s*{_GROUP})?", inner):
        raise ValueError(
            f"cannot parse the axes {text!r}: write one axis (1 or -1), one for each input (1,2), or several "
            "joined by + (1+2,2+3)"
        )
    groups = [_parse_group(group) for group in inner.split(",")]
    if len(groups) == 2:
        return (groups[0], groups[1])
    (group,) = groups
    return group if isinstance(group, int) else (group, group)


def parse_shape(text: str) -> tuple[int | None, ...]:
    """Parse a shape: ``(32, 64)`` or ``32,64``, with ``None`` or ``?`` for an unknown size.

    Raises:
        ValueError: the text is not a shape.

    >>> parse_shape("(?, 64, 10)"), parse_shape("32,None")
    ((None, 64, 10), (32, None))
    """
    sizes = _without_brackets(text)
    if text.strip() in ("()", "[]"):
        return ()
    if not re.fullmatch(rf"{_SIZE}(?:\s*,\s*{_SIZE})*\s*,?", sizes):
        raise ValueError(
            f"cannot parse the shape {text!r}: write sizes as (32, 64, 10), with None or ? for an unknown one"
        )
    return tuple(
        None if size.strip() in ("None", "?") else int(size) for size in sizes.rstrip(", ").split(",")
    )


def _parse_group(text: str) -> AxisGroup:
    axes = tuple(int(axis) for axis in text.split("+"))
    return axes[0] if len(axes) == 1 else axes


def _without_brackets(text: str) -> str:
    inner = text.strip()
    if inner[:1] in _BRACKETS and inner.endswith(_BRACKETS[inner[0]]):
        inner = inner[1:-1].strip()
    return inner

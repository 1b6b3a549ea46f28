"""Which rows of a long table `make test` and `make test-keras` run; the others are slow tests."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def one_of(every: int, rows: Iterable[Any]) -> list[Any]:
    """Return the rows of a ``parametrize`` of one argument: one of so many as it is, the others slow."""
    return [
        pytest.param(row, marks=[pytest.mark.slow] if number % every else [])
        for number, row in enumerate(rows)
    ]


def in_turns(rows: Iterable[Any], columns: Sequence[Any]) -> list[Any]:
    """Return the pairs of a ``parametrize`` of two arguments: each row with one column, the others slow."""
    return [
        pytest.param(row, column, marks=[pytest.mark.slow] if (number + at) % len(columns) else [])
        for number, row in enumerate(rows)
        for at, column in enumerate(columns)
    ]

"""Which rows of a long table `make test` runs; the others are slow tests, which CI runs too."""

from collections.abc import Iterable
from typing import Any

import pytest


def one_of(every: int, rows: Iterable[Any]) -> list[Any]:
    """Return the rows of a ``parametrize`` of one argument: one of so many as it is, the others slow."""
    return [
        pytest.param(row, marks=[pytest.mark.slow] if number % every else [])
        for number, row in enumerate(rows)
    ]

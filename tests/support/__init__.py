"""Helpers of the tests: oracles, tables of cases, and what several test files need."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The root of the repository."""

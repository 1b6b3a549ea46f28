"""Inspection: what a saved model is, as text, as data and as a picture, without torch."""

import json
import os
from argparse import Namespace
from dataclasses import dataclass

from batchdot.porting.errors import ModelFileError
from batchdot.porting.inspection.data import Data, as_data
from batchdot.porting.inspection.findings import warnings_of
from batchdot.porting.inspection.svg import to_svg
from batchdot.porting.inspection.text import describe
from batchdot.porting.record import ModelRecord

__all__ = ["Inspection", "command", "inspect_record"]


@dataclass(frozen=True)
class Inspection:
    """What `batchdot.porting.inspect` returns; printed, it is a report for a person.

    Attributes:
        model: the record.
        warnings: what a person should know of it, in words.
    """

    model: ModelRecord
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        return describe(self.model, self.warnings)

    def data(self) -> dict[str, Data]:
        """Return the report as dicts and lists that JSON can hold."""
        return as_data(self.model, self.warnings)

    def svg(self) -> str:
        """Return the graph as an SVG picture."""
        return to_svg(self.model)

    def _repr_svg_(self) -> str:
        return self.svg()


def inspect_record(model: ModelRecord) -> Inspection:
    """Return the report of a record; its weights are looked through for NaN."""
    return Inspection(model, tuple(warnings_of(model)))


def command(arguments: Namespace) -> str:
    """Do what ``batchdot inspect MODEL [--weights W] [--json] [--svg FILE]`` asks for.

    Args:
        arguments: with ``model``, and with ``weights``, ``json`` and ``svg``, which may be missing.

    Returns:
        The text to print.

    Raises:
        OSError: a file cannot be read, or the picture not written.
        ModelFileError: the model is none, or is damaged.
    """
    from batchdot.porting import inspect

    report = inspect(arguments.model, weights=getattr(arguments, "weights", None))
    picture = getattr(arguments, "svg", None)
    if picture is not None:
        _write(picture, report.svg(), arguments.model)
    if getattr(arguments, "json", False):
        return json.dumps(report.data(), indent=2, allow_nan=False)
    return str(report)


def _write(path: str, text: str, model: str) -> None:
    if os.path.exists(path) and os.path.samefile(path, model):
        raise ModelFileError("the model itself as the name of the picture", "another file", file=str(path))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)

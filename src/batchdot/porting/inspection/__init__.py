"""Inspection: describe a saved Keras model as text, as data and as a picture, without torch."""

from dataclasses import dataclass

from batchdot.porting.inspection.data import Data, as_data
from batchdot.porting.inspection.findings import warnings_of
from batchdot.porting.inspection.svg import to_svg
from batchdot.porting.inspection.text import describe
from batchdot.porting.record import ModelRecord

ModelRecord.describe = describe

__all__ = ["Inspection", "inspect_record"]


@dataclass(frozen=True)
class Inspection:
    """What `batchdot.porting.inspect` returns; printed, it is a report for a person.

    Attributes:
        model: the record.
        warnings: what a person should know of it, in words.

    >>> from batchdot.porting import inspect
    >>> report = inspect("benchmarks/ported/models/factorization.h5")
    >>> report.data()["layers"][-1]["class"], report.warnings
    ('Add', ())
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
    """Return the report of a record; this reads its weights to find NaN."""
    return Inspection(model, tuple(warnings_of(model)))

"""The result of a verification: the largest difference of every output, and of layers where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchdot.io.regular_file import printable
from batchdot.porting.inspection.text import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LAYERS_SHOWN = 8
"""Layers in a printed report, from the first that differs."""


@dataclass(frozen=True)
class Comparison:
    """One tensor of the ported model beside Keras's.

    Attributes:
        name: the output, or the layer.
        shape: its shape; where the shapes differ, Keras's.
        difference: largest magnitude of ours minus theirs; inf where shapes or NaN differ.
        scale: largest magnitude of theirs.
        tolerance: the difference allowed, relative to the scale.

    >>> Comparison("dense", (5, 1), 1e-7, 0.5, 2e-5).agrees
    True
    """

    name: str
    shape: tuple[int, ...]
    difference: float
    scale: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= self.tolerance * self.scale


@dataclass(frozen=True)
class Verification:
    """What `batchdot.porting.verify` returns; printed, it is a report for a person.

    Attributes:
        model: the file.
        against: what it was compared with.
        outputs: every output, in the order of the model.
        layers: where an output differs, every layer that could be compared, in the order of their calls;
            only beside Keras itself, for recorded outputs know no layers.

    >>> import json, tempfile
    >>> import numpy as np
    >>> from batchdot.porting import verify
    >>> relu = {"class_name": "ReLU", "config": {"name": "relu", "batch_input_shape": [None, 3]}}
    >>> model = {"class_name": "Sequential", "config": {"name": "net", "layers": [relu]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/net.json", "w") as file:
    ...         json.dump(model | {"keras_version": "2.15.0"}, file)
    ...     np.savez(f"{folder}/io.npz", x0=np.float32([[1, -1, 2]]), y0=np.float32([[1, 0, 9]]))
    ...     verification = verify(f"{folder}/net.json", data=f"{folder}/io.npz")
    >>> verification.agrees, [output.agrees for output in verification.outputs]
    (False, [False])
    """

    model: str
    against: str
    outputs: tuple[Comparison, ...]
    layers: tuple[Comparison, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether every output agrees."""
        return all(output.agrees for output in self.outputs)

    @property
    def first_difference(self) -> Comparison | None:
        """The first layer that differs."""
        return next((layer for layer in self.layers if not layer.agrees), None)

    def __str__(self) -> str:
        lines = [
            f"{printable(self.model)}, ported, beside {printable(self.against)}",
            "",
            *_table("output", self.outputs),
            "",
        ]
        wrong = sum(not output.agrees for output in self.outputs)
        if not wrong:
            return "\n".join([*lines, f"{_count(len(self.outputs))}."])
        lines.append(f"{wrong} of {len(self.outputs)} outputs {'differs' if wrong == 1 else 'differ'}.")
        first = self.first_difference
        if first is not None:
            start = max(self.layers.index(first) - 1, 0)
            part = self.layers[start : start + LAYERS_SHOWN]
            lines += [f"The first layer that differs is {shown(first.name)!r}.", "", *_table("layer", part)]
        elif self.layers:
            lines.append("Every layer that can be compared agrees.")
        return "\n".join(lines)


def _count(outputs: int) -> str:
    return "1 output agrees" if outputs == 1 else f"{outputs} outputs agree"


def _table(title: str, comparisons: Sequence[Comparison]) -> list[str]:
    rows = [[title, "shape", "difference", "of", ""]]
    rows += [
        [shown(c.name), str(c.shape), f"{c.difference:.1e}", f"{c.scale:.1e}", "" if c.agrees else "differs"]
        for c in comparisons
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def compare(
    name: str, ours: "NDArray[np.generic]", theirs: "NDArray[np.generic]", tolerance: float
) -> Comparison:
    """Compare one tensor of the ported model with Keras's.

    NaN and infinities have to stand in the same places; an output of zeros has a scale of 1.
    """
    import numpy as np

    mine, yours = (np.asarray(array).astype(np.float64) for array in (ours, theirs))
    finite = np.isfinite(yours)
    scale = float(np.abs(yours[finite]).max(initial=0.0)) or 1.0
    if mine.shape != yours.shape or not np.array_equal(mine[~finite], yours[~finite], equal_nan=True):
        difference = float("inf")
    else:
        difference = float(np.abs(mine[finite] - yours[finite]).max(initial=0.0))
        difference = float("inf") if np.isnan(difference) else difference
    return Comparison(name, yours.shape, difference, scale, tolerance)

"""Find the layers that several models of one file share: each is built once, and lent to the others.

A file describes a shared layer in each model that uses it, and stores its weights once or several times.
"""

from dataclasses import dataclass, field

from batchdot.porting.program import Submodule
from batchdot.porting.record import LayerRecord, Weight
from batchdot.porting.translation.nesting import Inside, Place


@dataclass
class Loan:
    """A layer that was built, for others to use.

    Attributes:
        record: the layer.
        owner: the class that built it.
        submodules: what it added to ``__init__``.
        model: the class that it is, if it is a model.
    """

    record: LayerRecord
    owner: Place
    submodules: list[Submodule]
    model: Inside | None = None


@dataclass
class Loans:
    """All layers with weights that were built so far."""

    by_name: dict[str, list[Loan]] = field(default_factory=dict)

    def find(self, record: LayerRecord) -> Loan | None:
        """Return the layer that this one is, if it was built already."""
        return next(
            (loan for loan in self.by_name.get(record.name, ()) if is_same(loan.record, record)), None
        )

    def add(self, loan: Loan) -> None:
        """Keep a layer for others, if it has weights."""
        if any(loan.record.all_weights()):
            self.by_name.setdefault(loan.record.name, []).append(loan)


def is_same(one: LayerRecord, other: LayerRecord) -> bool:
    """Whether two descriptions are of one layer: equal in all, with weights that no two have by chance.

    Those are weights at one place of the file, or equal numbers that are not all alike: not the 0 or 1 that
    layers start with.
    """
    mine, others = list(one.all_weights()), list(other.all_weights())
    if not mine or [_form(weight) for weight in mine] != [_form(weight) for weight in others]:
        return False
    stored_once = all(a.place and a.place == b.place for a, b in zip(mine, others, strict=True))
    return one == other and (stored_once or any(map(_varies, mine)))


def _form(weight: Weight) -> tuple[object, ...]:
    return weight.role, weight.shape, weight.dtype


def _varies(weight: Weight) -> bool:
    numbers = weight.read()
    return bool(numbers.size > 1 and (numbers != numbers.flat[0]).any())

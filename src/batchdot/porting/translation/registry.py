"""The table of translations: for each class of Keras layers and each operation, its function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from batchdot.porting.program import Value
from batchdot.porting.record import LayerRecord

if TYPE_CHECKING:
    from batchdot.porting.translation.layer import Layer
    from batchdot.porting.translation.site import Site

Result: TypeAlias = "str | Value | tuple[str | Value, ...]"
"""What a layer returns at one call: an expression, or several. A `Value` says more than its text."""

Forward: TypeAlias = "Callable[[Site], Result]"
"""Writes one call of a layer."""

Translation: TypeAlias = "Callable[[Layer], Forward]"
"""Adds what a layer needs to ``__init__``, and returns the function that writes its calls."""


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        name: Keras's newest name of the class or operation.
        kind: "layer" or "operation".
        translation: the function.
        restriction: what is refused, in a few words; "" if nothing is.
    """

    name: str
    kind: str
    translation: Translation
    restriction: str = ""


_TABLE: dict[tuple[str, str], Entry] = {}


def translates(
    *names: str, kind: str = "layer", restriction: str = ""
) -> Callable[[Translation], Translation]:
    """Decorate the translation of the layers of these classes, or of these operations.

    Args:
        names: Keras's newest names.
        kind: "layer" or "operation".
        restriction: what is refused, for the table in the documentation.
    """

    def register(translation: Translation) -> Translation:
        for name in names:
            assert (kind, name) not in _TABLE, f"{name} has two translations"
            _TABLE[kind, name] = Entry(name, kind, translation, restriction)
        return translation

    return register


def computes(*names: str, restriction: str = "") -> Callable[[Translation], Translation]:
    """Decorate the translation of operations: functions of keras.ops or TensorFlow."""
    return translates(*names, kind="operation", restriction=restriction)


def translation_of(record: LayerRecord) -> "Translation | None":
    """Return the function that ports a layer, None if there is none."""
    entry = _TABLE.get((record.kind, record.class_name))
    return None if entry is None else entry.translation


def table() -> Mapping[tuple[str, str], Entry]:
    """Return all translations by kind and name."""
    return _TABLE

"""Arguments of operations as source: tensors, numbers, lists of numbers, and sizes of other tensors."""

import numpy as np

from batchdot.porting.errors import quote
from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.site import Argument, Site


def has_only(site: Site, *known: str) -> None:
    """Refuse a call that has an argument of which nothing is known.

    Raises:
        RefusedError: it has.
    """
    for key, value in site.arguments.items():
        if key not in known and value not in (None, False):
            raise RefusedError(f"its argument {quote(key)} has no translation")


def operand(layer: Layer, value: Argument) -> "Value | bool | int | float":
    """Return a tensor or a number; a list of numbers becomes a buffer of the model.

    Raises:
        RefusedError: it is something else.
    """
    if isinstance(value, (Value, bool, int, float)):
        return value
    if isinstance(value, tuple) and value:
        try:
            numbers = np.array(value, dtype=None)
        except ValueError:
            numbers = np.array(None)
        if numbers.dtype.kind in "bif":
            kind = {"b": "bool", "i": "int"}.get(numbers.dtype.kind, "float")
            if kind == "float":
                numbers = numbers.astype(np.float32)
            array = layer.constant(numbers)
            text = layer.buffer(array, numbers.shape, "constant")
            return Value(text, numbers.shape, kind)  # type: ignore[arg-type]
    raise RefusedError(f"it works on {quote(value)}")


def operands(
    layer: Layer, site: Site, keys: tuple[str, ...]
) -> "tuple[tuple[Value | bool | int | float, ...], Value | None]":
    """Return arguments in one order of axes, and one tensor among them, None where all are numbers."""
    found = [operand(layer, site.arguments.get(key)) for key in keys]
    tensors = tuple(each for each in found if is_tensor(each))
    alike = iter(site.alike(tensors)) if tensors else iter(())  # type: ignore[arg-type]
    made = tuple(next(alike) if is_tensor(each) else each for each in found)
    return made, next((each for each in made if isinstance(each, Value) and is_tensor(each)), None)


def is_tensor(value: object) -> bool:
    """Whether an operand is a tensor, not a number or a size."""
    return isinstance(value, Value) and value.kind != "size"


def source(value: "Value | bool | int | float") -> str:
    """Return an operand as source."""
    return str(value) if isinstance(value, Value) else literal(value)


def tensor(layer: Layer, site: Site, key: str = "x") -> Value:
    """Return an argument that is a tensor, in the order of axes that it has.

    Raises:
        RefusedError: it is something else.
    """
    value = operand(layer, site.arguments.get(key))
    if not isinstance(value, Value) or value.kind == "size":
        raise RefusedError("it works on numbers alone")
    return value


def integer(site: Site, key: str, default: int | None = None) -> int:
    """Return an argument that is an integer."""
    value = site.arguments.get(key)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError(f"its {key} is {quote(value)}")
    return value


def integers(site: Site, key: str) -> tuple[int, ...] | None:
    """Return an argument that is an integer or several, None where it is None."""
    value = site.arguments.get(key)
    several = value if isinstance(value, tuple) else (value,)
    if value is None:
        return None
    if not all(isinstance(part, int) and not isinstance(part, bool) for part in several):
        raise RefusedError(f"its {key} is {quote(value)}")
    return several  # type: ignore[return-value]


def rank_of(value: Value) -> int:
    """Return the number of axes of a tensor.

    Raises:
        RefusedError: it is not known.
    """
    if value.rank is None:
        raise RefusedError("the rank of its input is not known")
    return value.rank


def result(site: Site, text: str, like: Value, number: int = 0, *, kind: str = "") -> Value:
    """Return a tensor with the shape that the record gives, else that of another tensor; of its order."""
    shape = site.output_shapes[number] if number < len(site.output_shapes) else None
    if shape is None and like.is_first:
        shape = like.shape
    return Value(text, shape, kind or like.kind, like.is_first)  # type: ignore[arg-type]


def last(layer: Layer, site: Site, key: str = "x") -> Value:
    """Return an argument that is a tensor, in Keras's order of axes."""
    return site.last(tensor(layer, site, key))


def sizes_text(sizes: Argument, unknown: str) -> str:
    """Return sizes that are numbers, or that come from other tensors, as arguments."""
    if isinstance(sizes, Value) and sizes.kind == "size":
        return str(sizes)
    if not isinstance(sizes, tuple) or sum(part is None for part in sizes) > 1:
        raise RefusedError(f"its shape is {quote(sizes)}")
    for part in sizes:
        if is_tensor(part) or not isinstance(part, (int, Value, type(None))):
            raise RefusedError("its shape is computed")
    return ", ".join(unknown if part is None else str(part) for part in sizes) or "()"

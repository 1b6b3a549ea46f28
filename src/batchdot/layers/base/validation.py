"""Checks of arguments and input shapes that layers share, with the error texts of tf.keras."""

import operator
from typing import Any


def check_positive_int(layer: str, argument: str, value: Any, least: int = 1) -> int:
    """Return an argument as an integer of at least 1, or another minimum.

    Args:
        layer: the class of the layer.
        argument: the name of the argument.
        value: an integer, or a float that is one.
        least: the smallest value that is allowed.

    Raises:
        ValueError: it is not an integer, or too small.

    >>> check_positive_int("Dense", "units", 3.0)
    3
    >>> check_positive_int("Dense", "units", 0)
    Traceback (most recent call last):
    ...
    ValueError: Dense received an invalid value for `units`, expected a positive integer. Received: units=0
    """
    try:
        whole = isinstance(value, float) and value.is_integer()
        size = operator.index(int(value) if whole else value)
    except TypeError:
        size = least - 1
    if isinstance(value, bool) or size < least:
        kind = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ValueError(
            f"{layer} received an invalid value for `{argument}`, expected {kind}. "
            f"Received: {argument}={value!r}"
        )
    return size


def check_bool(layer: str, argument: str, value: Any) -> bool:
    """Return an argument that is a bool, 0 or 1, as a bool.

    Raises:
        TypeError: it is anything else.

    >>> check_bool("Dense", "use_bias", 1)
    True
    """
    if not isinstance(value, int) or value not in (0, 1):
        raise TypeError(f"{layer} expects `{argument}` to be a boolean. Received: {argument}={value!r}")
    return bool(value)


def check_axis(layer: str, axis: Any) -> int:
    """Return an argument that is an axis as an int.

    Raises:
        TypeError: it is not an integer.

    >>> check_axis("Concatenate", -1)
    -1
    """
    try:
        if not isinstance(axis, bool):
            return operator.index(axis)
    except TypeError:
        pass
    raise TypeError(f"{layer} expects `axis` to be an integer. Received: axis={axis!r}")


def shape_error(layer: Any, why: str, shape: Any) -> ValueError:
    """Return the error for an input of a wrong shape.

    >>> shape_error(type("_", (), {"name": "permute"}), "expected ndim=3, found ndim=2", (2, 3))
    ValueError('Input 0 of layer "permute" is incompatible with the layer: expected ndim=3, found ndim=2. \
Full shape received: (2, 3)')
    """
    return ValueError(
        f'Input 0 of layer "{layer.name}" is incompatible with the layer: {why}. '
        f"Full shape received: {tuple(shape)}"
    )


def check_rank(layer: Any, shape: Any, expected: int) -> None:
    """Raise an error for a shape of another rank than expected.

    Raises:
        ValueError: the rank differs.
    """
    if len(shape) != expected:
        raise shape_error(layer, f"expected ndim={expected}, found ndim={len(shape)}", shape)


def check_least_rank(layer: Any, shape: Any, least: int) -> None:
    """Raise an error for a shape of fewer axes than the layer needs.

    Raises:
        ValueError: the rank is smaller.
    """
    if len(shape) < least:
        raise shape_error(layer, f"expected min_ndim={least}, found ndim={len(shape)}", shape)

"""Nested lists, tuples and dicts of values: map over the leaves, list them."""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def map_structure(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to each leaf, and return the results in the same structure.

    >>> map_structure(lambda leaf: leaf + 1, [1, (2, {"a": 3})])
    [2, (3, {'a': 4})]
    """
    if isinstance(value, list | tuple):
        return rebuild(value, [map_structure(function, item) for item in value])
    if isinstance(value, dict):
        return {key: map_structure(function, item) for key, item in value.items()}
    return function(value)


def rebuild(value: Any, items: list[Any]) -> Any:
    """Return items in a list, a tuple or a named tuple, as the value is.

    >>> rebuild((1, 2), [3, 4])
    (3, 4)
    """
    if isinstance(value, list):
        return items
    if hasattr(type(value), "n_sequence_fields"):  # of torch.return_types, such as that of torch.max
        return type(value)(items)
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)


def flatten(value: Any) -> list[Any]:
    """Return the leaves in order.

    >>> flatten([1, (2, {"a": 3})])
    [1, 2, 3]
    """
    leaves: list[Any] = []
    map_structure(leaves.append, value)
    return leaves


def unpack_singleton(items: list[T]) -> T | list[T]:
    """Return the only item of a list, or the list, as Keras returns inputs and outputs.

    >>> unpack_singleton([1]), unpack_singleton([1, 2])
    (1, [1, 2])
    """
    return items[0] if len(items) == 1 else items

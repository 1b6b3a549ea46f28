"""The symbolic tensor: a shape and a dtype that flow where numbers will."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from batchdot.convert import dtype_name
from batchdot.types import Shape

if TYPE_CHECKING:
    from batchdot.symbolic.node import Node


class History(NamedTuple):
    """Where a symbolic tensor comes from: the layer, which of its calls, which of the outputs."""

    layer: Any
    node_index: int
    tensor_index: int


class KerasTensor:
    """A tensor that is known by its shape and dtype, and holds no numbers.

    Layers take it and give one back, and keep the call as a `Node`; arithmetic and indexing do too,
    through a layer that stands for them. Between the tensors of a graph and a `Model` of it lies
    nothing else.

    Attributes:
        shape: tuple of sizes, None where unknown.
        dtype: the dtype the numbers will have.
        name: a name to print, or None.
        node: the call it is an output of, None for a placeholder.
        index: which output of that call.
        mask: the symbolic mask that travels with it, or None.

    >>> KerasTensor((None, 3))
    <KerasTensor shape=(None, 3) dtype=float32>
    """

    def __init__(self, shape: Shape, dtype: torch.dtype | None = None, name: str | None = None) -> None:
        self.shape = tuple(shape)
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        self.name = name
        self.node: Node | None = None
        self.index = 0
        self.mask: KerasTensor | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def _keras_history(self) -> History | None:
        if self.node is None:
            return None
        layer = self.node.layer
        return History(layer, layer.inbound_nodes.index(self.node), self.index)

    def __repr__(self) -> str:
        name = f" name={self.name}" if self.name else ""
        dtype = dtype_name(self.dtype)
        return f"<KerasTensor{name} shape={self.shape} dtype={dtype}>"

    def __bool__(self) -> bool:
        raise TypeError("A symbolic tensor holds no numbers, so it is neither true nor false.")

    def __len__(self) -> int:
        raise TypeError("A symbolic tensor has no length; its shape says what is known.")

    def __iter__(self) -> Iterator["KerasTensor"]:
        raise TypeError("A symbolic tensor cannot be iterated over; index it instead.")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("A symbolic tensor holds no numbers to make an array of.")


def is_keras_tensor(value: Any) -> bool:
    """Return whether a value is a symbolic tensor.

    >>> is_keras_tensor(KerasTensor((2, 3))), is_keras_tensor(torch.ones(2, 3))
    (True, False)
    """
    return isinstance(value, KerasTensor)


def map_structure(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply a function to the leaves of nested lists, tuples and dicts."""
    if isinstance(value, list | tuple):
        items = [map_structure(function, item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: map_structure(function, item) for key, item in value.items()}
    return function(value)


def flatten(value: Any) -> list[Any]:
    """Return the leaves of nested lists, tuples and dicts, in order.

    >>> flatten([1, (2, {"a": 3})])
    [1, 2, 3]
    """
    leaves: list[Any] = []
    map_structure(leaves.append, value)
    return leaves


def symbolic_leaves(value: Any) -> list[KerasTensor]:
    """Return the symbolic tensors among the leaves, in order."""
    return [leaf for leaf in flatten(value) if is_keras_tensor(leaf)]


def unwrap(items: list[Any]) -> Any:
    """Return the only item of a list, or the list."""
    return items[0] if len(items) == 1 else items

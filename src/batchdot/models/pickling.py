"""Flat: the calls of a graph as a table, so that copying a graph does not recurse from call to call."""

from collections.abc import Sequence
from typing import Any

from batchdot.models.program import ValueRef
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor
from batchdot.symbolic.tree import map_structure


class FlatGraph:
    """Calls whose symbolic tensors are numbers.

    Args:
        nodes: the calls, in the order they were made.
        structures: symbolic tensors to keep beside them, in lists, tuples or dicts.
    """

    def __init__(self, nodes: Sequence[Node], structures: Any) -> None:
        numbers: dict[int, int] = {}
        self.tensors: list[Any] = []

        def number(leaf: Any) -> Any:
            if not is_keras_tensor(leaf):
                return leaf
            if id(leaf) not in numbers:
                numbers[id(leaf)] = len(self.tensors)
                mask = None if leaf.mask is None else (leaf.mask.shape, leaf.mask.dtype)
                self.tensors.append((leaf.shape, leaf.dtype, leaf.name, mask))
            return ValueRef(numbers[id(leaf)])

        self.calls = [
            (n.layer, *(map_structure(number, v) for v in (n.args, n.kwargs, n.structure)), n.takes_mask)
            for n in nodes
        ]
        self.structures = map_structure(number, structures)

    def restore(self) -> tuple[list[Node], Any]:
        """Return the calls, connected to their layers, and the structures beside them."""
        tensors = []
        for shape, dtype, name, mask in self.tensors:
            tensor = KerasTensor(shape, dtype, name)
            tensor.mask = None if mask is None else KerasTensor(*mask)
            tensors.append(tensor)

        def read(value: Any) -> Any:
            return map_structure(lambda x: tensors[x.index] if isinstance(x, ValueRef) else x, value)

        nodes = [
            Node(layer, read(args), read(kwargs), read(structure), takes_mask)
            for layer, args, kwargs, structure, takes_mask in self.calls
        ]
        return nodes, read(self.structures)

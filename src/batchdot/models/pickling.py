"""Pickling of graphs: a flat table of the layer calls instead of nested references.

Nodes refer to tensors and tensors to nodes: pickle and deepcopy would recurse along the whole graph and
exceed Python's recursion limit on long ones.
"""

from collections.abc import Sequence
from typing import Any

from batchdot.models.program import ValueRef
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor
from batchdot.symbolic.tree import map_structure


class FlatGraph:
    """The calls of a graph, with an index for each symbolic tensor.

    Args:
        nodes: the calls, in topological order.
        structures: nested lists, tuples and dicts with symbolic tensors of the graph, to be kept with it.

    >>> from batchdot import Input
    >>> x = Input((3,), name="x")
    >>> nodes, structures = FlatGraph([x.node], {"inputs": [x]}).restore()
    >>> structures["inputs"], structures["inputs"][0].node is nodes[0]
    ([<KerasTensor name=x shape=(None, 3) dtype=float32>], True)
    """

    def __init__(self, nodes: Sequence[Node], structures: Any) -> None:
        indices: dict[int, int] = {}
        self.tensors: list[Any] = []

        def refer(leaf: Any) -> Any:
            if not is_keras_tensor(leaf):
                return leaf
            if id(leaf) not in indices:
                indices[id(leaf)] = len(self.tensors)
                mask = None if leaf.mask is None else (leaf.mask.shape, leaf.mask.dtype)
                self.tensors.append((leaf.shape, leaf.dtype, leaf.name, mask))
            return ValueRef(indices[id(leaf)])

        self.calls = [
            (n.layer, *(map_structure(refer, v) for v in (n.args, n.kwargs, n.structure)), n.takes_mask)
            for n in nodes
        ]
        self.structures = map_structure(refer, structures)

    def restore(self) -> tuple[list[Node], Any]:
        """Return new nodes for the calls, connected to their layers, and the structures with new tensors."""
        tensors = []
        for shape, dtype, name, mask in self.tensors:
            tensor = KerasTensor(shape, dtype, name)
            tensor.mask = None if mask is None else KerasTensor(*mask)
            tensors.append(tensor)

        def fill(value: Any) -> Any:
            return map_structure(lambda x: tensors[x.index] if isinstance(x, ValueRef) else x, value)

        nodes = [
            Node(layer, fill(args), fill(kwargs), fill(structure), takes_mask)
            for layer, args, kwargs, structure, takes_mask in self.calls
        ]
        return nodes, fill(self.structures)

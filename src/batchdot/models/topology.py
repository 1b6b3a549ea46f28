"""Topology: the calls of a graph in topological order.

The order of calls and of layers is Keras's: by depth, the longest distance to an output, then by when a
depth-first search from the outputs first reached the layer. The weights of a model are in the order of its
layers, so the order has to agree with Keras's.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from batchdot.symbolic.tensor import KerasTensor, Node


def topological_order(
    inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]
) -> tuple[list[Node], list[Any]]:
    """Return the calls that lead from inputs to outputs, and their layers, both in topological order.

    Args:
        inputs: symbolic tensors; a graph may begin in the middle of another.
        outputs: symbolic tensors computed from them.

    Raises:
        ValueError: an output does not depend on the inputs alone, or two layers have the same name.

    >>> from batchdot import Input
    >>> from batchdot.layers import Dot
    >>> x, y = Input((3,), name="x"), Input((3,), name="y")
    >>> nodes, layers = topological_order([x, y], [Dot(1, name="dot")([x, y])])
    >>> [layer.name for layer in layers], len(nodes)
    (['x', 'y', 'dot'], 3)
    """
    finished, first_seen = _depth_first_search(inputs, outputs)
    node_depth: dict[Node, int] = {}
    layer_depth: dict[Any, int] = {}
    input_nodes = {tensor.node for tensor in inputs}
    for node in reversed(finished):
        # Outputs have depth 0. A layer's calls share the depth of its deepest call.
        depth = max(node_depth.setdefault(node, 0), layer_depth.get(node.layer, 0))
        layer_depth[node.layer] = node_depth[node] = depth
        for parent in _parents(node, input_nodes):
            node_depth[parent] = max(depth + 1, node_depth.get(parent, 0))
    for tensor in inputs:  # also the inputs that no output depends on
        if tensor.node is not None and tensor.node.layer not in layer_depth:
            layer_depth[tensor.node.layer] = node_depth[tensor.node] = 0
            first_seen[tensor.node.layer] = -1
    nodes = sorted(node_depth, key=lambda node: -node_depth[node])
    layers = sorted(layer_depth, key=lambda layer: (-layer_depth[layer], first_seen[layer]))
    for name, count in Counter(layer.name for layer in layers).items():
        if count > 1:
            raise ValueError(
                f'The name "{name}" is used {count} times in the model. All layer names should be unique.'
            )
    return nodes, layers


def _depth_first_search(
    inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]
) -> tuple[list[Node], dict[Any, int]]:
    """Search from the outputs; return the calls in postorder, and when each layer was first seen."""
    input_nodes = {tensor.node for tensor in inputs}
    finished: dict[Node, None] = {}
    first_seen: dict[Any, int] = {}
    for output in outputs:
        # An explicit stack: long graphs are deeper than Python's recursion limit.
        stack: list[tuple[KerasTensor, bool]] = [(output, False)]
        while stack:
            tensor, parents_done = stack.pop()
            node = tensor.node
            if node is None:
                raise ValueError(f"Graph disconnected: {tensor} does not come from an Input.")
            if parents_done:
                finished[node] = None
            elif node not in finished:
                first_seen.setdefault(node.layer, len(first_seen))
                if node not in input_nodes and not node.inputs:
                    raise ValueError(
                        f"Graph disconnected: the model needs the value of {tensor}, from layer "
                        f"{node.layer.name}, which is not among its inputs."
                    )
                stack.append((tensor, True))
                if node not in input_nodes:
                    stack += [(parent, False) for parent in reversed(node.inputs)]
    return list(finished), first_seen


def _parents(node: Node, input_nodes: set[Node | None]) -> list[Node]:
    """Return the calls that a call's inputs come from, none for the inputs of the model."""
    if node in input_nodes:
        return []
    return [tensor.node for tensor in node.inputs if tensor.node is not None]

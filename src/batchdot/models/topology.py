"""Topology: the calls between inputs and outputs, in an order that can be run.

The order of calls and of layers is Keras's: by depth from the outputs, then by when a walk from the
outputs first met them. Weights of a model are in the order of its layers, so it has to agree.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from batchdot.symbolic.tensor import KerasTensor, Node


def sort_graph(inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]) -> tuple[list[Node], list[Any]]:
    """Return the calls that lead from inputs to outputs, in order, and their layers, in order.

    Raises:
        ValueError: an output does not come from the inputs, or two layers have one name.
    """
    finished, met = _walk_back(inputs, outputs)
    node_depth: dict[Node, int] = {}
    layer_depth: dict[Any, int] = {}
    starts = {tensor.node for tensor in inputs}
    for node in reversed(finished):
        depth = max(node_depth.setdefault(node, 0), layer_depth.get(node.layer, 0))
        layer_depth[node.layer] = node_depth[node] = depth
        for parent in _parents(node, starts):
            node_depth[parent] = max(depth + 1, node_depth.get(parent, 0))
    for tensor in inputs:
        if tensor.node is not None and tensor.node.layer not in layer_depth:
            layer_depth[tensor.node.layer] = node_depth[tensor.node] = 0
            met[tensor.node.layer] = -1
    nodes = sorted(node_depth, key=lambda node: -node_depth[node])
    layers = sorted(layer_depth, key=lambda layer: (-layer_depth[layer], met[layer]))
    for name, count in Counter(layer.name for layer in layers).items():
        if count > 1:
            raise ValueError(
                f'The name "{name}" is used {count} times in the model. All layer names should be unique.'
            )
    return nodes, layers


def _walk_back(
    inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]
) -> tuple[list[Node], dict[Any, int]]:
    """Walk from the outputs to the inputs, depth first; return calls as they are done, layers as met."""
    starts = {tensor.node for tensor in inputs}
    finished: dict[Node, None] = {}
    met: dict[Any, int] = {}
    for output in outputs:
        stack: list[tuple[KerasTensor, bool]] = [(output, False)]
        while stack:
            tensor, left = stack.pop()
            node = tensor.node
            if node is None:
                raise ValueError(f"Graph disconnected: {tensor} does not come from an Input.")
            if left:
                finished[node] = None
            elif node not in finished:
                met.setdefault(node.layer, len(met))
                if node not in starts and not node.inputs:
                    raise ValueError(
                        f"Graph disconnected: the model needs the value of {tensor}, from layer "
                        f"{node.layer.name}, which is not among its inputs."
                    )
                stack.append((tensor, True))
                if node not in starts:
                    stack += [(parent, False) for parent in reversed(node.inputs)]
    return list(finished), met


def _parents(node: Node, starts: set[Node | None]) -> list[Node]:
    if node in starts:
        return []
    return [tensor.node for tensor in node.inputs if tensor.node is not None]

"""Read-only queries of a layer's nodes: inputs, outputs, shapes and masks of its symbolic calls."""

from typing import Any

from batchdot.errors import NotConnectedError
from batchdot.layers.base.state import LayerState
from batchdot.symbolic.tensor import Node


class NodeQueries(LayerState):
    """The part of `Layer` that reads the nodes of its symbolic calls; nodes are made in `call`."""

    @property
    def input(self) -> Any:
        """The symbolic input of the only node, or the list of its inputs.

        Raises:
            NotConnectedError: there is no node.
            AttributeError: there are several.
        """
        return self._only_node("input").input_tensors

    @property
    def output(self) -> Any:
        """The symbolic output of the only node, or the list of its outputs. Raises like `input`."""
        return self._only_node("output").output_tensors

    @property
    def input_mask(self) -> Any:
        """The mask of the input of the only node, or the list of masks. Raises like `input`."""
        return self._only_node("input mask").input_masks

    @property
    def output_mask(self) -> Any:
        """The mask of the output of the only node, or the list of masks. Raises like `input`."""
        return self._only_node("output mask").output_masks

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or the list of shapes, that all nodes agree on.

        Raises:
            NotConnectedError: there is no node.
            AttributeError: the nodes have different shapes.
        """
        return self._common_shape("input")

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or the list of shapes. Raises like `input_shape`."""
        return self._common_shape("output")

    def get_input_at(self, node_index: int) -> Any:
        """Return the input, or list of inputs, of a node; -1 is the last.

        Raises:
            RuntimeError: there is no node.
            ValueError: there is no such node.
        """
        return self._node_at(node_index, "input").input_tensors

    def get_output_at(self, node_index: int) -> Any:
        """Return the output, or list of outputs, of a node. Raises like `get_input_at`."""
        return self._node_at(node_index, "output").output_tensors

    def get_input_mask_at(self, node_index: int) -> Any:
        """Return the input mask, or list of masks, of a node. Raises like `get_input_at`."""
        return self._node_at(node_index, "input mask").input_masks

    def get_output_mask_at(self, node_index: int) -> Any:
        """Return the output mask, or list of masks, of a node. Raises like `get_input_at`."""
        return self._node_at(node_index, "output mask").output_masks

    def get_input_shape_at(self, node_index: int) -> Any:
        """Return the input shape, or list of shapes, of a node. Raises like `get_input_at`."""
        return self._node_at(node_index, "input shape").input_shapes

    def get_output_shape_at(self, node_index: int) -> Any:
        """Return the output shape, or list of shapes, of a node. Raises like `get_input_at`."""
        return self._node_at(node_index, "output shape").output_shapes

    def _only_node(self, what: str) -> Node:
        if not self.inbound_nodes:
            raise NotConnectedError(f"Layer {self.name} is not connected, no {what} to return.")
        if len(self.inbound_nodes) > 1:
            raise AttributeError(
                f'Layer {self.name} has {len(self.inbound_nodes)} inbound nodes, hence the notion of "layer '
                f'{what}" is ill-defined. Use get_{what.replace(" ", "_")}_at(node_index) instead.'
            )
        return self.inbound_nodes[0]

    def _common_shape(self, side: str) -> Any:
        if not self.inbound_nodes:
            raise NotConnectedError(
                f"Layer {self.name} has never been called and thus has no defined {side} shape."
            )
        shapes = [getattr(node, f"{side}_shapes") for node in self.inbound_nodes]
        if any(shape != shapes[0] for shape in shapes):
            raise AttributeError(
                f"Layer {self.name} has {len(shapes)} inbound nodes with different {side} shapes, hence the "
                f'notion of "{side} shape" is ill-defined. Use get_{side}_shape_at(node_index) instead.'
            )
        return shapes[0]

    def _node_at(self, node_index: int, what: str) -> Node:
        count = len(self.inbound_nodes)
        if not count:
            raise RuntimeError(f"The layer {self.name} has never been called and thus has no defined {what}.")
        if not -count <= node_index < count:
            raise ValueError(
                f"Asked to get {what} at node {node_index}, but the layer has only {count} inbound nodes."
            )
        return self.inbound_nodes[node_index]

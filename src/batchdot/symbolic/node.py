"""Node: one call of a layer on symbolic tensors."""

from typing import Any

from batchdot.symbolic.tensor import KerasTensor, symbolic_leaves, unwrap


class Node:
    """What went into one call of a layer, and what came out.

    Making a node connects it: to the layer it calls, to the layers its inputs come from, and to its
    outputs.

    Attributes:
        layer: the layer that was called.
        args: the positional arguments, symbolic tensors among them.
        kwargs: the keyword arguments, without masks that the graph carries itself.
        structure: the outputs as the layer returned them, in lists, tuples or dicts.
        inputs: the symbolic tensors among the arguments.
        outputs: the symbolic tensors among the outputs.
        takes_mask: whether the call is given the masks of its inputs.
    """

    def __init__(
        self,
        layer: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        structure: Any,
        takes_mask: bool = False,
    ) -> None:
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.structure = structure
        self.takes_mask = takes_mask
        self.inputs: list[KerasTensor] = symbolic_leaves([args, kwargs])
        self.outputs: list[KerasTensor] = symbolic_leaves(structure)
        self.connect()

    def connect(self) -> None:
        """Register with the layers on both sides."""
        self.layer.inbound_nodes.append(self)
        for node in dict.fromkeys(t.node for t in self.inputs if t.node is not None):
            node.layer.outbound_nodes.append(self)
        for index, tensor in enumerate(self.outputs):
            tensor.node, tensor.index = self, index

    @property
    def input_tensors(self) -> Any:
        """The input, or the list of inputs; a placeholder is its own."""
        return unwrap(self.inputs or self.outputs)

    @property
    def output_tensors(self) -> Any:
        """The output, or the list of outputs."""
        return unwrap(self.outputs)

    @property
    def input_shapes(self) -> Any:
        """The shape of the input, or the list of shapes."""
        return unwrap([tensor.shape for tensor in self.inputs or self.outputs])

    @property
    def output_shapes(self) -> Any:
        """The shape of the output, or the list of shapes."""
        return unwrap([tensor.shape for tensor in self.outputs])

    @property
    def input_masks(self) -> Any:
        """The mask of the input, or the list of masks, None where there is none."""
        return unwrap([tensor.mask for tensor in self.inputs or self.outputs])

    @property
    def output_masks(self) -> Any:
        """The mask of the output, or the list of masks, None where there is none."""
        return unwrap([tensor.mask for tensor in self.outputs])

    @property
    def inbound_layers(self) -> Any:
        """The layer that the input comes from, or the list of layers."""
        return unwrap([tensor.node.layer for tensor in self.inputs if tensor.node is not None])

    def __repr__(self) -> str:
        return f"<Node of {self.layer.name}: {self.input_shapes} -> {self.output_shapes}>"

"""The call of a layer on symbolic tensors: it infers the outputs, and records itself as a node."""

from collections.abc import Callable
from typing import Any

from batchdot.layers.base.losses import Losses
from batchdot.symbolic.shape_inference import as_input_shape, infer_call, infer_mask
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor, symbolic_tensors
from batchdot.symbolic.tree import flatten, map_structure


class SymbolicCalls(Losses):
    """The part of `Layer` that infers outputs without values, and makes nodes."""

    def _call_symbolic(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Build the layer, infer the outputs, and record the call as a node."""
        self._build_once(args[0] if args else symbolic_tensors(kwargs))
        masks = map_structure(
            lambda leaf: leaf.mask if is_keras_tensor(leaf) else None, args[0] if args else None
        )
        takes_mask = "mask" in self._call_params and any(m is not None for m in flatten(masks))
        if kwargs.get("mask") is not None:
            takes_mask, masks = False, kwargs["mask"]
        outputs, mask = self._infer(args, kwargs, masks)
        outputs = map_structure(_distinct_from(symbolic_tensors([args, kwargs])), outputs)
        for tensor, its_mask in zip(symbolic_tensors(outputs), flatten(mask), strict=False):
            tensor.mask = its_mask
        node = Node(self, args, kwargs, outputs, takes_mask)
        if self.activity_regularizer is not None:
            self._regularize_activity(outputs, node.inputs)
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output for the shape of the input, or a list of shapes.

        Unless a subclass overrides it, `call` is run on tensors without values.

        Raises:
            ValueError: the layer does not fit these shapes.
        """
        shapes = input_shape if _is_shape_list(input_shape) else [input_shape]
        tensors = [KerasTensor(tuple(shape), self._dtype) for shape in shapes]
        inputs = tensors if _is_shape_list(input_shape) else tensors[0]
        self._build_once(inputs)
        outputs, _ = infer_call(self, (inputs,), {}, None)
        return map_structure(lambda tensor: tensor.shape, outputs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return the symbolic output of a call on symbolic tensors, without making a node.

        Unless a subclass overrides it, the shape is that of `compute_output_shape` if the layer defines
        one, and `call` is run on tensors without values for the rest.

        Raises:
            ValueError: the layer does not fit these inputs.
        """
        return self._infer_by_call(args, kwargs, None)[0]

    def _infer(self, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any) -> tuple[Any, Any]:
        """Return the symbolic outputs of a call on symbolic tensors, and their masks."""
        if type(self).compute_output_spec is not SymbolicCalls.compute_output_spec:
            return self.compute_output_spec(*args, **kwargs), infer_mask(self, args, masks)
        return self._infer_by_call(args, kwargs, masks)

    def _infer_by_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any) -> tuple[Any, Any]:
        shape = None
        if type(self).compute_output_shape is not SymbolicCalls.compute_output_shape:
            # Before `call` runs on probe sizes, so that an error names the sizes that the user passed.
            shape = self.compute_output_shape(as_input_shape(args[0]))
        return infer_call(self, args, kwargs, masks, shape)


def _distinct_from(inputs: list[KerasTensor]) -> Callable[[Any], Any]:
    """Return a function that copies outputs that are inputs, so that each tensor comes from one node."""
    taken = {id(tensor) for tensor in inputs}

    def copy(leaf: Any) -> Any:
        return KerasTensor(leaf.shape, leaf.dtype, leaf.name) if id(leaf) in taken else leaf

    return copy


def _is_shape_list(shape: Any) -> bool:
    return bool(shape) and all(isinstance(item, list | tuple) for item in shape)

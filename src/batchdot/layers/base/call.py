"""The members of a layer that speak of a call: on tensors, on symbolic tensors, with the calls around it."""

import inspect
from typing import Any

import numpy as np
from torch import Tensor

from batchdot.convert import as_tensor
from batchdot.layers.base.fast_call import RESERVED, Direct, own_way
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.shape_inference import infer_call, on_meta
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor, symbolic_tensors
from batchdot.symbolic.tree import flatten, map_structure


class Calls(Direct):
    """What happens in a call that is more than `call`."""

    @own_way
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer: on tensors `call`; on symbolic tensors, make a node."""
        if len(args) > 1 and self._call_params & RESERVED:
            args, kwargs = self._bind_reserved(args, kwargs)
        if symbolic_tensors([args, kwargs]):
            return self._call_symbolically(args, kwargs)
        return self._call_eager(args, kwargs)

    def apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Call the layer on inputs, as in Keras; or a function on every module inside, as in PyTorch."""
        if callable(inputs) and not isinstance(inputs, Tensor):
            return super().apply(inputs)
        return self(inputs, *args, **kwargs)

    def is_training(self, training: bool | None) -> bool:
        """Return whether a call trains: what it was told, else the call around, else the module's mode."""
        if training is not None:
            return bool(training)
        return self.training if CONTEXT.training is None else CONTEXT.training

    def _bind_reserved(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call with those by name that follow the first that is reserved."""
        names = list(inspect.signature(self.call).parameters)[: len(args)]
        first = next((i for i, name in enumerate(names) if name in RESERVED), len(args))
        return args[:first], dict(zip(names[first:], args[first:], strict=False)) | kwargs

    def _call_eager(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `call` on tensors the first time, and where there is more to do than that."""
        args = tuple([self._read_input(arg) for arg in args])
        kwargs = {key: self._read_input(value) for key, value in kwargs.items()}
        if args:
            self._build_once(args[0])
        training, mask = kwargs.pop("training", None), kwargs.pop("mask", None)
        if "training" in self._call_params:
            given = training is not None or self._resolves_training
            kwargs["training"] = training if given else self.is_training(None)
        if "mask" in self._call_params:
            kwargs["mask"] = mask
        unheard = training is not None and bool(self._modules)  # what layers inside are to be told
        plain = self._is_plain() and not CONTEXT.in_shape_inference and not unheard
        outputs = self.call(*args, **kwargs) if plain else self._call_tracked(args, kwargs, training)
        if outputs is None:
            raise ValueError(
                f"The `call` of layer {self.name} returned None: it should return a tensor, or several."
            )
        if plain:
            self._note_direct()
        return outputs

    def _call_tracked(self, args: tuple[Any, ...], kwargs: dict[str, Any], training: bool | None) -> Any:
        """Run `call` where calls inside, or losses, depend on this call being under way."""
        if not CONTEXT.calls:
            self._clear_call_losses()
        around = CONTEXT.training
        CONTEXT.training = around if training is None else bool(training)
        CONTEXT.calls.append(self)
        try:
            if CONTEXT.in_shape_inference:  # weights that have just been made are not where the inputs are
                with on_meta(self):
                    outputs = self.call(*args, **kwargs)
            else:
                outputs = self.call(*args, **kwargs)
        finally:
            CONTEXT.calls.pop()
            CONTEXT.training = around
        if self.activity_regularizer is not None and not CONTEXT.in_shape_inference:
            self._regularize_activity(outputs, args[0] if args else None)
        return outputs

    def _call_symbolically(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Build, infer what comes out, and keep the call as a node."""
        self._build_once(args[0] if args else symbolic_tensors(kwargs))
        masks = map_structure(
            lambda leaf: leaf.mask if is_keras_tensor(leaf) else None, args[0] if args else None
        )
        takes_mask = "mask" in self._call_params and any(m is not None for m in flatten(masks))
        if kwargs.get("mask") is not None:
            takes_mask, masks = False, kwargs["mask"]
        outputs, mask = self._infer(args, kwargs, masks)
        outputs = map_structure(_distinct(symbolic_tensors([args, kwargs])), outputs)
        for tensor, its_mask in zip(symbolic_tensors(outputs), flatten(mask), strict=False):
            tensor.mask = its_mask
        node = Node(self, args, kwargs, outputs, takes_mask)
        if self.activity_regularizer is not None:
            self._regularize_activity(outputs, node.inputs)
        return outputs

    def _infer(self, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any) -> tuple[Any, Any]:
        """Return what comes out of a call on symbolic tensors, and the mask of that."""
        return infer_call(self, args, kwargs, masks)

    def _read_input(self, value: Any) -> Any:
        """Return an input as the layer takes it: tensors, cast where the layer was given a dtype."""
        if isinstance(value, Tensor):
            return value.to(self._dtype) if self.autocast and value.is_floating_point() else value
        if isinstance(value, list | tuple) and any(
            isinstance(v, Tensor | np.ndarray) for v in flatten(value)
        ):
            return [self._read_input(item) for item in value]
        if isinstance(value, dict):
            return {key: self._read_input(item) for key, item in value.items()}
        if value is None or isinstance(value, bool | str):
            return value
        return as_tensor(value, self._placement.device, self._dtype)


def _distinct(inputs: list[KerasTensor]) -> Any:
    """Return a function that copies an output which is an input: each tensor comes from one node."""
    taken = {id(tensor) for tensor in inputs}

    def copy(leaf: Any) -> Any:
        return KerasTensor(leaf.shape, leaf.dtype, leaf.name) if id(leaf) in taken else leaf

    return copy

"""The call of a layer: `__call__`, `forward`, and the steps around `call`.

A full call runs the hooks of nn.Module and then `forward`. On symbolic tensors that makes a node. On tensors
it converts and casts the inputs, builds the layer, passes ``training`` and ``mask``, and records losses.

Fast path: the `call` of built-in layers only computes a result (`_pure_call`). After a full call that had
nothing else to do, the layer stores the containers that would require another full call: torch's hooks, and
a list that grows when an attribute is set. While all are empty, `__call__` runs `call` directly.
"""

import inspect
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.fx import Proxy

from batchdot._torch import (
    compile_time_constant,
    global_hooks,
    has_compiled_call,
    is_jit_tracing,
    is_tracing,
    module_hooks,
)
from batchdot.convert import as_tensor
from batchdot.layers.base.losses import Losses
from batchdot.layers.base.modes import Told, in_told_mode
from batchdot.ops.plan_cache import are_exact_tensors
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.shape_inference import as_input_shape, infer_call, infer_mask, real_values
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor, symbolic_tensors
from batchdot.symbolic.tree import flatten, map_structure

RESERVED = frozenset(["training", "mask"])
"""Parameters of `call` that every call of a layer accepts, and passes on to a `call` that has them."""


BUILDING = threading.RLock()
"""Held while a layer is built: one lock for all, as a layer that held one could not be copied."""

_builds: list[Any] = []
"""The layers that are being built: `built` may be True before `build` has returned."""


class Calls(Told, Losses):
    """The part of `Layer` that calls it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer: run `call` directly if a full call would do nothing more."""
        if is_tracing():  # a conditional expression would be longer than a line
            slow = self._prepare_compile() or self._slow_path_triggers[0]
        else:
            slow = any(self._slow_path_triggers) or is_jit_tracing()
        if not (kwargs or slow):
            for arg in args:
                if not (are_exact_tensors(arg) if arg.__class__ is list else arg.__class__ is Tensor):
                    break
            else:
                if len(args) == 1 or self._call_params.isdisjoint(RESERVED):
                    return self.call(*args)
        is_plain = args and args[0].__class__ is Tensor
        if not (is_plain or is_tracing()) and isinstance(
            proxy := _first(args or tuple(kwargs.values())), Proxy
        ):
            return self._call_fx(proxy.tracer, args, kwargs)
        return super().__call__(*args, **kwargs)

    def _is_pure(self) -> bool:
        """Whether a full call only runs `call`: a `_pure_call` without regularizer, sublayers or context."""
        context_args = self._call_context_args
        return (
            "_pure_call" in type(self).__dict__
            and "call" not in self.__dict__
            and self.activity_regularizer is None
            and not (context_args - {"training"} if self._resolves_training else context_args)
            and not self._modules
        )

    def _enable_fast_call(self) -> None:
        """Let later calls take the fast path, unless they may need a full call."""
        if (
            "_slow_path_triggers" not in self.__dict__
            and not is_tracing()  # a compiled call leaves the layer as it was
            and self.built
            and self._is_pure()
            and not self.autocast
            and self.input_spec is None
            and "forward" not in self.__dict__
            and not has_compiled_call(self)
        ):
            triggers = ([], *module_hooks(self), *global_hooks())
            self.__dict__.setdefault("_slow_path_triggers", triggers)  # those that another thread may hold

    def _disable_fast_call(self, why: str) -> None:
        """Make the next call a full one, and also that of programs that hold the triggers."""
        triggers = self.__dict__.pop("_slow_path_triggers", None)
        if triggers is not None:
            triggers[0].append(why)

    @compile_time_constant
    def _prepare_compile(self) -> bool:
        """Return whether a call that torch.compile starts to trace has to be a full one.

        Decided once, so that compiled calls guard on the layer's own triggers alone. They do not see hooks
        that are registered later, as with every module.
        """
        if "built" in self.__dict__:  # not so while the compiled function itself makes the layer
            if self._built_at_init and not self.built:
                self.built = True
            for name in self._derived:
                getattr(self, name)  # computed here, or it would be traced
            self._enable_fast_call()
        return any(self._slow_path_triggers)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer: `call` on tensors; on symbolic tensors, make a node."""
        if args.__class__ is not tuple:  # torch.fx passes one placeholder for all
            raise self._fx_error()
        if len(args) > 1 and self._call_params & RESERVED:
            args, kwargs = self._bind_reserved(args, kwargs)
        if args:
            args = self._bind_inputs(*args)
        if (kwargs or not are_exact_tensors(args)) and symbolic_tensors([args, kwargs]):
            return self._call_symbolic(args, kwargs)
        return self._call_eager(args, kwargs)

    def __prepare_scriptable__(self) -> Any:
        """Refuse torch.jit.script, which asks for a module that it can compile."""
        raise TypeError(
            f"torch.jit.script cannot compile layer {self.name}. Use torch.export.export(layer, (inputs,)) "
            "or torch.jit.trace(layer, (inputs,))."
        )

    def _call_fx(self, tracer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record a call that torch.fx traces, as one node."""
        if tracer.root is self:
            raise self._fx_error()
        return tracer.create_proxy("call_module", tracer.path_of_module(self), args, kwargs)

    def _fx_error(self) -> TypeError:
        return TypeError(
            f"torch.fx cannot trace the inside of layer {self.name}. Trace a module that holds the layer, as "
            "torch.fx.symbolic_trace(torch.nn.Sequential(layer)): it is one node there. Or use torch.export."
        )

    def apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Call the layer on inputs, as in Keras; or a function on every module inside, as in PyTorch."""
        if callable(inputs) and not isinstance(inputs, Tensor):
            return super().apply(inputs)
        return self(inputs, *args, **kwargs)

    def is_training(self, training: bool | None) -> bool:
        """Return whether a call trains: by its argument, else by the call around it, else by the mode."""
        return self.training if training is None else bool(training)

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

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; in shape inference a weight keeps its value, which other threads may read."""
        inferred = CONTEXT.in_shape_inference and isinstance(value, Tensor) and value.is_meta
        if not inferred or (name not in self._buffers and name not in self._parameters):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that torch.nn.Module keeps; a torch module in the mode of the call."""
        value = super().__getattr__(name)
        return value if CONTEXT.training is None else in_told_mode(value)

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the names of the modules directly inside, and these in the mode of the call."""
        for name, module in super().named_children():
            yield name, in_told_mode(module)

    def _build_once(self, inputs: Any) -> None:
        """Build the layer for these inputs, unless it is built: in one thread, with real weights."""
        if self.built and (is_tracing() or not _builds):
            return
        if is_tracing():
            super()._build_once(inputs)
            return
        with BUILDING, real_values(), CONTEXT.set(training=None):
            if self.built:
                return
            _builds.append(self)
            try:
                super()._build_once(inputs)
            finally:
                _builds.pop()

    def _initial_value(self, name: str, shape: Any, dtype: Any, initializer: Any) -> Tensor:
        with real_values():
            return super()._initial_value(name, shape, dtype, initializer)

    def _bind_inputs(self, *args: Any) -> tuple[Any, ...]:
        """Return the positional arguments of a call as `call` takes them."""
        return args

    def _bind_reserved(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Move positional arguments from the first reserved one (``training``, ``mask``) on to keywords."""
        parameters = inspect.signature(self.call).parameters.values()
        names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD][: len(args)]
        first = next((i for i, name in enumerate(names) if name in RESERVED), len(args))
        return args[:first], dict(zip(names[first:], args[first:], strict=False)) | kwargs

    def _call_eager(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `call` on tensors: convert inputs, build, pass ``training`` and ``mask``, and record losses."""
        is_plain = are_exact_tensors(args)
        if kwargs or self.autocast or not is_plain:
            inputs = (args, kwargs)
            args = tuple([self._read_input(arg, inputs) for arg in args])
            kwargs = {key: self._read_input(value, inputs) for key, value in kwargs.items()}
        if args:
            self._build_once(args[0])
        training, mask = kwargs.pop("training", None), kwargs.pop("mask", None)
        if "training" in self._call_params:
            given = training is not None or self._resolves_training
            kwargs["training"] = training if given else self.training
        if "mask" in self._call_params:
            kwargs["mask"] = mask
        training_for_sublayers = training is not None and bool(self._modules)
        if self._is_pure() and not (CONTEXT.in_shape_inference or training_for_sublayers):
            outputs = self.call(*args, **kwargs)
            self._enable_fast_call()
        else:
            outputs = self._call_tracked(args, kwargs, training)
        if outputs is None:
            raise ValueError(
                f"The `call` of layer {self.name} returned None: it should return a tensor, or several."
            )
        return outputs

    def _call_tracked(self, args: tuple[Any, ...], kwargs: dict[str, Any], training: bool | None) -> Any:
        """Run `call` on the stack of calls: it collects losses, and inner calls inherit ``training``."""
        self._begin_call_losses()
        training_before = CONTEXT.training
        if training is not None:
            CONTEXT.training = bool(training)
        CONTEXT.calls.append(self)
        try:
            if CONTEXT.in_shape_inference:
                return self.call(*args, **kwargs)
            outputs = self.call(*args, **kwargs)
            if self.activity_regularizer is not None:
                self._regularize_activity(outputs, args)
            return outputs
        finally:
            CONTEXT.calls.pop()
            if training is not None:
                CONTEXT.training = training_before

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

    def _infer(self, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any) -> tuple[Any, Any]:
        """Return the symbolic outputs of a call on symbolic tensors, and their masks."""
        if type(self).compute_output_spec is not Calls.compute_output_spec:
            return self.compute_output_spec(*args, **kwargs), infer_mask(self, args, masks)
        return self._infer_by_call(args, kwargs, masks)

    def _infer_by_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any) -> tuple[Any, Any]:
        shape = None
        if type(self).compute_output_shape is not Calls.compute_output_shape:
            # Before `call` runs on probe sizes, so that an error names the sizes that the user passed.
            shape = self.compute_output_shape(as_input_shape(args[0]))
        return infer_call(self, args, kwargs, masks, shape)

    def _read_input(self, value: Any, beside: Any = None) -> Any:
        """Return an input as a tensor or nested tensors, cast if the layer was given a dtype.

        What is no tensor goes to the device of the first tensor in ``beside``, else to the layer's.
        """
        if isinstance(value, Tensor):
            return value.to(self._dtype) if self.autocast and value.is_floating_point() else value
        if isinstance(value, list | tuple) and any(
            isinstance(v, Tensor | np.ndarray) for v in flatten(value)
        ):
            return [self._read_input(item, value if beside is None else beside) for item in value]
        if isinstance(value, dict):
            return {key: self._read_input(item, beside) for key, item in value.items()}
        if value is None or isinstance(value, bool | str):
            return value
        devices = [leaf.device for leaf in flatten(beside) if isinstance(leaf, Tensor)]
        return as_tensor(value, devices[0] if devices else self._placement.device, self._dtype)


@lru_cache(maxsize=1024)
def read_signature(call: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Return the parameters of a `call`, and which of ``training`` and ``mask`` a call must pass."""
    parameters = inspect.signature(call).parameters
    required = {key for key in RESERVED if key in parameters}
    if "mask" in required and parameters["mask"].default is None:
        required.remove("mask")  # a missing mask is None too
    return frozenset(parameters), frozenset(required)


def _distinct_from(inputs: list[KerasTensor]) -> Callable[[Any], Any]:
    """Return a function that copies outputs that are inputs, so that each tensor comes from one node."""
    taken = {id(tensor) for tensor in inputs}

    def copy(leaf: Any) -> Any:
        return KerasTensor(leaf.shape, leaf.dtype, leaf.name) if id(leaf) in taken else leaf

    return copy


def _first(value: Any) -> Any:
    """Return the first item of nested lists and tuples, None if there is none."""
    while isinstance(value, list | tuple):
        value = value[0] if value else None
    return value


def _is_shape_list(shape: Any) -> bool:
    return bool(shape) and all(isinstance(item, list | tuple) for item in shape)

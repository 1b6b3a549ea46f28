"""The call of a layer: `__call__`, `forward`, and the steps around `call`.

A full call runs the hooks of nn.Module and then `forward`. On symbolic tensors that makes a node. On tensors
it converts and casts the inputs, builds the layer, passes ``training`` and ``mask``, and records losses.

Fast path: the `call` of built-in layers only computes a result (`_pure_call`). After a full call that had
nothing else to do, the layer stores the containers that would require another full call: torch's hooks, and
a list that grows when an attribute is set. While all are empty, `__call__` runs `call` directly.
"""

import inspect
import threading
from collections.abc import Iterator
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
from batchdot.layers.base.modes import CallMode, in_call_mode
from batchdot.layers.base.symbolic_call import SymbolicCalls
from batchdot.ops.plan_cache import are_exact_tensors
from batchdot.symbolic.call_context import CONTEXT, real_values
from batchdot.symbolic.tensor import symbolic_tensors
from batchdot.symbolic.tree import flatten

RESERVED = frozenset(["training", "mask"])
"""Parameters of `call` that every call of a layer accepts, and passes on to a `call` that has them."""


BUILDING = threading.RLock()
"""Held while a layer is built: one lock for all, as a layer that held one could not be copied."""

_builds: list[Any] = []
"""The layers that are being built: `built` may be True before `build` has returned."""


class Calls(CallMode, SymbolicCalls):
    """The part of `Layer` that calls it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer: run `call` directly if a full call would do nothing more."""
        if is_tracing():
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
        first_is_tensor = args and args[0].__class__ is Tensor
        if not (first_is_tensor or is_tracing()) and isinstance(
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

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; in shape inference a weight keeps its value, which other threads may read."""
        inferred = CONTEXT.in_shape_inference and isinstance(value, Tensor) and value.is_meta
        if not inferred or (name not in self._buffers and name not in self._parameters):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that torch.nn.Module keeps; a torch module in the mode of the call."""
        value = super().__getattr__(name)
        return value if CONTEXT.training is None else in_call_mode(value)

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the names of the modules directly inside, and these in the mode of the call."""
        for name, module in super().named_children():
            yield name, in_call_mode(module)

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
        exact = are_exact_tensors(args)
        if kwargs or self.autocast or not exact:
            inputs = (args, kwargs)
            args = tuple([self._convert_input(arg, inputs) for arg in args])
            kwargs = {key: self._convert_input(value, inputs) for key, value in kwargs.items()}
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
            outputs = self.call(*args, **kwargs)
            if self.activity_regularizer is not None and not CONTEXT.in_shape_inference:
                self._regularize_activity(outputs, args)
            return outputs
        finally:
            CONTEXT.calls.pop()
            if training is not None:
                CONTEXT.training = training_before

    def _convert_input(self, value: Any, others: Any = None) -> Any:
        """Return an input as a tensor or nested tensors, cast if the layer was given a dtype.

        What is no tensor goes to the device of the first tensor in ``others``, else to the layer's.
        """
        if isinstance(value, Tensor):
            return value.to(self._dtype) if self.autocast and value.is_floating_point() else value
        if isinstance(value, list | tuple) and any(
            isinstance(v, Tensor | np.ndarray) for v in flatten(value)
        ):
            return [self._convert_input(item, value if others is None else others) for item in value]
        if isinstance(value, dict):
            return {key: self._convert_input(item, others) for key, item in value.items()}
        if value is None or isinstance(value, bool | str):
            return value
        devices = [leaf.device for leaf in flatten(others) if isinstance(leaf, Tensor)]
        return as_tensor(value, devices[0] if devices else self._placement.device, self._dtype)


@lru_cache(maxsize=1024)
def read_signature(call: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Return the parameters of a `call`, and which of ``training`` and ``mask`` a call must pass."""
    parameters = inspect.signature(call).parameters
    required = {key for key in RESERVED if key in parameters}
    if "mask" in required and parameters["mask"].default is None:
        required.remove("mask")  # a missing mask is None too
    return frozenset(parameters), frozenset(required)


def _first(value: Any) -> Any:
    """Return the first item of nested lists and tuples, None if there is none."""
    while isinstance(value, list | tuple):
        value = value[0] if value else None
    return value

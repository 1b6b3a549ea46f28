"""Functions of torch and methods of Tensor on symbolic tensors: each call becomes a layer.

Importing this file gives `KerasTensor` the protocol ``__torch_function__`` and the methods of torch.Tensor.
"""

import inspect
from collections.abc import Callable
from functools import cache
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.overrides import get_overridable_functions, resolve_name

from batchdot.symbolic.functions import SYMBOLIC_FUNCTIONS, symbolic_call
from batchdot.symbolic.shape_inference import infer
from batchdot.symbolic.tensor import KerasTensor, symbolic_tensors

_WITHOUT_TENSOR = ("is_", "numel", "result_type", "can_cast", "promote_types", "get_device")
"""How names of functions begin that return no tensor: these make no layer."""


def find_function(name: str) -> Callable[..., Any] | None:
    """Return the function that a config names: one of `SYMBOLIC_FUNCTIONS`, or one of torch's of tensors.

    >>> find_function("torch.sum") is torch.sum, find_function("torch.load")
    (True, None)
    """
    return SYMBOLIC_FUNCTIONS.get(name) or (
        _torch_functions().get(name) if name.startswith("torch.") else None
    )


@cache
def _torch_functions() -> dict[str, Callable[..., Any]]:
    """Return by name the functions of torch that call ``__torch_function__``: those of tensors."""
    functions = chain.from_iterable(get_overridable_functions().values())
    return {name: function for function in functions if (name := resolve_name(function)) is not None}


def call_torch_function(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a function of torch on symbolic tensors: make its layer, and with it a node.

    Raises:
        TypeError: a torch.nn.Module makes the call; or the function changes a tensor in place.
        ValueError: the function needs values.
    """
    _refuse_module()
    name = resolve_name(function) or str(function)
    short = name.rpartition(".")[2]
    if short.endswith("_") and not short.endswith("__"):
        raise TypeError(f"A symbolic tensor is not changed in place. Write x = x.{short[:-1]}(...).")
    if short.startswith(_WITHOUT_TENSOR):
        value = infer(function, *args, **kwargs)
        if not symbolic_tensors(value):
            return value
    if find_function(name) is None:  # an operator of a library
        SYMBOLIC_FUNCTIONS[name] = function
    return symbolic_call(name, *args, **{key: value for key, value in kwargs.items() if value is not None})


def _refuse_module() -> None:
    """Raise an error if a torch.nn.Module that is no layer is being called on a symbolic tensor.

    Its mode and buffers would not belong to the model. Only the stack says which module calls a function.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "forward":
            names, variadic, keywords, values = inspect.getargvalues(frame)
            module = values.get("self")
            given = [values[name] for name in (*names, variadic, keywords) if name in values]
            bare = isinstance(module, nn.Module) and not hasattr(module, "inbound_nodes")
            if bare and symbolic_tensors(given[1:]):  # a module may also make a graph in its `forward`
                raise TypeError(
                    f"{type(module).__name__} was called on a symbolic tensor. Wrap the module, so that it "
                    "belongs to the model: layers.TorchModuleWrapper(module)(x)."
                )
        frame = frame.f_back


def _torch_function(
    cls: type, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
) -> Any:
    return call_torch_function(function, args, kwargs or {})


def _method(self: KerasTensor, name: str) -> Any:
    """Return a method of torch.Tensor, or its attribute ``T``, ``mT``, ``H`` or ``mH``."""
    found = None if name.startswith("_") else inspect.getattr_static(torch.Tensor, name, None)
    if name in ("T", "mT", "H", "mH"):
        return call_torch_function(found.__get__, (self,), {})  # type: ignore[union-attr]
    if not callable(found):
        raise AttributeError(f"A symbolic tensor has no {name!r}: it has a shape and a dtype, and no values.")
    method: Callable[..., Any] = found

    def call(*args: Any, **kwargs: Any) -> Any:
        return call_torch_function(method, (self, *args), kwargs)

    return call


def _dim(self: KerasTensor) -> int:
    """Return the number of axes."""
    _refuse_module()
    return len(self.shape)


def _size(self: KerasTensor, dim: int | None = None) -> Any:
    """Return the shape, or the size of an axis, None where unknown."""
    _refuse_module()
    return self.shape if dim is None else self.shape[dim]


def _install() -> None:
    setattr(KerasTensor, "__torch_function__", classmethod(_torch_function))  # noqa: B010
    setattr(KerasTensor, "__getattr__", _method)  # noqa: B010
    for name, method in {"dim": _dim, "ndimension": _dim, "size": _size}.items():
        setattr(KerasTensor, name, method)


_install()

"""Modes: torch modules inside a call with ``training`` obey it, and no module's own mode changes.

A call has ``training`` by ``layer(x, training=False)`` or `Model.predict`, and layers ask the call around
them. A torch module inside a layer, such as nn.Dropout, knows only its own ``training``, which other threads
may be using. So a layer in such a call gets a view of it: an object with the same state and the ``training``
of the call. Compiled and scripted modules run in their own mode, which `Model.predict` has to change.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import nn

from batchdot._torch import has_compiled_call, is_tracing
from batchdot.symbolic.call_context import CONTEXT


class CallMode:
    """Mixin of layers and views: ``training`` is that of the call around, else the module's own mode."""

    __dict__: dict[str, Any]

    @property
    def training(self) -> bool:
        """Whether the module trains: as the call around it says, else by ``train()`` and ``eval()``."""
        given = CONTEXT.training
        return bool(self.__dict__["training"] if given is None else given)

    @training.setter
    def training(self, value: bool) -> None:
        self.__dict__["training"] = value


class View(CallMode):
    """Mixin of the class of a view: the modules inside are seen through views as well."""

    @property
    def _modules(self) -> dict[str, Any]:
        return {name: in_call_mode(module) for name, module in self.__dict__["_modules"].items()}

    def __getattr__(self, name: str) -> Any:
        return in_call_mode(super().__getattr__(name))  # type: ignore[misc]


def in_call_mode(value: Any) -> Any:
    """Return a view of a torch module if the call around has ``training``; else the value as it is.

    >>> dropout = nn.Dropout()
    >>> with CONTEXT.set(training=False):
    ...     in_call_mode(dropout).training, dropout.__dict__["training"]
    (False, True)
    """
    if (
        is_tracing()
        or CONTEXT.training is None
        or not isinstance(value, nn.Module)
        or isinstance(value, CallMode)
    ):
        return value
    if isinstance(value, torch.jit.ScriptModule):  # its mode is not an attribute of Python
        return value
    cls: Any = type(value)
    view: Any = object.__new__(_view_class(cls))
    view.__dict__ = value.__dict__
    return view


def obeys_calls(module: nn.Module) -> bool:
    """Return whether all modules inside have the mode of the call: no torch module, or none compiled."""
    if all(isinstance(each, CallMode) for each in module.modules()):
        return True
    return not any(map(_is_compiled, module.modules()))


def _is_compiled(module: nn.Module) -> bool:
    """Whether what runs in place of ``forward`` holds the module itself, and not a view of it."""
    return (
        isinstance(module, torch.jit.ScriptModule) or "forward" in vars(module) or has_compiled_call(module)
    )


@lru_cache(maxsize=1024)
def _view_class(cls: type) -> type:
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (View, cls), names)

"""The module that a ported file defines: the text is checked, run, and given its weights."""

import itertools
import linecache
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from torch import nn

from batchdot.porting.source import check

Functions = Mapping[str, Callable[..., object]]
"""The user's functions that a text calls without importing them, by name."""

_lock = threading.Lock()
_known: dict[tuple[str, tuple[int, ...]], ModuleType] = {}
_numbers = itertools.count(1)
_LARGEST = 256


def classes_of(
    text: str, imports: tuple[str, ...] = (), functions: Functions | None = None
) -> dict[str, Any]:
    """Return what the text of a ported file defines, by name. The text is checked, then run once.

    It stands in `sys.modules` and in `linecache`, where `inspect` and tracebacks look for source.

    Args:
        text: the file.
        imports: statements that import the user's functions.
        functions: the user's functions that cannot be imported.

    Raises:
        SourceError: it holds what translations do not write.
    """
    functions = functions or {}
    key = text, tuple(map(id, functions.values()))
    with _lock:
        if key not in _known:
            check(text, imports, functions)
            _known[key] = _run(text, imports, functions)
            while len(_known) > _LARGEST:
                _forget(_known.pop(next(iter(_known))))
        return vars(_known[key])


def _run(text: str, imports: tuple[str, ...], functions: Functions) -> ModuleType:
    number = next(_numbers)
    module = ModuleType(f"batchdot_ported_{number}")
    module.__file__ = f"<ported {number}>"
    vars(module).update(functions)
    exec(compile(text, module.__file__, "exec"), vars(module))
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__:
            value.__reduce_ex__ = _reducer(text, imports, functions)  # type: ignore[method-assign]
    linecache.cache[module.__file__] = len(text), None, text.splitlines(keepends=True), module.__file__
    sys.modules[module.__name__] = module
    return module


def _forget(module: ModuleType) -> None:
    linecache.cache.pop(module.__file__ or "", None)
    sys.modules.pop(module.__name__, None)


def _reducer(text: str, imports: tuple[str, ...], functions: Functions) -> Any:
    """Return the ``__reduce_ex__`` of modules of one text: they are pickled and copied as text and state."""

    def reduce(module: nn.Module, protocol: int) -> tuple[object, ...]:
        own = type(module).__module__
        parts = {
            key: _OwnFunction(text, value.__name__, imports, functions)
            if isinstance(value, FunctionType) and value.__module__ == own
            else value
            for key, value in module.__dict__.items()
        }
        return blank, (text, type(module).__name__, imports, dict(functions)), parts

    return reduce


@dataclass
class _OwnFunction:
    """A function of a text, such as the activation of a recurrent layer, on its way into a pickle."""

    text: str
    name: str
    imports: tuple[str, ...]
    functions: Functions

    def __reduce__(self) -> tuple[object, ...]:
        return own_function, (self.text, self.name, self.imports, dict(self.functions))


def own_function(text: str, name: str, imports: tuple[str, ...], functions: Functions) -> object:
    """Return a function that a text defines. Unpickling calls it.

    Raises:
        SourceError: the text holds what translations do not write.
    """
    return classes_of(text, imports, functions)[name]


def blank(text: str, name: str, imports: tuple[str, ...], functions: Functions) -> nn.Module:
    """Return a module of a class of a text, without attributes. Unpickling calls it.

    Raises:
        SourceError: the text holds what translations do not write.
    """
    cls = classes_of(text, imports, functions)[name]
    module: nn.Module = cls.__new__(cls)
    return module

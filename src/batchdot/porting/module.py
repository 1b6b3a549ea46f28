"""The module that a ported file defines: the text is checked, run, and given its weights."""

import linecache
from functools import lru_cache
from typing import Any

from torch import nn

from batchdot.porting.source import check


@lru_cache(maxsize=256)
def classes_of(text: str) -> dict[str, Any]:
    """Return what the text of a ported file defines, by name. The text is checked first.

    Raises:
        SourceError: it holds what translations do not write.
    """
    tree = check(text)
    name = f"<ported {hash(text) & 0xFFFFFFFF:08x}>"
    namespace: dict[str, Any] = {"__name__": "batchdot_ported"}
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(tree, name, "exec"), namespace)
    for value in namespace.values():
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == "batchdot_ported":
            value.__reduce_ex__ = _reducer(text)  # type: ignore[method-assign]
    return namespace


def _reducer(text: str) -> Any:
    """Return the ``__reduce_ex__`` of modules of one text: they are pickled and copied as text and state."""

    def reduce(module: nn.Module, protocol: int) -> tuple[object, ...]:
        return _blank, (text, type(module).__name__), module.__dict__

    return reduce


def _blank(text: str, name: str) -> nn.Module:
    cls = classes_of(text)[name]
    module: nn.Module = cls.__new__(cls)
    return module

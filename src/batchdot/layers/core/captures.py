"""Captures: weights and modules that a function takes from its closure, globals or defaults."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import CellType, CodeType, FunctionType
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Capture:
    """A place where a function finds a parameter or a module.

    Attributes:
        where: "closure", "globals", "defaults" or "keywords".
        name: the variable's name; in "defaults" the argument's.
    """

    where: str
    name: str

    def value(self, function: FunctionType) -> Any:
        """Return what the function finds there now."""
        return dict(_places(function, self.where)).get(self.name)


def find_captures(function: Any) -> list[Capture]:
    """Return where a Python function finds parameters and modules; not those of functions that it calls.

    A variable ``self`` is left out: it is the module that holds the function.

    >>> number = 3
    >>> def scale(x, linear=nn.Linear(2, 2)):
    ...     return linear(x) * number
    >>> find_captures(scale)
    [Capture(where='defaults', name='linear')]
    """
    if not isinstance(function, FunctionType):
        return []
    return [
        Capture(where, name)
        for where in ("closure", "globals", "defaults", "keywords")
        for name, value in _places(function, where)
        if isinstance(value, nn.Parameter | nn.Module) and name != "self"
    ]


def rebind(function: FunctionType, values: dict[Capture, Any]) -> FunctionType:
    """Return the function with other values in these places."""

    def replaced(where: str) -> dict[str, Any]:
        return {capture.name: value for capture, value in values.items() if capture.where == where}

    closure, defaults = replaced("closure"), replaced("defaults")
    cells = [
        CellType(closure[name]) if name in closure else cell
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    ]
    new = FunctionType(
        function.__code__,
        {**function.__globals__, **replaced("globals")},
        function.__name__,
        tuple(defaults.get(name, value) for name, value in _places(function, "defaults")),
        tuple(cells),
    )
    new.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **replaced("keywords")}
    return new


def _places(function: FunctionType, where: str) -> Iterator[tuple[str, Any]]:
    code = function.__code__
    if where == "closure":
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:  # assigned later
                continue
    elif where == "globals":
        yield from ((n, function.__globals__[n]) for n in _names(code) if n in function.__globals__)
    elif where == "defaults":
        values = function.__defaults__ or ()
        yield from zip(
            code.co_varnames[code.co_argcount - len(values) : code.co_argcount], values, strict=True
        )
    else:
        yield from (function.__kwdefaults__ or {}).items()


def _names(code: CodeType) -> list[str]:
    """Return the global names in a function's code, and in functions written inside it."""
    inner = [
        name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)
    ]
    return list(dict.fromkeys([*code.co_names, *inner]))

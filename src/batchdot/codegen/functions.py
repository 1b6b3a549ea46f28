"""Write a Python function statement by statement, and compile it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from batchdot.codegen.lines import INDENT, WIDTH, break_statement

Structure: TypeAlias = "str | Sequence[Structure] | Mapping[str, Structure]"
"""A name or another expression, or a list, tuple or dict of them."""


class Function:
    r"""A function or method while it is written, formatted as ``ruff format`` leaves it.

    Args:
        name: what it is called.
        parameters: names, which may have annotations and defaults.
        returns: the annotation of what it returns, if any.
        indent: of the line ``def``.

    Attributes:
        lines: the source so far.
        indent: of the next statement.

    >>> function = Function("forward", ["self", "x"])
    >>> with function.block("for _ in range(2):"):
    ...     function.assign("x", "self.dense(x)", "  # (B, 2)")
    >>> function.give(["x", "x"])
    >>> print("\n".join(function.lines))
    def forward(self, x):
        for _ in range(2):
            x = self.dense(x)  # (B, 2)
        return [x, x]
    """

    def __init__(self, name: str, parameters: Sequence[str], returns: str = "", indent: str = "") -> None:
        self._name = name
        self.lines = _signature(name, parameters, returns, indent)
        self.indent = indent + INDENT

    def add(self, line: str) -> None:
        """Add a statement that is one line, whatever its width."""
        self.lines.append(self.indent + line)

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """Add the first line of a compound statement; what is added in the context stands in it."""
        self.add(header)
        self.indent += INDENT
        yield
        self.indent = self.indent[: -len(INDENT)]

    def assign(self, targets: Structure, expression: str, comment: str = "") -> None:
        """Add ``targets = expression``.

        Args:
            targets: a name, or tuples of names to unpack into; "" for an expression that stands alone.
            expression: on one line.
            comment: what stands behind it, with the space before; left out where it would break the line.
        """
        left = f"{write_structure(targets)} = " if targets else ""
        lines = _with_comment(f"{self.indent}{left}", expression, comment)
        if len(lines[0]) > WIDTH and isinstance(targets, tuple):
            self.add("(")
            for target in targets:
                self.lines += break_statement(f"{self.indent}{INDENT}", _inside(target), ",")
            lines = break_statement(f"{self.indent}) = ", expression, comment)
        self.lines += lines

    def give(self, results: Structure, comment: str = "") -> None:
        """Add the return of results."""
        self.lines += _with_comment(f"{self.indent}return ", write_structure(results), comment)

    def compile(self, names: Mapping[str, Any]) -> Callable[..., Any]:
        """Return the function; ``names`` are its globals.

        >>> function = Function("double", ["x"])
        >>> function.give("add(x, x)")
        >>> function.compile({"add": lambda x, y: x + y})(2)
        4
        """
        namespace = dict(names)
        exec(compile("\n".join(self.lines), f"<generated {self._name}>", "exec"), namespace)
        function: Callable[..., Any] = namespace[self._name]
        return function


def _with_comment(prefix: str, expression: str, comment: str) -> list[str]:
    """Return a statement with its comment, or without it if only the comment makes it too long for a line."""
    lines = break_statement(prefix, expression, comment)
    return [prefix + expression] if len(lines) > 1 and len(prefix + expression) <= WIDTH else lines


def write_structure(structure: Structure) -> str:
    """Return expressions in lists, tuples and dicts as source; an outer tuple without its brackets.

    >>> write_structure(("x", ["y", ("z",)])), write_structure({"score": "x"})
    ('x, [y, (z,)]', '{"score": x}')
    """
    if isinstance(structure, tuple) and len(structure) > 1:
        return ", ".join(map(_inside, structure))
    return _inside(structure)


def _inside(structure: Structure) -> str:
    """Return expressions as they stand in brackets or between commas."""
    if isinstance(structure, str):
        return structure
    if isinstance(structure, Mapping):
        pairs = (f"{json.dumps(key)}: {_inside(part)}" for key, part in structure.items())
        return f"{{{', '.join(pairs)}}}"
    parts = ", ".join(map(_inside, structure))
    if isinstance(structure, tuple):
        return f"({parts},)" if len(structure) == 1 else f"({parts})"
    return f"[{parts}]"


def _signature(name: str, parameters: Sequence[str], returns: str, indent: str) -> list[str]:
    joined = ", ".join(parameters)
    arrow = f" -> {returns}" if returns else ""
    line = f"{indent}def {name}({joined}){arrow}:"
    if len(line) <= WIDTH:
        return [line]
    inside = indent + INDENT
    rows = [f"{inside}{joined}"]
    if len(rows[0]) > WIDTH:
        rows = [f"{inside}{parameter}," for parameter in parameters]
    last = break_statement(f"{indent}) -> ", returns, ":") if returns else [f"{indent}):"]
    return [f"{indent}def {name}(", *rows, *last]

"""Code generation: a list of calls as the source of a Python function, for running a model or printing it.

>>> call = Call("dense_output", "self.dense", ("x",))
>>> print(write_function("forward", ["self", "x"], [call], "dense_output"))
def forward(self, x):
    dense_output = self.dense(x)
    return dense_output
"""

import builtins
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Names: TypeAlias = "str | Sequence[Names]"
"""A name, or a list of names, as an argument or a result."""


@dataclass(frozen=True)
class Call:
    """One call: ``result = function(*arguments)``.

    Attributes:
        result: the name of what it returns.
        function: what is called: a name, with attributes.
        arguments: the names of its arguments; a list of names is one argument.
    """

    result: str
    function: str
    arguments: tuple[Names, ...]

    def __str__(self) -> str:
        return f"{self.result} = {self.function}({', '.join(map(write_names, self.arguments))})"


def write_names(names: Names) -> str:
    """Return a name, or names in brackets.

    >>> write_names(["x", ["y", "z"]])
    '[x, [y, z]]'
    """
    return names if isinstance(names, str) else f"[{', '.join(map(write_names, names))}]"


def write_function(
    name: str, parameters: Sequence[str], statements: Sequence[Call | str], result: Names
) -> str:
    """Return the source of a function: its statements, each a call or a line of source, then ``return``."""
    lines = [*map(str, statements), f"return {write_names(result)}"]
    return "\n    ".join([f"def {name}({', '.join(parameters)}):", *lines])


def compile_function(name: str, source: str, names: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the function of this name that generated source defines; ``names`` are its globals."""
    namespace = dict(names)
    exec(compile(source, f"<generated {name}>", "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


def identifier(text: str, taken: set[str]) -> str:
    """Return a text as a Python name that is not taken, and take it.

    >>> taken = {"dense"}
    >>> [identifier(text, taken) for text in ("dense", "tower/2", "class", "2nd")]
    ['dense_1', 'tower_2', 'class_', '_2nd']
    """
    base = re.sub(r"[^0-9A-Za-z_]", "_", text) or "_"
    base = f"_{base}" if base[0].isdigit() else base
    if keyword.iskeyword(base) or hasattr(builtins, base):
        base += "_"
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.add(name)
    return name

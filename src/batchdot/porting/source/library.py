"""The helpers: classes and functions that ported files need beside torch, copied from their own source."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from batchdot.codegen.syntax import parse_file

FOLDER = Path(__file__).parent / "helpers"


@dataclass(frozen=True)
class Helper:
    """A class or function of the folder ``helpers``.

    Attributes:
        name: what it is called.
        text: its source.
        names: the names that its source uses.
    """

    name: str
    text: str
    names: frozenset[str]


@cache
def helpers() -> dict[str, Helper]:
    """Return all helpers by name, in the order of their files."""
    found: dict[str, Helper] = {}
    for path in sorted(FOLDER.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in parse_file(source).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                start = min([node.lineno, *(item.lineno for item in node.decorator_list)])
                text = "\n".join(source.splitlines()[start - 1 : node.end_lineno])
                names = frozenset(inside.id for inside in ast.walk(node) if isinstance(inside, ast.Name))
                assert node.name not in found, f"two helpers are called {node.name}"
                found[node.name] = Helper(node.name, text, names)
    return found


def helper_names() -> frozenset[str]:
    """Return the names of all helpers; nothing else in a ported file has them."""
    return frozenset(helpers())


def helpers_for(names: Iterable[str]) -> Iterator[Helper]:
    """Yield the helpers among names and those that they use themselves, in the order of the library.

    >>> [helper.name for helper in helpers_for(["torch", "squareplus"])]
    ['squareplus']
    """
    library = helpers()
    needed: set[str] = set()
    waiting = [name for name in names if name in library]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [other for other in library[name].names if other in library]
    return (helper for name, helper in library.items() if name in needed)

"""Find and replace the names in an expression's source."""

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache


@lru_cache(maxsize=65536)
def _occurrences(expression: str) -> tuple[tuple[int, str], ...]:
    tree = ast.parse(expression, mode="eval")
    found = [(node.col_offset, node.id) for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return tuple(sorted(found))


def names_in(expression: str) -> Iterator[str]:
    """Yield each name in an expression as often as it occurs; attributes and keywords are none.

    >>> list(names_in("x.sum(dim=1) + self.dense(y, x)"))
    ['x', 'self', 'y', 'x']
    """
    return (name for _, name in _occurrences(expression))


def substitute(expression: str, by_name: Mapping[str, str]) -> str:
    """Return an expression with names replaced.

    >>> substitute("x.sum(x=1) + y", {"x": "z", "y": "w.mT"})
    'z.sum(x=1) + w.mT'
    """
    parts, end = [], 0
    for start, name in _occurrences(expression):
        if name in by_name:
            parts += [expression[end:start], by_name[name]]
            end = start + len(name)
    return "".join([*parts, expression[end:]])


def is_primary(expression: str) -> bool:
    """Whether ``.method()`` can be appended to an expression as it stands.

    >>> is_primary("f(x)[0].mT"), is_primary("(x + y)"), is_primary("x + y")
    (True, True, False)
    """
    with_attribute = ast.parse(f"{expression}.x", mode="eval").body
    return isinstance(with_attribute, ast.Attribute) and ast.dump(with_attribute.value) == ast.dump(
        ast.parse(expression, mode="eval").body
    )

"""Find and replace the names in an expression's source."""

import ast
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache

from batchdot.codegen.syntax import parse_expression


@lru_cache(maxsize=65536)
def _occurrences(expression: str) -> tuple[tuple[int, str], ...]:
    tree = parse_expression(expression)
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


def literal(value: object) -> str:
    """Return a constant as source; a whole number that is a float is written without its point.

    >>> literal(2.0), literal(-0.5), literal(float("inf")), literal((1, 2))
    ('2', '-0.5', 'float("inf")', '(1, 2)')
    """
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return f'float("{value}")'
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(part)}" for key, part in value.items()) + "}"
    return json.dumps(value) if isinstance(value, str) else repr(value)


VIEWS = frozenset(
    {"flatten", "unflatten", "reshape", "permute", "unsqueeze", "squeeze", "movedim", "mT", "long"}
)
"""Methods and attributes that only look at a tensor in another way."""


def is_view(expression: str) -> bool:
    """Whether an expression only reshapes or permutes a tensor that has a name.

    >>> is_view("x.mT.flatten(1)"), is_view("x.sum(1)")
    (True, False)
    """
    node: ast.expr = parse_expression(expression)
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Call):
            if not all(isinstance(arg, (ast.Constant, ast.UnaryOp)) for arg in node.args) or node.keywords:
                return False
            node = node.func
        if not isinstance(node, ast.Attribute) or node.attr not in VIEWS:
            return False
        node = node.value
    return node.id != "self"


def ungrouped(expression: str) -> str:
    """Return an expression without brackets that only group all of it.

    >>> ungrouped("(x + y)"), ungrouped("(x + y) * (x - y)"), ungrouped("(x, y)")
    ('x + y', '(x + y) * (x - y)', '(x, y)')
    """
    node = parse_expression(expression)
    return expression[node.col_offset : node.end_col_offset] if node.col_offset else expression


def is_primary(expression: str) -> bool:
    """Whether ``.method()`` can be appended to an expression as it stands.

    >>> is_primary("f(x)[0].mT"), is_primary("(x + y)"), is_primary("x + y")
    (True, True, False)
    """
    with_attribute = parse_expression(f"{expression}.x")
    return isinstance(with_attribute, ast.Attribute) and ast.dump(with_attribute.value) == ast.dump(
        parse_expression(expression)
    )

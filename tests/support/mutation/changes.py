"""Random changes to a Python module: one operator, constant, condition or statement each."""

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One change: the line it is on, what it does, and the changed source of the module."""

    line: int
    what: str
    source: str


def random_change(source: str, generator: random.Random) -> Change | None:
    """Return a random change of a module, or None if it has nothing to change.

    >>> change = random_change("def f(a, b):\\n    return a < b\\n", random.Random(0))
    >>> change.line, change.what, change.source.splitlines()[1]
    (2, 'a < b -> a <= b', '    return a <= b')
    """
    tree = ast.parse(source)
    places = list(_places(tree))
    if not places:
        return None
    node = generator.choice(places)
    replacement = generator.choice(list(_replacements(node)))
    old, new = (ast.unparse(n) for n in (node, replacement))
    return Change(node.lineno, f"{_short(old)} -> {_short(new)}", _replaced(source, node, new))


def _places(tree: ast.Module) -> Iterator[ast.expr | ast.stmt]:
    """Yield the nodes that can be changed; no annotations, docstrings, messages of exceptions or imports."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.expr | ast.stmt) and any(True for _ in _replacements(node)):
            yield node
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params", "format_spec"):
                continue
            waiting += [
                item for item in (value if isinstance(value, list) else [value]) if isinstance(item, ast.AST)
            ]


def _replacements(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield what a node can be replaced by."""
    match node:
        case ast.Compare(left, [op], right) if type(op) in COMPARISONS:
            yield ast.Compare(left, [COMPARISONS[type(op)]()], right)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.And() if isinstance(op, ast.Or) else ast.Or(), values)
            yield values[0]
            yield values[-1]
        case ast.BinOp(left, op, right) if (
            type(op) in ARITHMETIC and not _is_text(left) and not _is_text(right)
        ):
            yield ast.BinOp(left, ARITHMETIC[type(op)](), right)
            yield left
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield operand
        case ast.IfExp(test, body, other):
            yield body
            yield other
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), body, other)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.Return(value) if value is not None and not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(ast.Call()) | ast.AugAssign() | ast.Break() | ast.Continue():
            yield ast.Pass()
        case ast.Call(
            ast.Name(("min" | "max" | "any" | "all" | "sorted" | "tuple") as name), [_, *_] as args, words
        ):
            other = {
                "min": "max",
                "max": "min",
                "any": "all",
                "all": "any",
                "sorted": "list",
                "tuple": "list",
            }
            yield ast.Call(ast.Name(other[name]), args, words if other[name] != "list" else [])


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _replaced(source: str, node: ast.expr | ast.stmt, new: str) -> str:
    """Return the source with the text of a node replaced."""
    lines = source.encode().splitlines(keepends=True)
    assert node.end_lineno is not None
    first, last = node.lineno - 1, node.end_lineno - 1
    before, after = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    text = new if isinstance(node, ast.stmt) else f"({new})"
    lines[first : last + 1] = [before + text.encode() + after]
    return b"".join(lines).decode()


def _short(text: str, limit: int = 70) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."

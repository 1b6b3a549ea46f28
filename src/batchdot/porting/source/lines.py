"""Break long statements into lines as ``ruff format`` does: at brackets first, then at operators.

Only the kinds of expressions that translations write are covered; the tests compare with ruff itself.
"""

import ast
from dataclasses import dataclass

WIDTH = 88
INDENT = "    "


def break_statement(prefix: str, expression: str, comment: str = "") -> list[str]:
    r"""Return a statement as lines.

    Args:
        prefix: what stands before the expression, with its indentation: "        x = ".
        expression: the source on one line.
        comment: what stands behind it.

    >>> print("\n".join(break_statement("x = ", "torch.cat([first, second], dim=1)", "(B, 2)")))
    x = torch.cat([first, second], dim=1)  # (B, 2)
    """
    tail = f"  # {comment}" if comment else ""
    if len(prefix) + len(expression) + len(tail) <= WIDTH:
        return [f"{prefix}{expression}{tail}"]
    indent = prefix[: len(prefix) - len(prefix.lstrip())]
    node = ast.parse(expression, mode="eval").body
    if isinstance(node, (ast.BinOp, ast.Compare, ast.BoolOp, ast.IfExp)):
        inside = _operators(node, indent + INDENT)
        return [f"{prefix}(", *inside, f"{indent}){tail}"]
    lines = _bracketed(node, prefix, indent, tail)
    return lines if lines is not None else [f"{prefix}{expression}{tail}"]


def _bracketed(node: ast.expr, prefix: str, indent: str, tail: str) -> list[str] | None:
    """Break an expression at its last pair of brackets; None if it has none."""
    parts = _brackets(node)
    if parts is None:
        return None
    opening, items, closing = parts
    inner = indent + INDENT
    joined = ", ".join(map(str, items))
    lone_comma = "," if closing == ")" and isinstance(node, ast.Tuple) and len(items) == 1 else ""
    if len(inner) + len(joined) + len(lone_comma) <= WIDTH and not isinstance(
        node, (ast.Tuple, ast.List, ast.Dict)
    ):
        return [f"{prefix}{opening}", f"{inner}{joined}{lone_comma}", f"{indent}{closing}{tail}"]
    lines = [f"{prefix}{opening}"]
    for item in items:
        lines += item.lines(inner, ",")
    return [*lines, f"{indent}{closing}{tail}"]


@dataclass
class _Item:
    """One argument of a call, or item of a list, with what stands before it."""

    prefix: str
    node: ast.expr

    def __str__(self) -> str:
        return self.prefix + ast.unparse(self.node)

    def lines(self, indent: str, tail: str) -> list[str]:
        text = f"{indent}{self}{tail}"
        if len(text) <= WIDTH:
            return [text]
        if isinstance(self.node, ast.BinOp):
            first, *rest = _operators(self.node, indent)
            return [
                f"{first[: len(indent)]}{self.prefix}{first[len(indent) :]}",
                *rest[:-1],
                f"{rest[-1]}{tail}",
            ]
        return _bracketed(self.node, indent + self.prefix, indent, tail) or [text]


def _brackets(node: ast.expr) -> tuple[str, list[_Item], str] | None:
    if isinstance(node, ast.Call):
        items = [
            _Item(
                "*" if isinstance(arg, ast.Starred) else "",
                getattr(arg, "value", arg) if isinstance(arg, ast.Starred) else arg,
            )
            for arg in node.args
        ]
        items += [_Item(f"{word.arg}=" if word.arg else "**", word.value) for word in node.keywords]
        return (f"{ast.unparse(node.func)}(", items, ")") if items else None
    if isinstance(node, ast.List):
        return "[", [_Item("", item) for item in node.elts], "]"
    if isinstance(node, ast.Tuple):
        return "(", [_Item("", item) for item in node.elts], ")"
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return "{", [_Item(f"{ast.unparse(key)}: ", value) for key, value in pairs if key is not None], "}"
    return None


def _operators(node: ast.expr, indent: str) -> list[str]:
    """Break an expression before its operators of the lowest precedence, if it does not fit on a line."""
    text = ast.unparse(node)
    if len(indent) + len(text) <= WIDTH or not isinstance(node, ast.BinOp):
        return [f"{indent}{text}"]
    operands: list[tuple[str, ast.expr]] = []
    left: ast.expr = node
    level = _precedence(node.op)
    while isinstance(left, ast.BinOp) and _precedence(left.op) == level:
        operands.append((f"{_SIGNS[type(left.op)]} ", left.right))
        left = left.left
    operands.append(("", left))
    lines = []
    for sign, operand in reversed(operands):
        unparsed = ast.unparse(ast.BinOp(ast.Name("_"), node.op, operand))
        lines.append(f"{indent}{sign}{unparsed[4:] if sign else ast.unparse(operand)}")
    return lines


_SIGNS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@", ast.BitAnd: "&",
    ast.BitOr: "|", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
}  # fmt: skip


def _precedence(operator: ast.operator) -> int:
    if isinstance(operator, (ast.Add, ast.Sub)):
        return 1
    return {ast.BitAnd: 0, ast.BitOr: -1, ast.Pow: 3}.get(type(operator), 2)

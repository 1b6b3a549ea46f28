"""Break long statements into lines as ``ruff format`` does: at brackets first, then at operators.

Only the kinds of expressions that translations write are covered; the tests compare with ruff itself.
"""

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

WIDTH = 88
INDENT = "    "


def break_statement(prefix: str, expression: str, comment: str = "") -> list[str]:
    r"""Return a statement as lines.

    Args:
        prefix: what stands before the expression, with its indentation: "        x = ".
        expression: the source on one line.
        comment: what stands behind it.

    >>> lines = break_statement("sums = ", "torch.cat([first, second], dim=1)" + ".sum(1)" * 8, "(B, 2)")
    >>> print("\n".join(break_statement("x = ", "torch.cat([first, second], dim=1)", "(B, 2)")))
    x = torch.cat([first, second], dim=1)  # (B, 2)
    """
    tail = f"  # {comment}" if comment else ""
    if len(prefix) + len(expression) + len(tail) <= WIDTH:
        return [f"{prefix}{expression}{tail}"]
    indent = prefix[: len(prefix) - len(prefix.lstrip())]
    part = _Part("", expression, ast.parse(expression, mode="eval").body)
    if isinstance(part.node, ast.BinOp | ast.Compare | ast.BoolOp | ast.IfExp):
        return [f"{prefix}(", *part.at_operators(indent + INDENT), f"{indent}){tail}"]
    chain = part.at_methods(indent + INDENT)
    if len(chain) > 1:
        return [f"{prefix}(", *chain, f"{indent}){tail}"]
    return part.at_brackets(prefix, indent, tail)


@dataclass
class _Part:
    """An expression inside of a statement: an argument, an item of a list, an operand.

    Attributes:
        prefix: what stands before it: "dim=", "*".
        source: of the whole statement.
        node: where in it the expression is.
    """

    prefix: str
    source: str
    node: ast.expr

    def __str__(self) -> str:
        return self.prefix + self._text(self.node)

    def _text(self, node: ast.expr) -> str:
        return self.source[node.col_offset : node.end_col_offset]

    def lines(self, indent: str, tail: str) -> list[str]:
        """Return the part on lines of its own."""
        text = f"{indent}{self}{tail}"
        if len(text) <= WIDTH:
            return [text]
        if isinstance(self.node, ast.BinOp):
            *most, last = self.at_operators(indent)
            return [*most, f"{last}{tail}"]
        *most, last = self.at_methods(indent)
        if most:
            return [f"{indent}{self.prefix}{most[0].lstrip()}", *most[1:], f"{last}{tail}"]
        return self.at_brackets(indent + self.prefix, indent, tail)

    def at_methods(self, indent: str) -> list[str]:
        """Return a chain of two method calls or more on what calls return, each on a line of its own."""
        lines = [""]
        pieces = list(self._pieces(self.node))
        for number, piece in enumerate(pieces):
            follows_call = number > 0 and not isinstance(pieces[number - 1], str)
            is_called = number + 1 < len(pieces) and str(pieces[number + 1]).startswith("(")
            if follows_call and str(piece).startswith(".") and is_called:
                lines.append("")
            lines[-1] += str(piece)
        return [f"{indent}{line}" for line in lines] if len(lines) > 2 else [f"{indent}{self}"]

    def at_brackets(self, prefix: str, indent: str, tail: str) -> list[str]:
        """Return the part broken at the first brackets from which the rest does not fit on the line."""
        done: list[str] = []
        line = prefix
        pieces = list(self._pieces(self.node))
        for number, piece in enumerate(pieces):
            if isinstance(piece, str):
                line += piece
                continue
            rest = list(itertools.takewhile(lambda other: isinstance(other, str), pieces[number + 1 :]))
            is_last = len(rest) == len(pieces) - number - 1
            behind = "".join(map(str, rest)) + (tail if is_last else "(")
            if len(f"{line}{piece}{behind}") <= WIDTH:
                line += str(piece)
            else:
                done += [line + piece.opening, *piece.lines(indent + INDENT)]
                line = indent + piece.closing
        return [*done, line + tail]

    def _pieces(self, node: ast.expr) -> "Iterator[str | _Brackets]":
        """Yield an expression as text and pairs of brackets in turn."""
        if isinstance(node, ast.Call):
            yield from self._pieces(node.func)
            items = [self._inside(arg) for arg in node.args]
            items += [self._inside(word.value, f"{word.arg}=") for word in node.keywords]
            yield _Brackets("(", items, ")") if items else "()"
        elif isinstance(node, ast.Attribute):
            yield from self._pieces(node.value)
            yield f".{node.attr}"
        elif isinstance(node, ast.Subscript):
            yield from self._pieces(node.value)
            yield f"[{self._text(node.slice)}]"
        elif isinstance(node, ast.BinOp | ast.Compare):
            yield _Brackets("(", [self._inside(node)], ")", is_group=True)
        elif isinstance(node, ast.List | ast.Tuple):
            opening, closing = "[]" if isinstance(node, ast.List) else "()"
            yield _Brackets(opening, [self._inside(item) for item in node.elts], closing, is_display=True)
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            named = [self._inside(value, f"{self._text(key)}: ") for key, value in pairs if key is not None]
            yield _Brackets("{", named, "}", is_display=True)
        else:
            yield self._text(node)

    def _inside(self, node: ast.expr, prefix: str = "") -> "_Part":
        return _Part(prefix, self.source, node)

    def at_operators(self, indent: str) -> list[str]:
        """Return the part broken before its operators of the lowest precedence, where it is too long."""
        text = f"{indent}{self}"
        if len(text) <= WIDTH or not isinstance(self.node, ast.BinOp):
            return [text]
        node, level = self.node, _precedence(self.node.op)
        ends = [self.node.end_col_offset or 0]
        starts: list[int] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and _precedence(left.op) == level and self._is_bare(left):
            starts.append(self._operator(left))
            left = left.left
        edges = [self.node.col_offset, *reversed(starts), *ends]
        pieces = [self.source[start:end].strip() for start, end in itertools.pairwise(edges)]
        return [f"{indent}{self.prefix if number == 0 else ''}{piece}" for number, piece in enumerate(pieces)]

    def _is_bare(self, node: ast.BinOp) -> bool:
        """Whether an operand on the left stands without brackets of its own."""
        return node is self.node or node.col_offset == self.node.col_offset

    def _operator(self, node: ast.BinOp) -> int:
        """Return where the operator between two operands is."""
        between = self.source[node.left.end_col_offset : node.right.col_offset]
        return (node.left.end_col_offset or 0) + len(between) - len(between.lstrip(") "))


@dataclass
class _Brackets:
    """A pair of brackets with what is between.

    Attributes:
        opening, closing: the brackets.
        items: in order.
        is_display: whether it is a list, tuple or dict, whose items stand on lines of their own.
        is_group: whether it only groups an operation, so that no comma may stand in it.
    """

    opening: str
    items: list[_Part]
    closing: str
    is_display: bool = False
    is_group: bool = False

    def __str__(self) -> str:
        return f"{self.opening}{', '.join(map(str, self.items))}{self.closing}"

    def lines(self, indent: str) -> list[str]:
        """Return what is between, on lines of its own."""
        joined = f"{indent}{', '.join(map(str, self.items))}"
        if len(joined) <= WIDTH and not self.is_display:
            return [joined]
        if self.is_group:
            return self.items[0].at_operators(indent)
        return [line for item in self.items for line in item.lines(indent, ",")]


def _precedence(operator: ast.operator) -> int:
    if isinstance(operator, ast.Add | ast.Sub):
        return 1
    return {ast.BitAnd: 0, ast.BitOr: -1, ast.Pow: 3}.get(type(operator), 2)

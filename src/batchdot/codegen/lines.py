"""Break long statements into lines as ``ruff format`` does.

A statement that is too long is broken in the brackets that it ends with; at its operators, in brackets of
its own, if it has several; or before the methods of a chain. Only the kinds of expressions that generators
write are covered; the tests compare with ruff itself.
"""

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from batchdot.codegen.syntax import parse_expression

WIDTH = 88
INDENT = "    "


def break_statement(prefix: str, expression: str, tail: str = "") -> list[str]:
    r"""Return a statement as lines.

    Args:
        prefix: what stands before the expression, with its indentation: "        x = ".
        expression: the source on one line.
        tail: what stands behind it, such as a comment.

    >>> print("\n".join(break_statement("x = ", "torch.cat([first, second], dim=1)", "  # (B, 2)")))
    x = torch.cat([first, second], dim=1)  # (B, 2)
    """
    if len(prefix) + len(expression) + len(tail) <= WIDTH:
        return [f"{prefix}{expression}{tail}"]
    indent = prefix[: len(prefix) - len(prefix.lstrip())]
    part = _Part.of(expression)
    if part.is_operation and not part.ends_in_brackets:
        inside = part.at_operators(indent + INDENT)
    elif part.is_chain:
        inside = part.at_methods(indent + INDENT)
    else:
        lines = part.at_brackets(prefix, indent, tail)
        alone = f"{indent}{INDENT}{expression}"
        if len(lines[0]) <= WIDTH or len(alone) > WIDTH:
            return lines
        inside = [alone]
    return [f"{prefix}(", *inside, f"{indent}){tail}"]


@dataclass
class _Part:
    """An expression inside of a statement: an argument, an item of a list, an operand.

    Attributes:
        prefix: what stands before it: "dim=", "+ ".
        source: the text that it is in.
        node: where in it the expression is.
        is_grouped: whether it stands in brackets of its own.
    """

    prefix: str
    source: str
    node: ast.expr
    is_grouped: bool = False

    @classmethod
    def of(cls, source: str, prefix: str = "") -> "_Part":
        """Return a text as a part."""
        node = parse_expression(source)
        return cls(prefix, source, node, node.col_offset > 0)

    def __str__(self) -> str:
        text = self._text(self.node)
        return f"{self.prefix}({text})" if self.is_grouped else f"{self.prefix}{text}"

    @property
    def is_operation(self) -> bool:
        """Whether it has operators that it may be broken at."""
        return isinstance(self.node, ast.BinOp | ast.Compare | ast.BoolOp | ast.IfExp) and not self.is_grouped

    @property
    def is_chain(self) -> bool:
        """Whether it has at least two attributes of what brackets give."""
        return not self.is_operation and len(list(self._links())) > 2

    @property
    def ends_in_brackets(self) -> bool:
        """Whether it has one operator, and something in brackets at its end or, in its own, at its start.

        Those of an index at the end do not count.
        """
        node = self.node
        if not isinstance(node, ast.BinOp) or len(self._operands()) > 2:
            return False
        first, *_, last = self._pieces(node)
        return (isinstance(last, _Brackets) and not last.is_index) or (
            isinstance(first, _Brackets) and (first.is_group or first.is_display)
        )

    def lines(self, indent: str, tail: str) -> list[str]:
        """Return the part on lines of its own."""
        text = f"{indent}{self}{tail}"
        if len(text) <= WIDTH:
            return [text]
        if self.is_operation:
            *most, last = self.at_operators(indent)
        elif self.is_chain:
            *most, last = self.at_methods(indent)
        else:
            return self.at_brackets(indent + self.prefix, indent, tail)
        return [*most, f"{last}{tail}"]

    # At methods

    def at_methods(self, indent: str) -> list[str]:
        """Return a chain with each method on a line of its own, where it is too long for one."""
        if len(f"{indent}{self}") <= WIDTH:
            return [f"{indent}{self}"]
        first, *rest = self._links()
        lines = _break(first, indent + self.prefix, indent, "")
        return lines + [line for link in rest for line in _break(link, indent, indent, "")]

    def _links(self) -> "Iterator[list[str | _Brackets]]":
        """Yield what a chain begins with, and each attribute of what brackets give."""
        link: list[str | _Brackets] = []
        for piece in self._pieces(self.node):
            if link and _ends_link(link[-1]) and str(piece).startswith("."):
                yield link
                link = []
            link.append(piece)
        yield link

    # At brackets

    def at_brackets(self, prefix: str, indent: str, tail: str) -> list[str]:
        """Return the part broken at the first brackets from which the rest does not fit on the line."""
        return _break(list(self._grouped_pieces()), prefix, indent, tail)

    def _pieces(self, node: ast.expr) -> "Iterator[str | _Brackets]":
        """Yield an expression as text and pairs of brackets in turn."""
        if isinstance(node, ast.Call):
            yield from self._pieces_before(node.func)
            items = [self._inside(arg) for arg in node.args]
            items += [self._inside(word.value, f"{word.arg}=") for word in node.keywords]
            yield _Brackets("(", items, ")") if items else "()"
        elif isinstance(node, ast.Attribute):
            yield from self._pieces_before(node.value)
            yield f".{node.attr}"
        elif isinstance(node, ast.Subscript):
            yield from self._pieces_before(node.value)
            index = node.slice
            parts = index.elts if isinstance(index, ast.Tuple) else [index]
            yield _Brackets("[", [self._inside(part) for part in parts], "]")
        elif isinstance(node, ast.BinOp):
            left, (sign, right) = self._sides(node)
            yield from _Part.of(left)._grouped_pieces()
            yield f" {sign} "
            yield from _Part.of(right)._grouped_pieces()
        elif isinstance(node, ast.List | ast.Tuple):
            opening, closing = "[]" if isinstance(node, ast.List) else "()"
            yield _Brackets(opening, [self._inside(item) for item in node.elts], closing, is_display=True)
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            named = [self._inside(value, f"{self._text(key)}: ") for key, value in pairs if key is not None]
            yield _Brackets("{", named, "}", is_display=True)
        else:
            yield self._text(node)

    def _pieces_before(self, node: ast.expr) -> "Iterator[str | _Brackets]":
        """Yield what stands before an attribute, call or index: an operation is in brackets there."""
        if isinstance(node, ast.BinOp | ast.Compare | ast.UnaryOp | ast.BoolOp | ast.IfExp):
            yield _Brackets("(", [self._inside(node)], ")", is_group=True)
        else:
            yield from self._pieces(node)

    def _grouped_pieces(self) -> "Iterator[str | _Brackets]":
        if self.is_grouped:
            yield _Brackets("(", [_Part("", self.source, self.node)], ")", is_group=True)
        else:
            yield from self._pieces(self.node)

    def _inside(self, node: ast.expr, prefix: str = "") -> "_Part":
        return _Part(prefix, self.source, node)

    def _text(self, node: ast.expr) -> str:
        return self.source[node.col_offset : node.end_col_offset]

    # At operators

    def at_operators(self, indent: str) -> list[str]:
        """Return the part broken before its operators of the lowest precedence, where it is too long."""
        text = f"{indent}{self}"
        if len(text) <= WIDTH or not isinstance(self.node, ast.BinOp):
            return [text]
        lines: list[str] = []
        for number, operand in enumerate(self._operands()):
            sign, _, rest = operand.partition(" ") if number else (self.prefix, "", operand)
            part = _Part.of(rest, f"{sign} " if number else sign)
            lines += part.lines(indent, "") if not part.is_operation else [f"{indent}{part}"]
        return lines

    def _operands(self) -> list[str]:
        """Return the operands of the operators of the lowest precedence, each behind its operator."""
        assert isinstance(self.node, ast.BinOp)
        level = _precedence(self.node.op)
        starts: list[int] = []
        left: ast.expr = self.node
        while isinstance(left, ast.BinOp) and _precedence(left.op) == level and self._is_bare(left):
            starts.append(self._operator(left))
            left = left.left
        edges = [self.node.col_offset, *reversed(starts), self.node.end_col_offset]
        return [self.source[start:end].strip() for start, end in itertools.pairwise(edges)]

    def _sides(self, node: ast.BinOp) -> tuple[str, tuple[str, str]]:
        """Return what stands before an operator, the operator, and what stands behind it."""
        at = self._operator(node)
        sign, _, right = self.source[at : node.end_col_offset].partition(" ")
        return self.source[node.col_offset : at].strip(), (sign, right)

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

    @property
    def is_index(self) -> bool:
        """Whether it is the index into something."""
        return self.opening == "[" and not self.is_display

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


def _break(pieces: "list[str | _Brackets]", prefix: str, indent: str, tail: str) -> list[str]:
    """Return pieces on one line, or broken at the first brackets from which the rest does not fit."""
    done: list[str] = []
    line = prefix
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


def _ends_link(piece: "str | _Brackets") -> bool:
    """Whether a piece is the brackets of a call, an index or a group; a call without arguments is text."""
    return piece == "()" if isinstance(piece, str) else not piece.is_display


def _precedence(operator: ast.operator) -> int:
    if isinstance(operator, ast.Add | ast.Sub):
        return 1
    return {ast.BitAnd: 0, ast.BitOr: -1, ast.Pow: 3}.get(type(operator), 2)

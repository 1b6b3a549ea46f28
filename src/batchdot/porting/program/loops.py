"""Write statements that repeat, because the same layers are called again and again, as a loop.

A loop is found where a run of statements is followed by itself, at least twice, with the names that it
defines exchanged for new ones. A name of the run before, on the right side, becomes a variable that the loop
carries along; what the first run has in its place is its value before the loop.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from batchdot.codegen.syntax import parse_expression
from batchdot.porting.program.expressions import names_in, substitute
from batchdot.porting.program.names import Names
from batchdot.porting.program.values import Loop, Results, Statement, leaves

FEWEST = 3
"""Repetitions that are worth a loop."""

LONGEST = 200
"""Statements of one repetition."""


def rolled(
    statements: Sequence[Statement], results: Results, names: Names
) -> tuple[tuple[Statement | Loop, ...], Results]:
    """Return statements with the longest repetition as a loop, and results by the names that are left.

    Args:
        statements: in order, each of which assigns new names.
        results: expressions of these names.
        names: of the function.
    """
    for repetition in _candidates(statements):
        found = _Rolling(repetition, names).run(results)
        if found is not None:
            return found
    return tuple(statements), results


@dataclass(frozen=True)
class _Repetition:
    """Statements of which some repeat.

    Attributes:
        statements: all.
        start: the first that repeats.
        period: how many statements one repetition has.
        count: how many repetitions there are.
    """

    statements: Sequence[Statement]
    start: int
    period: int
    count: int

    def run(self, number: int) -> Sequence[Statement]:
        """Return the statements of one repetition."""
        begin = self.start + number * self.period
        return self.statements[begin : begin + self.period]

    def defined(self, number: int) -> list[str]:
        """Return the names that one repetition defines, in order; "_" is none."""
        return [name for statement in self.run(number) for name in leaves(statement.targets)]


def _candidates(statements: Sequence[Statement]) -> Iterator[_Repetition]:
    """Yield repetitions by the forms of statements, the one that saves most first; names are not compared."""
    defined = {name for statement in statements for name in leaves(statement.targets)}
    forms = [_form(statement, defined) for statement in statements]
    found = []
    for period in range(1, min(LONGEST, len(forms) // FEWEST) + 1):
        start = 0
        for at in range(len(forms) - period + 1):
            if at < len(forms) - period and forms[at] == forms[at + period]:
                continue
            length = at - start
            if length >= (FEWEST - 2) * period:
                for offset in range(min(period, length)):
                    for first in (start + offset - period, start + offset):
                        count = (at + period - first) // period
                        if first >= 0 and count >= FEWEST:
                            found.append(_Repetition(statements, first, period, count))
            start = at + 1
    calls_layer = [one for one in found if any("self." in part.expression for part in one.run(1))]
    yield from sorted(calls_layer, key=lambda one: (-one.period * (one.count - 1), one.period, one.start))[
        :50
    ]


def _form(statement: Statement, defined: set[str]) -> str:
    """Return a statement without the names of tensors."""
    places = dict.fromkeys(defined, "_")
    targets = substitute(ast.unparse(parse_expression(str(statement.targets).replace("'", ""))), places)
    return f"{targets} = {substitute(statement.expression, places)}"


class _Rolling:
    """Writes one repetition as a loop, if names agree."""

    def __init__(self, repetition: _Repetition, names: Names) -> None:
        self.repetition = repetition
        self.names = names
        self.defined = [repetition.defined(number) for number in range(repetition.count)]
        self.initial: dict[str, str] = {}

    def run(self, results: Results) -> tuple[tuple[Statement | Loop, ...], Results] | None:
        """Return the statements with the loop, and the results; None if it cannot be one."""
        if len(set(map(len, self.defined))) > 1 or not self._repeats() or not self._begins():
            return None
        one = self.repetition
        body = self._body()
        if body is None:
            return None
        after = one.statements[one.start + one.count * one.period :]
        used = {name for statement in after for name in names_in(statement.expression)}
        used.update(name for expression in leaves(results) for name in names_in(expression))
        renamed, lists = self._after(used)
        before = [*one.statements[: one.start]]
        before += [Statement(name, text) for name, text in self.initial.items()]
        before += [Statement(collected, "[]") for collected in lists.values()]
        body += [Statement("", f"{collected}.append({name})") for name, collected in lists.items()]
        rest = [replace(part, expression=self._replaced(part.expression, renamed, lists)) for part in after]
        loop = Loop(one.count, tuple(body))
        return (*before, loop, *rest), self._results(results, renamed, lists)

    def _repeats(self) -> bool:
        """Whether each repetition but the first is the one before it with new names."""
        one = self.repetition
        for number in range(2, one.count):
            by_name = dict(zip(self.defined[number - 1], self.defined[number], strict=True))
            by_name |= dict(zip(self.defined[number - 2], self.defined[number - 1], strict=True))
            for before, now in zip(one.run(number - 1), one.run(number), strict=True):
                if substitute(before.expression, by_name) != now.expression:
                    return False
        return True

    def _begins(self) -> bool:
        """Whether the first repetition is the second, with other expressions for names of the one before."""
        own = dict(zip(self.defined[1], self.defined[0], strict=True))
        carried = set(self.defined[0])
        for first, second in zip(self.repetition.run(0), self.repetition.run(1), strict=True):
            left = parse_expression(first.expression)
            right = parse_expression(second.expression)
            if not self._agree(left, right, first.expression, own, carried):
                return False
        return True

    def _agree(
        self, first: ast.AST, second: ast.AST, text: str, own: dict[str, str], carried: set[str]
    ) -> bool:
        if isinstance(second, ast.Name) and second.id in carried:
            assert isinstance(first, ast.expr)
            found = text[first.col_offset : first.end_col_offset]
            if carried.intersection(names_in(found)):
                return False
            return self.initial.setdefault(second.id, found) == found
        if type(first) is not type(second):
            return False
        if isinstance(first, ast.Name) and isinstance(second, ast.Name):
            return first.id == own.get(second.id, second.id)
        mine, others = ([getattr(node, field) for field in first._fields] for node in (first, second))
        return all(self._same(*pair, text, own, carried) for pair in zip(mine, others, strict=True))

    def _same(self, mine: object, other: object, text: str, own: dict[str, str], carried: set[str]) -> bool:
        """Whether two fields of syntax agree."""
        if isinstance(mine, list) and isinstance(other, list):
            pairs = zip(mine, other, strict=False)
            return len(mine) == len(other) and all(self._same(*pair, text, own, carried) for pair in pairs)
        if isinstance(mine, ast.AST) and isinstance(other, ast.AST):
            return self._agree(mine, other, text, own, carried)
        return mine == other

    def _body(self) -> list[Statement] | None:
        """Return one repetition in the names of the first; None if it needs an old value after a new one."""
        own = dict(zip(self.defined[1], self.defined[0], strict=True))
        replaced: set[str] = set()
        body = []
        for first, second in zip(self.repetition.run(0), self.repetition.run(1), strict=True):
            if replaced.intersection(names_in(second.expression)) & set(self.defined[0]):
                return None
            replaced.update(leaves(first.targets))
            text = substitute(second.expression, own)
            body.append(replace(second, targets=first.targets, expression=text, inline=False))
        return body

    def _after(self, used: set[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return what names of repetitions are behind the loop, and which are collected in lists."""
        lists: dict[str, str] = {}
        for column, name in enumerate(self.defined[0]):
            if any(names[column] in used for names in self.defined[:-1]) and name != "_":
                lists[name] = self.names.take(f"{name}_all")
        renamed = {}
        for number, names in enumerate(self.defined):
            for name, own in zip(self.defined[0], names, strict=True):
                renamed[own] = f"{lists[name]}[{number}]" if name in lists else name
        return renamed, lists

    def _replaced(self, expression: str, renamed: dict[str, str], lists: dict[str, str]) -> str:
        text = substitute(expression, renamed)
        for collected in lists.values():
            every = ", ".join(f"{collected}[{number}]" for number in range(self.repetition.count))
            text = text.replace(f"[{every}]", collected)
        return text

    def _results(self, results: Results, renamed: dict[str, str], lists: dict[str, str]) -> Results:
        if isinstance(results, str):
            return self._replaced(results, renamed, lists)
        if isinstance(results, dict):
            return {key: self._results(part, renamed, lists) for key, part in results.items()}
        parts = tuple(self._results(part, renamed, lists) for part in results)
        for collected in lists.values():
            if parts == tuple(f"{collected}[{number}]" for number in range(self.repetition.count)):
                return f"tuple({collected})"
        return parts

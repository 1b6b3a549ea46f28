"""Write the statements of one ``forward``; drop unused ones, and move in expressions that are used once."""

from collections import Counter
from collections.abc import Iterable

from batchdot.porting.program.expressions import is_view, names_in, substitute
from batchdot.porting.program.names import Names
from batchdot.porting.program.values import Names as Targets
from batchdot.porting.program.values import Results, Statement, Value

LONGEST = 50
"""Characters of an expression that may move into another."""


class Body:
    """The statements of a ``forward`` while they are written.

    Attributes:
        names: of tensors.
        statements: so far.
        twins: for a tensor by name, the same one in the other order of axes.
        known: for an expression, a tensor that is there already and equals it.

    >>> body = Body(Names(["x"]))
    >>> x = Value("x", (None, 3))
    >>> y = body.assign(x.with_text(f"torch.relu({x})"), "relu")
    >>> y.text, body.statements[0].expression
    ('relu', 'torch.relu(x)')
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.statements: list[Statement] = []
        self.twins: dict[str, Value] = {}
        self.known: dict[str, Value] = {}

    def assign(self, value: Value, name: str, *, inline: bool = False) -> Value:
        """Give a tensor a name; one that has a name keeps it.

        Args:
            value: the tensor.
            name: what to call it, if that is free.
            inline: whether the expression may replace the name where it is used once; views may anyway.
        """
        if value.text.isidentifier():
            return value
        target = self.names.take(name)
        self.statements.append(
            Statement(target, value.text, value.actual_shape, inline or is_view(value.text))
        )
        return value.with_text(target)

    def once(self, value: Value, name: str) -> Value:
        """Give a tensor a name; an expression that was written here before keeps the name it has."""
        if value.text not in self.known:
            self.known[value.text] = self.assign(value, name)
        return self.known[value.text]

    def unpack(self, expression: str, names: Targets, first: Value) -> Targets:
        """Assign an expression to several names, of which what is never used is not written.

        Args:
            expression: the right side.
            names: what to call its parts, in tuples as they come.
            first: the first part, whose shape is the comment's.
        """

        def take(part: Targets) -> Targets:
            return self.names.take(part) if isinstance(part, str) else tuple(map(take, part))

        targets = take(names)
        self.statements.append(Statement(targets, expression, first.actual_shape))
        return targets

    def finish(self, results: Results) -> tuple[tuple[Statement, ...], Results]:
        """Return the statements that results need, shortened, and the results."""
        statements = _needed(self.statements, set(leaves(results)))
        return _inlined(statements, results)


def leaves(names: "Targets | Results") -> Iterable[str]:
    """Yield the names or expressions in a structure."""
    if isinstance(names, str):
        yield names
    elif isinstance(names, dict):
        for part in names.values():
            yield from leaves(part)
    else:
        for part in names:
            yield from leaves(part)


def _needed(statements: list[Statement], needed: set[str]) -> list[Statement]:
    needed = {name for expression in needed for name in names_in(expression)}
    kept = []
    for statement in reversed(statements):
        if needed.isdisjoint(leaves(statement.targets)):
            continue
        needed.update(names_in(statement.expression))
        kept.append(statement)
    return kept[::-1]


def _inlined(statements: list[Statement], results: Results) -> tuple[tuple[Statement, ...], Results]:
    """Move expressions into the one place that uses them, and drop names that nothing uses."""
    uses = Counter(name for statement in statements for name in names_in(statement.expression))
    uses.update(name for expression in leaves(results) for name in names_in(expression))
    moved: dict[str, str] = {}
    kept: list[Statement] = []
    for statement in statements:
        expression = substitute(statement.expression, moved)
        targets = statement.targets
        if statement.inline and isinstance(targets, str) and uses[targets] == 1 and len(expression) < LONGEST:
            moved[targets] = expression
            continue
        kept.append(Statement(_used(targets, uses), expression, statement.shape))
    return tuple(kept), _substituted(results, moved)


def _used(targets: Targets, uses: Counter[str]) -> Targets:
    """Return targets with ``_`` for those that nothing uses."""
    if isinstance(targets, str):
        return targets if uses[targets] else "_"
    parts = tuple(_used(part, uses) for part in targets)
    return "_" if all(part == "_" for part in parts) else parts


def _substituted(results: Results, by_name: dict[str, str]) -> Results:
    if isinstance(results, str):
        return substitute(results, by_name)
    if isinstance(results, dict):
        return {key: _substituted(part, by_name) for key, part in results.items()}
    return tuple(_substituted(part, by_name) for part in results)

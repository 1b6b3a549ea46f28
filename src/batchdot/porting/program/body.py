"""Write the statements of one ``forward``."""

from batchdot.porting.program.expressions import is_view, ungrouped
from batchdot.porting.program.names import Names
from batchdot.porting.program.shortening import needed, shortened
from batchdot.porting.program.values import Loop, Results, Statement, Value
from batchdot.porting.program.values import Names as Targets


class Body:
    """The statements of a ``forward`` while they are written.

    Attributes:
        names: of tensors.
        statements: so far.
        twins: for a tensor by name, the same one in the other order of axes.
        known: for an expression, a tensor that is there already and equals it.
        origin: what the next statements are written for.

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
        self.origin: object = None

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
        self._write(target, value, inline or is_view(value.text))
        return value.with_text(target)

    def once(self, value: Value, name: str, *, inline: bool = False) -> Value:
        """Give a tensor a name as `assign` does; an expression that is there already keeps its own."""
        if value.text not in self.known:
            self.known[value.text] = self.assign(value, name, inline=inline)
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
        self._write(targets, first.with_text(expression))
        return targets

    def steps(self, results: Results) -> tuple[Statement, ...]:
        """Return the statements that results need, as they were written."""
        return tuple(needed(self.statements, results))

    def finish(self, results: Results) -> tuple[tuple[Statement | Loop, ...], Results]:
        """Return the statements that results need, shortened, and the results."""
        return shortened(self.statements, results, self.names)

    def _write(self, targets: Targets, value: Value, inline: bool = False) -> None:
        text = value.text if inline else ungrouped(value.text)
        self.statements.append(Statement(targets, text, value.actual_shape, inline, self.origin))

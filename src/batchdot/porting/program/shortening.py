"""Shorten the statements of a ``forward``: drop unused ones, write loops, move in what is used once."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from batchdot.porting.program.expressions import names_in, substitute
from batchdot.porting.program.loops import rolled
from batchdot.porting.program.names import Names
from batchdot.porting.program.values import Loop, Results, Statement, leaves
from batchdot.porting.program.values import Names as Targets

LONGEST = 50
"""Characters of an expression that may move into another."""

Block = Sequence[Statement | Loop]


def shortened(
    statements: Sequence[Statement], results: Results, names: Names
) -> tuple[tuple[Statement | Loop, ...], Results]:
    """Return the statements that results need, as few as possible, and the results.

    >>> add, drop = Statement("y", "x.mT + 1"), Statement("z", "x * 2")
    >>> shortened([add, drop], "y", Names(["x"]))[0] == (add,)
    True
    """
    block, results = rolled(_needed(statements, results), results, names)
    uses = Counter(name for expression in _expressions(block) for name in names_in(expression))
    uses.update(name for expression in leaves(results) for name in names_in(expression))
    assigned = Counter(name for statement in _flat(block) for name in leaves(statement.targets))
    moved: dict[str, str] = {}
    kept = _inlined(block, {name for name in uses if uses[name] == assigned[name] == 1}, moved)
    return tuple(_without_unused(kept, uses)), _substituted(results, moved)


def attributes_in(block: Block, results: Results) -> set[str]:
    """Return the attributes of ``self`` that statements and results use."""
    texts = itertools.chain(_expressions(block), leaves(results))
    return {name for text in texts for name in re.findall(r"\bself\.(\w+)", text)}


def _needed(statements: Sequence[Statement], results: Results) -> list[Statement]:
    needed = {name for expression in leaves(results) for name in names_in(expression)}
    kept = []
    for statement in reversed(statements):
        if needed.isdisjoint(leaves(statement.targets)):
            continue
        needed.update(names_in(statement.expression))
        kept.append(statement)
    return kept[::-1]


def _flat(block: Block) -> Iterator[Statement]:
    for part in block:
        if isinstance(part, Loop):
            yield from part.statements
        else:
            yield part


def _expressions(block: Block) -> Iterator[str]:
    return (statement.expression for statement in _flat(block))


def _inlined(block: Block, once: set[str], moved: dict[str, str]) -> list[Statement | Loop]:
    """Move expressions into the one place that uses them; a loop would compute again what is before it.

    Args:
        block: the statements.
        once: the names that are assigned once and used once.
        moved: gets the expressions that have moved, by name.
    """
    loops = [part for part in block if isinstance(part, Loop)]
    in_loops = {name for text in _expressions(loops) for name in names_in(text)}
    kept: list[Statement | Loop] = []
    for part in block:
        if isinstance(part, Loop):
            kept.append(Loop(part.count, tuple(_inlined(part.statements, once, moved))))  # type: ignore[arg-type]
            continue
        expression, targets = substitute(part.expression, moved), part.targets
        movable = isinstance(targets, str) and targets in once and targets not in in_loops
        if part.inline and movable and len(expression) < LONGEST:
            moved[str(targets)] = expression
        else:
            kept.append(Statement(targets, expression, part.shape))
    return kept


def _without_unused(block: Block, uses: Counter[str]) -> Iterator[Statement | Loop]:
    """Yield statements with ``_`` in the place of names that nothing uses."""
    for part in block:
        if isinstance(part, Loop):
            yield Loop(part.count, tuple(_without_unused(part.statements, uses)))  # type: ignore[arg-type]
        else:
            yield Statement(_used(part.targets, uses), part.expression, part.shape)


def _used(targets: Targets, uses: Counter[str]) -> Targets:
    if isinstance(targets, str):
        return targets if uses[targets] or not targets else "_"
    parts = tuple(_used(part, uses) for part in targets)
    return "_" if all(part == "_" for part in parts) else parts


def _substituted(results: Results, by_name: dict[str, str]) -> Results:
    if isinstance(results, str):
        return substitute(results, by_name)
    if isinstance(results, dict):
        return {key: _substituted(part, by_name) for key, part in results.items()}
    return tuple(_substituted(part, by_name) for part in results)

"""Shorten the statements of a ``forward``: drop, loop, move in what is used once, one name for a chain."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from batchdot.porting.program.expressions import names_in, substitute
from batchdot.porting.program.loops import rolled
from batchdot.porting.program.names import Names
from batchdot.porting.program.values import Loop, Results, Statement, leaves
from batchdot.porting.program.values import Names as Targets

LONGEST = 50
"""Characters of an expression that may move into another."""

CHAIN = 3
"""Tensors from which on a chain has one name for all of them."""

Block = Sequence[Statement | Loop]


def shortened(
    statements: Sequence[Statement], results: Results, names: Names
) -> tuple[tuple[Statement | Loop, ...], Results]:
    """Return the statements that results need, as few as possible, and the results.

    >>> add, drop = Statement("y", "x.mT + 1"), Statement("z", "x * 2")
    >>> shortened([add, drop], "y", Names(["x"]))[0] == (add,)
    True
    """
    block, results = rolled(needed(statements, results), results, names)
    uses = Counter(name for expression in _expressions(block) for name in names_in(expression))
    uses.update(name for expression in leaves(results) for name in names_in(expression))
    assigned = Counter(name for statement in _flat(block) for name in leaves(statement.targets))
    moved: dict[str, str] = {}
    kept = _inlined(block, {name for name in uses if uses[name] == assigned[name] == 1}, moved)
    written = _chained(tuple(_without_unused(kept, uses)), uses, names)
    return tuple(written), _substituted(results, moved)


def attributes_in(block: Block, results: Results) -> set[str]:
    """Return the attributes of ``self`` that statements and results use."""
    texts = itertools.chain(_expressions(block), leaves(results))
    return {name for text in texts for name in re.findall(r"\bself\.(\w+)", text)}


def needed(statements: Sequence[Statement], results: Results) -> list[Statement]:
    """Return the statements that results need."""
    used = {name for expression in leaves(results) for name in names_in(expression)}
    kept = []
    for statement in reversed(statements):
        if used.isdisjoint(leaves(statement.targets)):
            continue
        used.update(names_in(statement.expression))
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
            inside = _inlined(part.statements, once, moved)
            kept.append(Loop(part.count, tuple(inside)))  # type: ignore[arg-type]
            continue
        expression, targets = substitute(part.expression, moved), part.targets
        movable = isinstance(targets, str) and targets in once and targets not in in_loops
        if part.inline and movable and len(expression) < LONGEST:
            moved[str(targets)] = expression
        else:
            kept.append(replace(part, expression=expression))
    return kept


def _without_unused(block: Block, uses: Counter[str]) -> Iterator[Statement | Loop]:
    """Yield statements with ``_`` in the place of names that nothing uses."""
    for part in block:
        if isinstance(part, Loop):
            yield Loop(part.count, tuple(_without_unused(part.statements, uses)))  # type: ignore[arg-type]
        else:
            yield replace(part, targets=_used(part.targets, uses))


def _chained(
    block: Sequence[Statement | Loop], uses: Counter[str], names: Names
) -> Iterator[Statement | Loop]:
    """Yield statements with one name for the tensors of a long chain, each of which only the next one uses.

    So each of them is freed as soon as the next one is there: memory that is used again is in the cache.
    """
    passed = [_passed_on(part, then, uses) for part, then in itertools.pairwise([*block, None])]
    chains = (list(chain) for _, chain in itertools.groupby(enumerate(passed), lambda pair: bool(pair[1])))
    inside = {number for chain in chains if len(chain) >= CHAIN for number, name in chain if name}
    shared = names.take("x") if inside else ""
    before = ""
    for number, part in enumerate(block):
        if isinstance(part, Loop):
            yield part
            continue
        expression = substitute(part.expression, {before: shared}) if before else part.expression
        before = passed[number] if number in inside else ""
        yield replace(part, targets=shared if before else part.targets, expression=expression)


def _passed_on(part: Statement | Loop | None, then: Statement | Loop | None, uses: Counter[str]) -> str:
    """Return the name that a statement assigns if nothing but the next statement uses it, once; else ""."""
    if not isinstance(part, Statement) or not isinstance(then, Statement):
        return ""
    name = part.targets
    return name if isinstance(name, str) and uses[name] == 1 and name in names_in(then.expression) else ""


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

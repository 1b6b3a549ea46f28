"""Find the layer whose statement failed when a ported module ran."""

import ast
import traceback
from collections.abc import Iterator

from batchdot.codegen.syntax import parse_expression, parse_file
from batchdot.porting.program import ModelClass, Statement
from batchdot.porting.program.expressions import names_in, substitute
from batchdot.porting.program.values import Loop


def origin_of(error: Exception, model: ModelClass, source: str) -> tuple[object, str]:
    """Return what the statement that raised an error was written for, and the expression that failed.

    Args:
        error: what a module of the program raised.
        model: the class of the whole program.
        source: its text.

    Returns:
        The origin of the statement, None if it is not known, and the source of the expression.
    """
    classes = {each.name: each for each in _classes(model)}
    nodes = {node.name: node for node in parse_file(source).body if isinstance(node, ast.ClassDef)}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        line = frame.lineno or 0
        if not frame.filename.startswith("<ported "):
            continue
        for name in classes.keys() & nodes.keys():
            if nodes[name].lineno <= line <= (nodes[name].end_lineno or 0):
                text = _segment(source, frame)
                return _written_for(classes[name], nodes[name], line, text), text
    return None, ""


def _classes(model: ModelClass) -> Iterator[ModelClass]:
    yield model
    for submodule in model.submodules:
        if submodule.child is not None:
            yield from _classes(submodule.child)


def _segment(source: str, frame: traceback.FrameSummary) -> str:
    """Return the expression at which a frame stood, on one line; "" where Python does not know."""
    if None in (frame.lineno, frame.end_lineno, frame.colno, frame.end_colno):
        return ""
    lines = source.splitlines()[frame.lineno - 1 : frame.end_lineno]  # type: ignore[operator]
    lines[-1] = lines[-1][: frame.end_colno]
    lines[0] = lines[0][frame.colno :]
    text = "\n".join(lines)
    try:
        return ast.unparse(parse_expression(f"({text}\n)"))
    except SyntaxError:
        return ""


def _written_for(model: ModelClass, node: ast.ClassDef, line: int, text: str) -> object:
    """Return the origin of a line of a class: of the innermost expression that holds the text."""
    forward = next(each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "forward")
    pairs = zip(_flat_nodes(forward.body), _flat(model), strict=False)
    origins = next(
        (part.origins for each, part in pairs if each.lineno <= line <= (each.end_lineno or 0)), ()
    )
    wanted = _form(text) if text else ""
    inner = (origin for expression, origin in origins if wanted and wanted in _form(expression))
    return next(inner, origins[-1][1] if origins else None)


def _form(expression: str) -> str:
    """Return an expression without the names in it, which may have changed since."""
    text = ast.unparse(parse_expression(expression))
    return substitute(text, dict.fromkeys(names_in(text), "_"))


def _flat_nodes(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of ``forward``, but for those that take its inputs out of a dict."""
    for node in body:
        if isinstance(node, ast.For):
            yield from node.body
        elif not isinstance(node, (ast.If, ast.Assert)):
            yield node


def _flat(model: ModelClass) -> Iterator[Statement]:
    for part in model.statements:
        if isinstance(part, Loop):
            yield from part.statements
        else:
            yield part

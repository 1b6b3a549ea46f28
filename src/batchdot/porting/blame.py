"""Find the statement at which a ported module fails: it runs again, one statement after the other.

These are the statements as translations wrote them, each for one call of a layer: before they were shortened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from batchdot.codegen import write_structure
from batchdot.porting.program import ModelClass
from batchdot.porting.source import check


@dataclass(frozen=True)
class Failure:
    """What a module raises.

    Attributes:
        error: the exception.
        origin: what the statement was written for, None if it is not known.
        expression: its right side, "" if it is not known.
    """

    error: Exception
    origin: object = None
    expression: str = ""


def failure_of(model: ModelClass, module: nn.Module, inputs: list[Tensor], error: Exception) -> Failure:
    """Return where a module fails.

    Args:
        model: the class of the whole program.
        module: an instance of it.
        inputs: what it fails on.
        error: what it raises then.
    """
    try:
        _run(model, module, *inputs)
    except _StatementError as found:
        return found.failure
    return Failure(error)


class _StatementError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


def _run(model: ModelClass, module: nn.Module, *inputs: Any) -> Any:
    """Run ``forward`` statement by statement, that of sub-modules whose classes the program defines too."""
    inside = [(getattr(module, one.attribute), one.child) for one in model.submodules if one.child]
    for submodule, child in inside:
        submodule.forward = partial(_run, child, submodule)
    try:
        return _run_here(model, module, inputs)
    finally:
        for submodule, _ in inside:
            del submodule.forward


def _run_here(model: ModelClass, module: nn.Module, inputs: Sequence[Any]) -> Any:
    parameters = [*map(str, model.parameters), *(name for name, _ in model.borrowed)]
    names = type(module).forward.__globals__ | {"self": module} | dict(zip(parameters, inputs, strict=True))
    for statement in model.steps:
        text = f"{write_structure(statement.targets)} = {statement.expression}"
        try:
            _execute(text, names)
        except _StatementError:
            raise
        except Exception as error:
            raise _StatementError(Failure(error, statement.origin, statement.expression)) from error
    _execute(f"results_ = {write_structure(model.step_results)}", names)
    return names["results_"]


def _execute(text: str, names: dict[str, Any]) -> None:
    exec(compile(check(text, functions=names), "<statement>", "exec"), names)

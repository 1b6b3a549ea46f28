"""Handlers: functions that run operations on one kind of inputs, such as DTensors. Imports no torch.

`batchdot.ops.dispatch` runs the first handler that claims the inputs of a call. Packages that import `ops`
register handlers for their own inputs (symbolic tensors, DTensors), so that `ops` imports none of them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from batchdot.ops.operation import Operation


class Handler(NamedTuple):
    """Runs operations on one kind of inputs.

    Attributes:
        name: the kind of inputs; a handler registered later under the same name replaces this one.
        claims: ``claims(operation, x, y)`` returns whether this handler runs the operation on x and y.
        run: ``run(operation, x, y)`` returns the result.
    """

    name: str
    claims: Callable[["Operation", object, object], bool]
    run: Callable[["Operation", object, object], Any]


HANDLERS: list[Handler] = []
"""All handlers, in the order in which they are tried. The last, for dense tensors, claims everything."""


def register(handler: Handler, *, last: bool = False) -> None:
    """Add a handler before all others, or after them with ``last``."""
    HANDLERS[:] = [other for other in HANDLERS if other.name != handler.name]
    HANDLERS.insert(len(HANDLERS) if last else 0, handler)

"""The list of handlers: what may run an operation on which inputs. Imports no torch.

`batchdot.ops.dispatch` gives a call to the first handler that claims its inputs. Packages above `ops`
register handlers for inputs of their own (symbolic tensors, DTensors), so that `ops` imports none of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Claims = Callable[[Any, Any, Any], bool]
Run = Callable[[Any, Any, Any], Any]


class Handler(NamedTuple):
    """A way to run operations on one kind of inputs.

    Attributes:
        name: what it handles; a handler registered later under the same name replaces it.
        claims: whether it runs an operation on x and y: ``claims(operation, x, y)``.
        run: runs it: ``run(operation, x, y)``.
    """

    name: str
    claims: Claims
    run: Run


HANDLERS: list[Handler] = []
"""All handlers, in the order in which they are asked. The last, for dense tensors, claims everything."""


def register(handler: Handler, *, last: bool = False) -> None:
    """Add a handler before all others, or behind them with ``last``."""
    HANDLERS[:] = [other for other in HANDLERS if other.name != handler.name]
    HANDLERS.insert(len(HANDLERS) if last else 0, handler)

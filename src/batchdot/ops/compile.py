"""What torch.compile sees of a call: one operator with the arguments of the call.

If Dynamo traced through the pipeline, it would guard on everything that it read there, and checking those
guards takes longer than a small product. An operator goes into its graph as it is. When the graph is
lowered, the operator's implementation runs on tensors of symbolic sizes and is traced to PyTorch's operators
(CompositeImplicitAutograd), so derivatives, torch.func and autocast need no rules of their own. Cosines on
the CPU are lowered to the native kernel's operators, which beat what Inductor makes of the formula.

Each global that a traced function reads here is a guard, 60 ns at every compiled call. This module is
imported when Dynamo first traces a call, and not before.
"""

from collections.abc import Callable
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from batchdot._torch import implement_composite, is_faking
from batchdot.kernels import AVAILABLE
from batchdot.ops import arguments, dispatch
from batchdot.ops.arguments import DOT, is_static
from batchdot.ops.operation import Operation
from batchdot.ops.plan_cache import are_exact_tensors
from batchdot.types import EPSILON


def trace_batch_dot(x: Any, y: Any, axes: Any, batch_dims: Any, normalize: Any, epsilon: Any) -> Any:
    """Run `batch_dot` under torch.compile."""
    if (
        x.__class__ is Tensor  # calling are_exact_tensors is a guard more
        and y.__class__ is Tensor
        and batch_dims.__class__ is int
        and is_static((axes, batch_dims))
        and isinstance(epsilon, float)  # it may be a symbol
        and not _must_trace_through()
    ):
        return _BATCH_DOT(x, y, axes, batch_dims, bool(normalize), epsilon)
    return trace_operation(arguments.batch_dot_operation(axes, batch_dims, normalize, epsilon), x, y)


def trace_operation(operation: Operation, x: Any, y: Any) -> Any:
    """Run an operation under torch.compile: as one operator if possible, otherwise traced through."""
    if operation.static and are_exact_tensors((x, y)) and not _must_trace_through():
        options = operation.options
        if not options:
            return _DOT(x, y)
        if operation.epsilon is None:
            return _BATCH_DOT(x, y, options["axes"], options["batch_dims"])
        return _BATCH_DOT(x, y, options["axes"], options["batch_dims"], True, operation.epsilon)
    return dispatch.run_traced(operation, x, y)


def _code_tag() -> str:
    """Return a name for the code that the operators stand for.

    torch keeps compiled graphs on disk by the names of their operators, and must not find those of other
    code. The version and the kernels tell installed releases apart. Sources that are no installed release
    (an editable install, a checkout on the path) change under one version: their contents count too.
    """
    parts = [kernel.name.encode() for kernel in AVAILABLE]
    here, installed = Path(__file__), False
    try:
        distribution = metadata.distribution("batchdot")
        parts.append(distribution.version.encode())
        installed = any(file.name == here.name and here == file.locate() for file in distribution.files or ())
    except metadata.PackageNotFoundError:
        pass
    if not installed:
        parts += [path.read_bytes() for path in sorted(here.parents[1].rglob("*.py"))]
    return "of_" + sha256(b"\0".join(parts)).hexdigest()[:16]


_TAG = _code_tag()


def _operator(name: str, parameters: str, function: Callable[..., Tensor]) -> Any:
    """Return a function of two tensors and options as an operator; all arguments are positional.

    None if torch does not let it work under vmap.
    """

    def run(*arguments: Any) -> Tensor:
        try:
            return function(*arguments)
        except (TypeError, ValueError) as error:
            if not is_faking(arguments[:2]):
                raise
            # For this error alone, Dynamo breaks the graph; the call then raises its own in eager mode.
            raise NotImplementedError(str(error)) from error

    full_name = f"batchdot::{name}.{_TAG}"
    torch.library.define(full_name, f"({parameters}) -> Tensor")
    # Disabled, or Dynamo would trace the implementation where an error has broken the graph.
    works = implement_composite(full_name, torch.compiler.disable(run))  # type: ignore[no-untyped-call]
    operator: Callable[..., Tensor] | None = getattr(getattr(torch.ops.batchdot, name), _TAG)
    return operator if works else None


def _run_batch_dot(
    x: Tensor, y: Tensor, axes: Any, batch_dims: int, normalize: bool = False, epsilon: float = EPSILON
) -> Tensor:
    operation = arguments.cached_operation(axes, batch_dims, normalize, epsilon)
    result: Tensor = dispatch.run(operation, x, y)
    return result


def _run_dot(x: Tensor, y: Tensor) -> Tensor:
    result: Tensor = dispatch.run(DOT, x, y)
    return result


_BATCH_DOT = _operator(
    "batch_dot",
    f"Tensor x, Tensor y, Any axes, int batch_dims, bool normalize=False, float epsilon={EPSILON}",
    _run_batch_dot,
)
_DOT = _operator("dot", "Tensor x, Tensor y", _run_dot)


def _always() -> bool:
    return True


# An exported program must not hold our operators, for it is to run without batchdot.
_must_trace_through = _always if _BATCH_DOT is None or _DOT is None else torch.compiler.is_exporting

"""`batch_dot` and `dot` as custom operators for torch.compile.

If Dynamo traced the Python code of a call, it would guard on everything that the code reads, and checking
those guards takes longer than a small product. A custom operator is one node of its graph. When the graph is
lowered, the operator's implementation runs on tensors of symbolic sizes and is traced to PyTorch's operators
(CompositeImplicitAutograd), so derivatives, torch.func and autocast need no rules of their own. Cosines on
the CPU are lowered to the native kernel's operators, which are faster than Inductor's code for the formula.

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
from batchdot.convert import AxesLike
from batchdot.kernels import AVAILABLE
from batchdot.ops import arguments, dispatch
from batchdot.ops.arguments import DOT, is_static
from batchdot.ops.operation import Operation
from batchdot.ops.plan_cache import are_exact_tensors
from batchdot.types import EPSILON


def trace_batch_dot(
    x: object, y: object, axes: object, batch_dims: object, normalize: object, epsilon: object
) -> Any:
    """Run `batch_dot` under torch.compile."""
    if (
        x.__class__ is Tensor  # calling are_exact_tensors would add a guard
        and y.__class__ is Tensor
        and batch_dims.__class__ is int
        and is_static((axes, batch_dims))
        and isinstance(epsilon, float)  # it may be a symbol
        and not _must_trace_through()
    ):
        return _BATCH_DOT(x, y, axes, batch_dims, bool(normalize), epsilon)
    return trace_operation(arguments.batch_dot_operation(axes, batch_dims, normalize, epsilon), x, y)


def trace_operation(operation: Operation, x: object, y: object) -> Any:
    """Run an operation under torch.compile: as one operator if possible, otherwise traced."""
    constants = operation.constants  # one tuple, as each field and each key that is read here is a guard
    exact = (x.__class__ is Tensor and y.__class__ is Tensor) or are_exact_tensors((x, y))
    if constants is not None and exact and not _must_trace_through():
        return _BATCH_DOT(x, y, *constants) if constants else _DOT(x, y)
    return dispatch.run_traced(operation, x, y)


def _code_tag() -> str:
    """Return a tag for the operators' names that changes with the code that they run.

    torch caches compiled graphs on disk by the names of their operators, and must not reuse one compiled
    from other code. For an installed release the tag hashes the version and the available kernels. Other
    sources (an editable install, a checkout on the path) change without a new version, so that the tag
    hashes their contents too.
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

    Return None if this torch does not support it under vmap.
    """

    def run(*arguments: Any) -> Tensor:
        try:
            return function(*arguments)
        except (TypeError, ValueError) as error:
            if not is_faking(arguments[:2]):
                raise
            # Only for NotImplementedError Dynamo breaks the graph; the eager call then raises the original.
            raise NotImplementedError(str(error)) from error

    full_name = f"batchdot::{name}.{_TAG}"
    torch.library.define(full_name, f"({parameters}) -> Tensor")
    # Disabled, because Dynamo would trace the implementation after an error has broken the graph.
    works = implement_composite(full_name, torch.compiler.disable(run))  # type: ignore[no-untyped-call]
    operator: Callable[..., Tensor] | None = getattr(getattr(torch.ops.batchdot, name), _TAG)
    return operator if works else None


def _run_batch_dot(
    x: Tensor, y: Tensor, axes: AxesLike, batch_dims: int, normalize: bool = False, epsilon: float = EPSILON
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


# An exported program must not hold our operators: it runs without batchdot.
_must_trace_through = _always if _BATCH_DOT is None or _DOT is None else torch.compiler.is_exporting

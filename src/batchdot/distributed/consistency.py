"""Agreement: a check, for those who ask for it, that all ranks make the same call.

A rank whose tensors have other shapes takes part in other collectives: the program hangs or aborts, and
says nothing of why. Checked calls compare first, and raise on every rank what differs between them.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from batchdot.convert import dtype_name

VARIABLE = "BATCHDOT_CHECK_AGREEMENT"
"""The environment variable that turns the check on for a whole program: 1."""

_checked: ContextVar[bool] = ContextVar("checked", default=False)


@contextmanager
def agreement_checked() -> Iterator[None]:
    """Check each `batch_dot`, `dot` and `Dot` of DTensors inside by `check_agreement`.

    It costs a gathering of short texts a call. ``BATCHDOT_CHECK_AGREEMENT=1`` in the environment does it
    for a whole program.

    >>> with agreement_checked():
    ...     pass  # out = batch_dot(x, y, axes=1)
    """
    token = _checked.set(True)
    try:
        yield
    finally:
        _checked.reset(token)


def check_agreement(*tensors: Any, group: Any = None, **options: Any) -> None:
    """Raise the same error on every rank if they do not call this with the same kind of arguments.

    Compared are shapes, dtypes and, of DTensors, placements; and the options, by their text. A DTensor's
    local shape has to be the one that its placements ask for: torch's ``from_local`` takes any.

    Args:
        *tensors: tensors or DTensors.
        group: the process group to compare in; by default that of all ranks.
        **options: what else is to be the same: ``axes=1``.

    Raises:
        ValueError: the ranks differ; the text, the same on all of them, names which and in what.

    In a program of one process there is nothing to compare:

    >>> import torch
    >>> check_agreement(torch.ones(2, 3), axes=1)

    Three ranks, of which one has other axes, all raise

        ValueError: The ranks do not agree.
          ranks 0, 2: tensor (2, 3) float32, axes=1
          rank 1: tensor (2, 3) float32, axes=0
    """
    if dist.is_available() and dist.is_initialized():
        _compare(_describe(tensors, options), "The ranks do not agree.", [group])


def check_call(operation: Any, x: Any, y: Any) -> None:
    """Check a call of an operation, if that was asked for, on the ranks of the mesh of its tensors."""
    if not (_checked.get() or os.environ.get(VARIABLE) == "1"):
        return
    mesh: DeviceMesh = next(t.device_mesh for t in (x, y) if isinstance(t, DTensor))
    groups = [mesh.get_group(dim) for dim in range(mesh.ndim)]
    title = f"The ranks do not agree on what they call {operation.function} with."
    _compare(_describe((x, y), operation.options), title, groups)


def _compare(own: tuple[str, str], title: str, groups: Sequence[Any]) -> None:
    """Compare what each rank has to say of itself, and raise if it is not the same, or not right."""
    said = [(dist.get_rank(), *own)]
    for group in groups:  # along one mesh dimension after the other, until all know of all
        gathered: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(gathered, said, group)
        said = sorted(entry for entries in gathered for entry in entries)
    if len({description for _, description, _ in said}) == 1 and not any(wrong for _, _, wrong in said):
        return
    ranks: dict[str, list[str]] = {}
    for rank, description, wrong in said:
        ranks.setdefault(description + wrong, []).append(str(rank))
    lines = [
        f"  rank{'s' * (len(them) > 1)} {', '.join(them)}: {description}"
        for description, them in ranks.items()
    ]
    raise ValueError("\n".join([title, *lines]))


def _describe(tensors: Sequence[Any], options: dict[str, Any]) -> tuple[str, str]:
    """Return what has to be the same on all ranks, and what is wrong on this one."""
    wrong = [complaint for tensor in tensors if (complaint := _complain(tensor))]
    return ", ".join(
        [_text(tensor) for tensor in tensors] + [f"{name}={value}" for name, value in options.items()]
    ), "".join(wrong)


def _text(tensor: Any) -> str:
    if not isinstance(tensor, Tensor):
        return type(tensor).__name__
    text = f"{tuple(tensor.shape)} {dtype_name(tensor.dtype)}"
    if not isinstance(tensor, DTensor):
        return f"tensor {text}"
    return f"DTensor {text} {' '.join(map(str, tensor.placements))} on {tuple(tensor.device_mesh.shape)}"


def _complain(tensor: Any) -> str:
    if not isinstance(tensor, DTensor):
        return ""
    local = tuple(tensor.to_local().shape)
    right, _ = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    return "" if local == tuple(right) else f"; its local shape is {local}, and not {tuple(right)}"

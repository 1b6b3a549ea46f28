"""What a plan would do on a GPU, counted without one: operators, synchronizations, bytes held at once.

A plan made for "cuda" runs on tensors of another device under a dispatch mode, which sees every operator. On
the device meta this costs no arithmetic, so that any size may be counted.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from batchdot.kernels import KERNELS
from batchdot.ops.operation import Operation
from batchdot.planning.lowering import lower
from batchdot.planning.plan import Plan, TensorMeta

# What the CPU has to wait for, because it reads a value or a size that the device computes.
SYNCHRONIZING = {
    "_local_scalar_dense",
    "is_nonzero",
    "equal",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
}
_NO_LAUNCH = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


@dataclass
class Counts:
    """Operators of a launch or more each, those that synchronize, and the most bytes allocated at once."""

    launches: list[str] = field(default_factory=list)
    synchronizations: list[str] = field(default_factory=list)
    peak_bytes: int = 0


class counted(TorchDispatchMode):  # noqa: N801  # used as a function
    """Count what runs inside; ``with counted() as counts``. Inputs made before are no bytes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}

    def __enter__(self) -> Any:
        super().__enter__()
        return self.counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        if name in SYNCHRONIZING:
            self.counts.synchronizations.append(name)
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        if not is_view and name not in _NO_LAUNCH:
            self.counts.launches.append(name)
        self._held = {key: held for key, held in self._held.items() if not held[0].expired()}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and (key := tensor.untyped_storage()._cdata) not in before:
                storage = tensor.untyped_storage()
                self._held[key] = (StorageWeakRef(storage), storage.nbytes())
        held = sum(nbytes for _, nbytes in self._held.values())
        self.counts.peak_bytes = max(self.counts.peak_bytes, held)
        return result


def cuda_plan(operation: Operation, x: Tensor, y: Tensor) -> Plan:
    """Return the plan of an operation for tensors like x and y on a CUDA device."""
    metas = (TensorMeta(t.dtype, "cuda", t.stride()) for t in (x, y))
    return lower(operation.contract(tuple(x.shape), tuple(y.shape)), *metas, operation.epsilon)


def count_aten(operation: Operation, x: Tensor, y: Tensor, backward: bool = False) -> Counts:
    """Count what ATen does for a plan for "cuda", forward or with the gradients of both inputs."""
    run = KERNELS[-1].build(cuda_plan(operation, x, y)).run
    if backward:
        x, y = (t.detach().requires_grad_() for t in (x, y))
    with counted() as counts:
        out = run(x, y)
        if backward:
            torch.autograd.grad(out, (x, y), torch.empty_like(out))
    return counts

"""The plan cache: plans by the signature of their operands, with a faster guard for the latest call.

A plan depends on the dtype, device, sizes and strides of both tensors: their signature. Making a signature
in Python and looking it up takes 1.3 µs. So each operation also stores its latest call with a guard, a
function in C that compares two tensors with those of that call in 0.26 µs.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeAlias, TypeGuard
from weakref import WeakSet

import torch
from torch import Tensor
from torch.nn import Parameter

from batchdot._torch import Guard, are_transforms_active, make_guard, modes_may_change
from batchdot.planning.plan import Executable, Plan

PLAN_CACHE_SIZE = 4096
"""Maximum number of cached plans of one operation: bounds memory if every call has new shapes."""

FastCall: TypeAlias = tuple[Guard, Callable[..., Any], tuple[Any, ...]]
"""A guard, the function to call on the tensors that it accepts, and the options to pass to it."""


def are_exact_tensors(values: Iterable[object]) -> TypeGuard[Iterable[Tensor]]:
    """Return whether all values are of class Tensor or Parameter; other subclasses may redefine anything.

    >>> are_exact_tensors([torch.ones(2), Parameter(torch.ones(2))]), are_exact_tensors([torch.ones(2), 3])
    (True, False)
    """
    for value in values:  # noqa: SIM110  # twice as fast as all(...)
        if value.__class__ is not Tensor and value.__class__ is not Parameter:
            return False
    return True


def signature(x: object, y: object) -> Hashable | None:
    """Return a key that is equal for tensors with the same plan; None if the plan cannot be cached.

    >>> signature(torch.ones(2, 3), torch.ones(2, 3)) == signature(torch.zeros(2, 3), torch.ones(2, 3))
    True
    """
    operands = (x, y)
    if not are_exact_tensors(operands):
        return None
    x, y = operands
    try:
        key = (x.shape, y.shape, x.stride(), y.stride(), x.dtype, y.dtype, x.device, y.device)
        hash(key)
    except (TypeError, RuntimeError):
        return None  # symbolic sizes, or no strides
    return key


def is_cacheable(plan: Plan, x: Tensor, y: Tensor) -> bool:
    """Return whether the plan depends on nothing but the signature of x and y."""
    if plan.traced:
        return False
    if plan.epsilon is not None and not (x.is_floating_point() or x.is_complex()):
        return False  # the result has the default dtype, which may change
    # A sparse COO tensor has strides of zero, or none: it must not get a dense plan with equal strides.
    return all(any(tensor.stride()) for tensor in (x, y))


class CacheEntry:
    """A cached plan, built by its kernel, and the fast call for its latest inputs.

    Attributes:
        executable: the plan and the functions that run it.
        fast_call: one tuple, so that other threads never read half an update.
    """

    __slots__ = ("executable", "fast_call")

    def __init__(self, executable: Executable, x: Tensor, y: Tensor) -> None:
        self.executable = executable
        self.fast_call = self.resolve(x, y)

    def resolve(self, x: Tensor, y: Tensor) -> FastCall:
        """Return the fast call for these tensors and for others that the guard accepts.

        The executable's ``fast`` function computes no derivatives and ignores autocast. The guard compares
        everything that excludes it: ``requires_grad``, transforms and autocast.
        """
        fast = None if modes_may_change() or _may_not_be_fast(x, y) else self.executable.fast
        return (make_guard(x, y), *(fast or (self.executable.run, ())))


def _may_not_be_fast(x: Tensor, y: Tensor) -> bool:
    if x.requires_grad or y.requires_grad or are_transforms_active():
        return True
    try:
        return torch.is_autocast_enabled(x.device.type)
    except RuntimeError:  # a device without autocast, as "meta"
        return False


def _reject_all(x: object, y: object) -> bool:
    return False


class PlanCache:
    """The cached plans of one operation.

    Attributes:
        last_call: the fast call of the latest call; before the first call its guard rejects everything.
        entries: the cached plans, by signature.
    """

    def __init__(self) -> None:
        self.entries: dict[Hashable, CacheEntry] = {}
        self.clear()

    def clear(self) -> None:
        """Remove all plans."""
        self.entries.clear()
        self.last_call: FastCall = (_reject_all, _reject_all, ())

    def find(self, x: Any, y: Any) -> Executable | None:
        """Return the cached executable for two operands, if any, and make their call the latest."""
        entry = self.entries.get(signature(x, y))
        if entry is None:
            return None
        fast_call = entry.fast_call
        if not fast_call[0](x, y):  # same signature, but requires_grad or a mode differs
            fast_call = entry.fast_call = entry.resolve(x, y)
        self.last_call = fast_call
        return entry.executable

    def add(self, executable: Executable, x: Tensor, y: Tensor) -> None:
        """Cache the executable of two tensors, if it depends on nothing but their signature."""
        if not is_cacheable(executable.plan, x, y):
            return
        if len(self.entries) >= PLAN_CACHE_SIZE:
            self.entries.clear()
        self.entries[signature(x, y)] = CacheEntry(executable, x, y)
        _in_use.add(self)


_in_use: WeakSet[PlanCache] = WeakSet()


def clear() -> None:
    """Remove the cached plans of all operations."""
    for cache in list(_in_use):
        cache.clear()

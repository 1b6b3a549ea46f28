"""The plan cache: the plans of earlier calls, by the signature of their inputs.

A plan depends on the class, dtype, device, sizes and strides of both tensors: their signature. Making the
signature in Python and looking it up takes 1.3 µs. So the latest call of each operation is also kept with a
guard, a function in C that tells in 0.26 µs whether two tensors are like those of that call.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeAlias
from weakref import WeakSet

import torch
from torch import Tensor
from torch.nn import Parameter

from batchdot._torch import Guard, are_transforms_active, make_guard, modes_may_change
from batchdot.planning.plan import Executable, Plan

PLAN_CACHE_SIZE = 4096
"""Plans kept for one operation. A program that meets new shapes at each call must not grow for ever."""

FastCall: TypeAlias = tuple[Guard, Callable[..., Any], tuple[Any, ...]]
"""A guard, what to call on the tensors that it accepts, and further arguments for that."""


def are_exact_tensors(values: Iterable[Any]) -> bool:
    """Return whether all values are of class Tensor or Parameter; other subclasses may do anything.

    >>> are_exact_tensors([torch.ones(2), Parameter(torch.ones(2))]), are_exact_tensors([torch.ones(2), 3])
    (True, False)
    """
    for value in values:  # noqa: SIM110  # half the time of all(...)
        if value.__class__ is not Tensor and value.__class__ is not Parameter:
            return False
    return True


def signature(x: Any, y: Any) -> Hashable | None:
    """Return a key that is equal for tensors that one plan serves; None for values that have no plan.

    >>> signature(torch.ones(2, 3), torch.ones(2, 3)) == signature(torch.zeros(2, 3), torch.ones(2, 3))
    True
    """
    if not are_exact_tensors((x, y)):
        return None
    try:
        key = (x.shape, y.shape, x.stride(), y.stride(), x.dtype, y.dtype, x.device, y.device)
        hash(key)
    except (TypeError, RuntimeError):
        return None  # of symbolic sizes, or without strides
    return key


def is_cacheable(plan: Plan, x: Tensor, y: Tensor) -> bool:
    """Return whether the signature of x and y says everything that the plan depends on."""
    if plan.traced:
        return False
    if plan.epsilon is not None and not (x.is_floating_point() or x.is_complex()):
        return False  # depends on the default dtype
    # A sparse COO tensor shows strides of zero, or none: a dense plan must not be found by those.
    return all(any(tensor.stride()) for tensor in (x, y))


class CacheEntry:
    """A cached plan, built by its kernel, and the fast call for its latest inputs.

    Attributes:
        executable: the plan and what runs it.
        fast_call: replaced as one tuple, so that other threads never see half an update.
    """

    __slots__ = ("executable", "fast_call")

    def __init__(self, executable: Executable, x: Tensor, y: Tensor) -> None:
        self.executable = executable
        self.fast_call = self.resolve(x, y)

    def resolve(self, x: Tensor, y: Tensor) -> FastCall:
        """Return the fast call for these tensors and for others like them.

        The executable's ``fast`` function computes no derivatives and ignores autocast. What rules it out
        here (``requires_grad``, a transform, autocast) is part of what the guard compares.
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


def _reject_all(x: Any, y: Any) -> bool:
    return False


class PlanCache:
    """The cached plans of one operation.

    Attributes:
        last_call: the fast call of the latest call; its guard rejects everything before there is one.
        entries: the cached plans, by signature.
    """

    def __init__(self) -> None:
        self.entries: dict[Hashable, CacheEntry] = {}
        self.clear()

    def clear(self) -> None:
        """Forget all plans."""
        self.entries.clear()
        self.last_call: FastCall = (_reject_all, _reject_all, ())

    def find(self, x: Any, y: Any) -> Executable | None:
        """Return the plan for two values, if it is cached, and remember their call as the latest."""
        entry = self.entries.get(signature(x, y))
        if entry is None:
            return None
        fast_call = entry.fast_call
        if not fast_call[0](x, y):  # same signature, but requires_grad or a mode differs
            fast_call = entry.fast_call = entry.resolve(x, y)
        self.last_call = fast_call
        return entry.executable

    def add(self, executable: Executable, x: Tensor, y: Tensor) -> None:
        """Keep a plan for two tensors, if their signature says all that it depends on."""
        if not is_cacheable(executable.plan, x, y):
            return
        if len(self.entries) >= PLAN_CACHE_SIZE:
            self.entries.clear()
        self.entries[signature(x, y)] = CacheEntry(executable, x, y)
        _in_use.add(self)


_in_use: WeakSet[PlanCache] = WeakSet()


def clear() -> None:
    """Forget the plans of all operations."""
    for cache in list(_in_use):
        cache.clear()

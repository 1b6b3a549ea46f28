"""What a run on meta tensors leaves in the attributes of a module, removed at its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from batchdot.symbolic.call_context import real_values
from batchdot.symbolic.tree import flatten


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Remove, at the end, the meta tensors that a run has left in attributes, lists and dicts of these.

    Other changes stay, such as layers that were built, and torch's lazy modules, which get real weights.
    """
    handles = [
        inner.register_forward_pre_hook(_initialize, prepend=True, with_kwargs=True)
        for inner in module.modules()
        if isinstance(inner, LazyModuleMixin) and inner.has_uninitialized_params()
    ]
    stores = [
        (store, dict(store))
        for inner in module.modules()
        for store in (inner.__dict__, *inner.__dict__.values())
        if isinstance(store, dict)  # also the stores of torch.nn.Module
    ]
    lists = [
        (value, list(value))
        for inner in module.modules()
        for value in inner.__dict__.values()
        if isinstance(value, list)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for store, before in stores:
            for key in list(store):
                value = store[key]
                if value is before.get(key) or not _is_left_by_inference(value):
                    continue
                if key in before:
                    store[key] = before[key]
                else:
                    del store[key]
        for items, known in lists:
            if len(items) != len(known) and _is_left_by_inference(items):
                items[:] = known


def _initialize(module: Any, args: Any, kwargs: Any) -> None:
    """Make the weights of a lazy module of torch, before its own hook would do so on meta tensors."""
    if hasattr(module, "initialize_parameters"):  # not so in the second run
        with real_values():
            module.initialize_parameters(*args, **kwargs)


def _is_left_by_inference(value: Any) -> bool:
    if isinstance(value, nn.Module):  # made by the call; the first real call makes it again
        return any(tensor.is_meta for tensor in (*value.parameters(), *value.buffers()))
    return any(isinstance(leaf, Tensor) and leaf.is_meta for leaf in flatten(value))

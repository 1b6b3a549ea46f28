"""Predict: run a model on all samples, batch by batch, and return numpy arrays."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from batchdot.convert import as_array
from batchdot.layers.base.modes import obeys_calls
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.tree import flatten, map_structure


def predict_in_batches(model: Any, x: Any, batch_size: int | None, verbose: Any, steps: int | None) -> Any:
    """Return the outputs of a model for all samples; see `Model.predict`.

    Args:
        model: the model.
        x: its inputs, of shape (B, ...), or a loader that yields them in batches.
        batch_size: samples to a batch, 32 by default; not for a loader.
        verbose: 1 shows a progress bar.
        steps: the number of batches, by default all.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size is at least 1. Received: {batch_size}")
    batches: Any
    if is_loader(x):
        if batch_size is not None:
            raise ValueError(f"The batches come from the {type(x).__name__}: leave out batch_size.")
        count = len(x) if hasattr(x, "__len__") else None
        batches = map(model._prepare_inputs, map(_inputs_of, x))
    else:
        batches = _cut(model._prepare_inputs(x), 32 if batch_size is None else batch_size)
        count = len(batches)
    batches = islice(batches, steps)
    if verbose and verbose != "auto":
        from tqdm import tqdm

        total = min((number for number in (count, steps) if number is not None), default=None)
        batches = tqdm(batches, total=total, desc=model.name, unit="batch")
    with _evaluation(model), CONTEXT.set(training=False, keeps_call_losses=False), torch.no_grad():
        results = [model(batch) for batch in batches]
    if not results:
        raise ValueError("predict received no batches.")
    first = results[0]
    outputs = first[0] if isinstance(first, list | tuple) and len(first) == 1 else first
    parts = zip(*map(flatten, results), strict=True)
    return map_structure(lambda _: np.concatenate(list(map(as_array, next(parts)))), outputs)


def is_loader(x: Any) -> bool:
    """Return whether a value yields batches, as a DataLoader or a generator does, and is no batch itself.

    >>> is_loader(iter([])), is_loader([]), is_loader(np.ones(2))
    (True, False, False)
    """
    if isinstance(x, Tensor | list | tuple | dict | str) or hasattr(x, "__array__"):
        return False
    if isinstance(x, torch.utils.data.Dataset) and not hasattr(x, "__iter__"):
        raise TypeError("predict takes batches, and a Dataset has samples: pass DataLoader(dataset, 32).")
    return hasattr(x, "__iter__")


def _inputs_of(batch: Any) -> Any:
    """Return the inputs of a batch that is ``(x,)``, ``(x, y)`` or ``(x, y, weights)``, or x alone."""
    if not isinstance(batch, list | tuple):
        return batch
    if not 1 <= len(batch) <= 3:
        raise ValueError(
            f"A batch is x, (x,), (x, y) or (x, y, weights), where x may be a tuple of inputs. "
            f"Received: {len(batch)} values."
        )
    return batch[0]


def _cut(x: Any, batch_size: int) -> list[Any]:
    """Return batches of tensors of shape (B, ...), as views; an empty one if B is 0."""
    sizes = {leaf.shape[0] for leaf in flatten(x)}
    if len(sizes) != 1:
        raise ValueError(f"The inputs of predict have different batch sizes: {sorted(sizes)}.")
    starts = range(0, max(1, *sizes), batch_size)
    return [map_structure(itemgetter(slice(start, start + batch_size)), x) for start in starts]


@contextmanager
def _evaluation(model: Any) -> Iterator[None]:
    """Set the mode of modules that a call cannot tell to evaluate: torch modules inside a compiled one."""
    modes = [] if obeys_calls(model) else [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode

"""Predict: run a model on all samples, batch by batch, and return numpy arrays."""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import numpy as np
import torch

from batchdot.convert import as_array
from batchdot.layers.base.modes import obeys_calls
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.tree import flatten, map_structure, unpack_singleton


def predict_in_batches(model: Any, x: Any, batch_size: int, verbose: Any) -> Any:
    """Return the outputs of a model for all samples; see `Model.predict`.

    Args:
        model: the model.
        x: its inputs, of shape (B, ...).
        batch_size: samples to a batch.
        verbose: 1 shows a progress bar.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1. Received: {batch_size}")
    x = model._prepare_inputs(x)
    sizes = {leaf.shape[0] for leaf in flatten(x)}
    if len(sizes) != 1:
        raise ValueError(f"The inputs of predict have different batch sizes: {sorted(sizes)}.")
    starts: Any = range(0, max(1, *sizes), batch_size)
    if verbose and verbose != "auto":
        from tqdm import tqdm

        starts = tqdm(starts, desc=model.name, unit="batch")
    parts = []
    with _evaluation(model), CONTEXT.set(training=False, keeps_call_losses=False), torch.no_grad():
        for start in starts:
            batch = map_structure(itemgetter(slice(start, start + batch_size)), x)
            parts.append(flatten(model(batch)))
    return unpack_singleton(
        [np.concatenate(list(map(as_array, values))) for values in zip(*parts, strict=True)]
    )


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

"""Compiled calls: `torch.compile` on our functions and on the PyTorch baselines, both with dynamic shapes."""

from collections.abc import Iterator
from functools import partial
from typing import Any, TypeAlias

import torch

import batchdot
from benchmarks.baselines import BASELINES
from benchmarks.layers import WORKS as LAYERS
from benchmarks.measure import OURS, Settings, difference, settled, values
from benchmarks.timing import time_in_turns
from benchmarks.workloads import WORKLOADS

BASELINE = "baseline"

WORKS = (
    "row dot",
    "row cosine",
    "row dot, large",
    "row cosine, large",
    "row cosine, large, backward",
    "vector times matrix, news",
    "Q Kᵀ",
    "cosine matrix",
    "cosine matrix, backward",
    "cosine matrix, MatchZoo",
    "matrix product, attention",
    "word2vec",
)
"""Workloads, each timed against the first baseline of its kind."""

MODELS = {"Dot, over batch_dot": "(a * b).sum(-1, keepdim=True)", "Dense": None, "two towers, 8 calls": None}
"""Layers and a model, each timed against this baseline or, for None, its own."""


def measure_compiled(settings: Settings) -> dict[str, Any]:
    """Time compiled calls, layers and a model.

    Returns:
        By name, the result of `summary`, or the reason why there is none.
    """
    if not settings.compile:
        return {"skipped": "torch.compile is left out as asked"}
    results = {}
    for name, ours, baseline, inputs, names in (*_calls(settings), *_models()):
        names |= {"torch": torch, "batch_dot": batchdot.batch_dot}
        torch.compiler.reset()
        for key, line in ((OURS, ours), (BASELINE, baseline)):
            function = eval(f"lambda {inputs}: {line}", dict(names))
            names[key] = torch.compile(function, dynamic=True, fullgraph=True)
        statements = {key: f"{key}({inputs})" for key in (OURS, BASELINE)}
        if "g" in names:
            statements = {
                key: f"torch.autograd.grad({line}, ({inputs}), g)" for key, line in statements.items()
            }
        with torch.set_grad_enabled("g" in names):
            found, expected = (values(eval(statements[key], names)) for key in (OURS, BASELINE))
            reason = difference(expected, found, "float32")
            if reason is not None:
                results[name] = {"absent": f"the baseline {reason}"}
                continue
            take = partial(
                time_in_turns,
                statements,
                names,
                settings.rounds,
                settings.synchronize,
                budget=settings.budget,
            )
            results[name] = settled(take)
    return results


_Case: TypeAlias = tuple[str, str, str, str, dict[str, Any]]


def _calls(settings: Settings) -> Iterator[_Case]:
    """Yield a name, our line, the baseline, their inputs, and the values of all names."""
    works = {work.name: work for work in WORKLOADS}
    for name in WORKS:
        work = works[name]
        names: dict[str, Any] = dict(zip("xy", work.inputs(settings.device), strict=True))
        if work.backward:
            names["g"] = torch.randn(work.output_shape, device=settings.device)
        yield name, work.call, next(iter(BASELINES[work.kind].values())), "x, y", names


def _models() -> Iterator[_Case]:
    """Yield the same for layers and the model."""
    for work in LAYERS:
        if work.name in MODELS:
            tensors, layer = work.tensors(), work.build(batchdot)
            names = dict(zip("ab", tensors, strict=False))
            inputs = ", ".join(names)
            call = f"layer([{inputs}])" if work.inputs > 1 else f"layer({inputs})"
            names["layer"] = layer
            eval(call, names)  # builds the layer
            names["w"] = layer.weights
            yield work.name.partition(",")[0], call, MODELS[work.name] or work.baseline, inputs, names

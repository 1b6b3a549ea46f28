"""`top_k` against an exact search by FAISS and its PyTorch baseline."""

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from batchdot import top_k
from benchmarks.measure import Record, Settings, difference, settled
from benchmarks.timing import time_in_turns


@dataclass(frozen=True)
class Search:
    """A search for the k best of items (N, d) for each of Q queries."""

    queries: int
    d: int
    k: int = 10
    items: int = 100_000
    dtype: str = "float32"
    normalize: bool = False


WORKS = {
    "1 query of 128": Search(1, 128),
    "1 query of 64": Search(1, 64),
    "1 query of 16": Search(1, 16),
    "1 query of 128, k = 100": Search(1, 128, k=100),
    "4 queries of 128": Search(4, 128),
    "100 queries of 128": Search(100, 128),
    "100 queries of 128, k = 1": Search(100, 128, k=1),
    "100 queries of 128, k = 100": Search(100, 128, k=100),
    "100 queries of 64": Search(100, 64),
    "100 queries of 16": Search(100, 16),
    "1,024 queries of 128": Search(1024, 128),
    "1,024 queries of 16": Search(1024, 16),
    "1 query of 128, cosine": Search(1, 128, normalize=True),
    "100 queries of 128, cosine": Search(100, 128, normalize=True),
    "1 query of 128, bfloat16": Search(1, 128, dtype="bfloat16"),
    "100 queries of 128, bfloat16": Search(100, 128, dtype="bfloat16"),
}

BASELINES = {
    False: "(q @ i.T).topk(k)",
    True: "(torch.nn.functional.normalize(q) @ torch.nn.functional.normalize(i).T).topk(k)",
}
"""The plain line, by whether scores are cosines."""


def measure_top_k(settings: Settings) -> Record:
    """Time an exact search for the largest dot products or cosines.

    Returns:
        ``works``: by work, the result of `settled` with ``absent``.
    """
    return {"works": {name: _measure(work, settings) for name, work in WORKS.items()}}


def _measure(work: Search, settings: Settings) -> Record:
    generator = torch.Generator().manual_seed(0)
    q, i = (
        torch.randn(n, work.d, generator=generator).to(settings.device, getattr(torch, work.dtype))
        for n in (work.queries, work.items)
    )
    names: dict[str, Any] = {"torch": torch, "top_k": top_k, "q": q, "i": i, "k": work.k}
    lines = {"top_k": f"top_k(q, i, k, {work.normalize})", "baseline": BASELINES[work.normalize]}
    reason = _no_faiss(work, settings.device)
    absent = {} if reason is None else {"faiss": reason}
    if reason is None:
        faiss = import_module("faiss")
        faiss.omp_set_num_threads(torch.get_num_threads())
        names |= {"index": faiss.IndexFlatIP(work.d), "array": q.numpy()}
        names["index"].add(i.numpy())
        lines["faiss"] = "index.search(array, k)"
    right = _scores(lines["top_k"], names)
    for name in list(lines):
        reason = difference(_scores(lines[name], names), right, work.dtype)
        if reason is not None:
            absent[name] = reason
            del lines[name]
    take = partial(time_in_turns, lines, names, settings.rounds, settings.synchronize, budget=settings.budget)
    sizes = {"queries": work.queries, "items": work.items, "d": work.d, "k": work.k}
    return sizes | settled(take, "top_k") | {"absent": absent}


def _scores(line: str, names: dict[str, Any]) -> list[torch.Tensor]:
    return [torch.as_tensor(eval(line, names)[0]).cpu().float()]


def _no_faiss(work: Search, device: str) -> str | None:
    """Return why FAISS does not take part, None if it does."""
    if device != "cpu":
        return "runs on the CPU only"
    if work.normalize or work.dtype != "float32":
        return "has exact searches for float32 products only"
    return None if find_spec("faiss") is not None else "faiss not installed"

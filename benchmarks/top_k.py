"""`top_k` against an exact search by FAISS and its PyTorch baseline."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from batchdot import top_k
from benchmarks.measure import Record, Settings, summary
from benchmarks.timing import time_in_turns

WORKS = {
    # name: queries, items, d, k
    "one query": (1, 100_000, 128, 10),
    "queries": (100, 100_000, 128, 10),
}


def measure_top_k(settings: Settings) -> Record:
    """Time an exact search for the largest dot products.

    Returns:
        ``works``: by work, the result of `summary` with ``absent``.
    """
    return {"works": {name: _measure(*sizes, settings) for name, sizes in WORKS.items()}}


def _measure(queries: int, items: int, d: int, k: int, settings: Settings) -> Record:
    generator = torch.Generator().manual_seed(0)
    q, i = (torch.randn(n, d, generator=generator).to(settings.device) for n in (queries, items))
    names: dict[str, Any] = {"top_k": top_k, "q": q, "i": i, "k": k}
    lines = {"top_k": "top_k(q, i, k)", "baseline": "(q @ i.T).topk(k)"}
    absent: dict[str, str] = {}
    if settings.device != "cpu":
        absent["faiss"] = "runs on the CPU only"
    elif find_spec("faiss") is None:
        absent["faiss"] = "faiss not installed"
    else:
        faiss = import_module("faiss")
        faiss.omp_set_num_threads(torch.get_num_threads())
        names |= {"index": faiss.IndexFlatIP(d), "array": q.numpy()}
        names["index"].add(i.numpy())
        lines["faiss"] = "index.search(array, k)"
    expected = torch.as_tensor(eval(lines["top_k"], names)[0]).cpu()
    for name in list(lines):
        values = torch.as_tensor(eval(lines[name], names)[0]).cpu()
        if values.shape != expected.shape or not torch.allclose(values, expected, rtol=1e-3, atol=1e-3):
            absent[name] = "gives other numbers"
            del lines[name]
    timings = time_in_turns(lines, names, settings.rounds, settings.synchronize, budget=settings.budget)
    return (
        {"queries": queries, "items": items, "d": d, "k": k} | summary(timings, "top_k") | {"absent": absent}
    )

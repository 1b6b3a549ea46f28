"""The workloads: what is computed, and what a person would write for it in plain PyTorch.

The first ones are those that Keras was measured on; the others are the patterns that public Keras code
uses Dot for, at sizes found there.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Workload:
    """One call of `batch_dot` and its peers.

    Attributes:
        name: the name to choose it by.
        x: shape of x.
        y: shape of y.
        axes: the axes to sum over.
        peers: by column of the table, an expression of ``x`` and ``y`` with the same value.
        options: the other arguments of `batch_dot`.
        backward: whether the gradients of both inputs are computed too.
    """

    name: str
    x: tuple[int, ...]
    y: tuple[int, ...]
    axes: Any
    peers: dict[str, str]
    options: dict[str, Any]
    backward: bool = False


def _work(name: str, x: Any, y: Any, axes: Any, *, backward: bool = False, **options: Any) -> Workload:
    """Make a workload with the peers of its kind."""
    kind = name.partition(",")[0]
    return Workload(name, x, y, axes, PEERS[kind], options, backward)


_X, _Y = (f"torch.nn.functional.normalize({name}, dim=-1, eps=1e-6)" for name in "xy")

PEERS: dict[str, dict[str, str]] = {
    "row dot": {
        "plain": "(x * y).sum(1, keepdim=True)",
        "einsum": "torch.einsum('bk,bk->b', x, y).unsqueeze(1)",
        "bmm": "torch.bmm(x.unsqueeze(1), y.unsqueeze(2)).squeeze(2)",
        "vecdot": "torch.linalg.vecdot(x, y).unsqueeze(1)",
    },
    "row cosine": {
        "plain": f"({_X} * {_Y}).sum(1, keepdim=True)",
        "einsum": f"torch.einsum('bk,bk->b', {_X}, {_Y}).unsqueeze(1)",
        "bmm": "torch.bmm(x.unsqueeze(1), y.unsqueeze(2)).squeeze(2)"
        " / (x.norm(dim=1, keepdim=True) * y.norm(dim=1, keepdim=True))",
        "cosine_similarity": "torch.nn.functional.cosine_similarity(x, y).unsqueeze(1)",
    },
    "row dot with an axis of 1": {
        "plain": "(x * y).sum(2, keepdim=True)",
        "einsum": "torch.einsum('bik,bjk->bij', x, y)",
        "bmm": "torch.bmm(x, y.mT)",
        "vecdot": "torch.linalg.vecdot(x, y).unsqueeze(1)",
    },
    "Q Kᵀ": {
        "plain": "x @ y.mT",
        "einsum": "torch.einsum('bik,bjk->bij', x, y)",
        "bmm": "torch.bmm(x, y.mT)",
    },
    "cosine matrix": {
        "plain": f"{_X} @ {_Y}.mT",
        "einsum": f"torch.einsum('bik,bjk->bij', {_X}, {_Y})",
        "bmm": f"torch.bmm({_X}, {_Y}.mT)",
        "cosine_similarity": "torch.nn.functional.cosine_similarity(x.unsqueeze(2), y.unsqueeze(1), dim=3)",
    },
    "matrix product": {
        "plain": "x @ y",
        "einsum": "torch.einsum('bik,bkj->bij', x, y)",
        "bmm": "torch.bmm(x, y)",
    },
    "weighted sum over time": {
        "plain": "x.mT @ y",
        "einsum": "torch.einsum('bki,bkj->bij', x, y)",
        "bmm": "torch.bmm(x.mT, y)",
    },
    "matrix times vector": {
        "plain": "(x @ y.unsqueeze(2)).squeeze(2)",
        "einsum": "torch.einsum('bik,bk->bi', x, y)",
        "bmm": "torch.bmm(x, y.unsqueeze(2)).squeeze(2)",
    },
    "rank 4": {
        "plain": "(x.flatten(1, 2) @ y.flatten(2)).reshape(*x.shape[:3], *y.shape[2:])",
        "einsum": "torch.einsum('bmik,bkjn->bmijn', x, y)",
        "bmm": "torch.bmm(x.flatten(1, 2), y.flatten(2)).reshape(*x.shape[:3], *y.shape[2:])",
    },
    "word2vec": {
        "plain": "(x.squeeze(2) @ y.mT).unsqueeze(2)",
        "einsum": "torch.einsum('bmik,bjk->bmij', x, y)",
        "bmm": "torch.bmm(x.squeeze(2), y.mT).unsqueeze(2)",
    },
    "capsules": {
        "plain": "(x.unsqueeze(2) @ y).squeeze(2)",
        "einsum": "torch.einsum('bck,bckj->bcj', x, y)",
        "bmm": "torch.bmm(x.flatten(0, 1).unsqueeze(1), y.flatten(0, 1)).reshape(*x.shape[:2], -1)",
    },
}
"""By kind, which is a workload's name up to a comma."""

WORKLOADS = (
    _work("row dot", (32, 128), (32, 128), 1),
    _work("row cosine", (32, 128), (32, 128), 1, normalize=True),
    _work("row dot, large", (65536, 128), (65536, 128), 1),
    _work("row cosine, large", (65536, 128), (65536, 128), 1, normalize=True),
    _work("row dot, backward", (65536, 128), (65536, 128), 1, backward=True),
    _work("row cosine, backward", (65536, 128), (65536, 128), 1, normalize=True, backward=True),
    _work("matrix times vector, large", (1024, 100, 64), (1024, 64), (2, 1)),
    _work("matrix times vector, news", (32, 30, 64), (32, 64), (2, 1)),
    _work("Q Kᵀ", (32, 128, 64), (32, 128, 64), 2),
    _work("rank 4", (16, 16, 16, 64), (16, 64, 8, 8), (3, 1)),
    _work("row dot, factorization", (10000, 50), (10000, 50), 1),
    _work("row cosine, two towers", (256, 64), (256, 64), 1, normalize=True),
    _work("row dot with an axis of 1", (256, 1, 50), (256, 1, 50), 2),
    _work("Q Kᵀ, memory network", (32, 68, 64), (32, 4, 64), 2),
    _work("cosine matrix, MatchZoo", (32, 20, 100), (32, 40, 100), 2, normalize=True),
    _work("matrix product, attention", (64, 30, 30), (64, 30, 128), (2, 1)),
    _work("matrix product, PointNet", (32, 1024, 3), (32, 3, 3), (2, 1)),
    _work("weighted sum over time", (64, 30, 1), (64, 30, 128), 1),
    _work("word2vec", (1024, 5, 1, 128), (1024, 1, 128), (3, 2)),
    _work("capsules", (16, 10, 1152), (16, 10, 1152, 16), 2, batch_dims=2),
)

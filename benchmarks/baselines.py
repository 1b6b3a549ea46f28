"""The PyTorch baselines: what one would write without batchdot, for each kind of workload."""

_X, _Y = (f"torch.nn.functional.normalize({name}, dim=-1, eps=1e-6)" for name in "xy")
_NORMS = "(x.norm(dim={0}, keepdim=True) * y.norm(dim={0}, keepdim=True))"

BASELINES: dict[str, dict[str, str]] = {
    "row dot": {
        "elementwise": "(x * y).sum(1, keepdim=True)",
        "einsum": "torch.einsum('bk,bk->b', x, y).unsqueeze(1)",
        "bmm": "torch.bmm(x.unsqueeze(1), y.unsqueeze(2)).squeeze(2)",
        "vecdot": "torch.linalg.vecdot(x, y).unsqueeze(1)",
    },
    "row cosine": {
        "elementwise": f"({_X} * {_Y}).sum(1, keepdim=True)",
        "einsum": f"torch.einsum('bk,bk->b', {_X}, {_Y}).unsqueeze(1)",
        "bmm": f"torch.bmm(x.unsqueeze(1), y.unsqueeze(2)).squeeze(2) / {_NORMS.format(1)}",
        "cosine_similarity": "torch.nn.functional.cosine_similarity(x, y).unsqueeze(1)",
    },
    "row dot with an axis of 1": {
        "elementwise": "(x * y).sum(2, keepdim=True)",
        "matmul": "x @ y.mT",
        "einsum": "torch.einsum('bik,bjk->bij', x, y)",
        "bmm": "torch.bmm(x, y.mT)",
        "vecdot": "torch.linalg.vecdot(x, y).unsqueeze(1)",
    },
    "row cosine with an axis of 1": {
        "elementwise": f"({_X} * {_Y}).sum(2, keepdim=True)",
        "einsum": f"torch.einsum('bik,bjk->bij', {_X}, {_Y})",
        "bmm": f"torch.bmm(x, y.mT) / {_NORMS.format(2)}",
        "cosine_similarity": "torch.nn.functional.cosine_similarity(x, y, dim=2).unsqueeze(1)",
    },
    "Q Kᵀ": {
        "matmul": "x @ y.mT",
        "einsum": "torch.einsum('bik,bjk->bij', x, y)",
        "bmm": "torch.bmm(x, y.mT)",
        "tensordot": "torch.vmap(lambda a, b: torch.tensordot(a, b, ([1], [1])))(x, y)",
    },
    "cosine matrix": {
        "matmul": f"{_X} @ {_Y}.mT",
        "einsum": f"torch.einsum('bik,bjk->bij', {_X}, {_Y})",
        "bmm": f"torch.bmm({_X}, {_Y}.mT)",
        "cosine_similarity": "torch.nn.functional.cosine_similarity(x.unsqueeze(2), y.unsqueeze(1), dim=3)",
    },
    "matrix product": {
        "matmul": "x @ y",
        "einsum": "torch.einsum('bik,bkj->bij', x, y)",
        "bmm": "torch.bmm(x, y)",
        "tensordot": "torch.vmap(lambda a, b: torch.tensordot(a, b, 1))(x, y)",
    },
    "weighted sum over time": {
        "elementwise": "(x * y).sum(1, keepdim=True)",
        "matmul": "x.mT @ y",
        "einsum": "torch.einsum('bki,bkj->bij', x, y)",
        "bmm": "torch.bmm(x.mT, y)",
    },
    "vector times matrix": {
        "elementwise": "(x.unsqueeze(1) * y).sum(2)",
        "matmul": "(y @ x.unsqueeze(2)).squeeze(2)",
        "einsum": "torch.einsum('bk,bjk->bj', x, y)",
        "bmm": "torch.bmm(y, x.unsqueeze(2)).squeeze(2)",
        "vecdot": "torch.linalg.vecdot(x.unsqueeze(1), y)",
    },
    "matrix times vector": {
        "elementwise": "(x * y.unsqueeze(1)).sum(2)",
        "matmul": "(x @ y.unsqueeze(2)).squeeze(2)",
        "einsum": "torch.einsum('bik,bk->bi', x, y)",
        "bmm": "torch.bmm(x, y.unsqueeze(2)).squeeze(2)",
        "vecdot": "torch.linalg.vecdot(x, y.unsqueeze(1))",
    },
    "rank 4": {
        "matmul": "(x.flatten(1, 2) @ y.flatten(2)).reshape(*x.shape[:3], *y.shape[2:])",
        "einsum": "torch.einsum('bmik,bkjn->bmijn', x, y)",
        "bmm": "torch.bmm(x.flatten(1, 2), y.flatten(2)).reshape(*x.shape[:3], *y.shape[2:])",
        "tensordot": "torch.vmap(lambda a, b: torch.tensordot(a, b, 1))(x, y)",
    },
    "word2vec": {
        "elementwise": "(x * y.unsqueeze(1)).sum(3, keepdim=True)",
        "matmul": "(x.squeeze(2) @ y.mT).unsqueeze(2)",
        "einsum": "torch.einsum('bmik,bjk->bmij', x, y)",
        "bmm": "torch.bmm(x.squeeze(2), y.mT).unsqueeze(2)",
    },
    "capsules": {
        "matmul": "(x.unsqueeze(2) @ y).squeeze(2)",
        "einsum": "torch.einsum('bck,bckj->bcj', x, y)",
        "bmm": "torch.bmm(x.flatten(0, 1).unsqueeze(1), y.flatten(0, 1)).reshape(*x.shape[:2], -1)",
    },
}
"""By kind of workload and name of the baseline, an expression of ``x`` and ``y`` with the same value.

The first baseline of a kind is also compiled by torch.compile.
"""

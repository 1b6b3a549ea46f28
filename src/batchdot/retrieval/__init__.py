"""`top_k`: for each query the items with the largest dot products or cosines, exactly."""

from batchdot.convert import TensorLike, is_sharded
from batchdot.ops.operation import convert_operands
from batchdot.retrieval.search import TopK, top_k_local
from batchdot.types import EPSILON

__all__ = ["TopK", "top_k"]


def top_k(
    queries: TensorLike, items: TensorLike, k: int, normalize: bool = False, *, epsilon: float = EPSILON
) -> TopK:
    """Find the k items with the largest dot products, or cosines, for each query; exactly.

    The matrix of all scores is never in memory. Besides the inputs and the result there are a block of it, 2
    MiB in float32 at most (16 MiB without native kernels), copies of the queries, a block of items if they
    are cast, and in each thread 256 KiB of items, or 32 of them, and candidates of a block of queries: at
    most 2 (k + 8) + 64 for each.

    Args:
        queries: tensor of shape (Q, d), or (d,) for one query. numpy arrays and nested lists are converted.
        items: tensor of shape (N, d); or a DTensor that is sharded over its rows: then each process searches
            its own, and one all-gather exchanges their (Q, k) results.
        k: the number of items for each query, at most N.
        normalize: whether scores are cosines, as in `batch_dot`.
        epsilon: floor on the squared norms, as in `batch_dot`.

    Returns:
        Scores and indices of shape (Q, k), or (k,) for one query, in order of descending score. Ties are
        broken by ascending index, whatever the blocks, threads and shards. NaN counts as larger than any
        number, as in `torch.topk`. If more than 8 different items score within the rounding error of a
        float matrix product of the k-th score, that rounding can decide which of them is in.

        Scores have the dtype of `batch_dot`, but are summed in float64; equal 16-bit scores are in the order
        of their float32 values. Integer scores are int64 and exact. The derivatives of the
        scores, of every order and mode, are those of the dot products of the chosen pairs; results from
        DTensors have none. `torch.func.vmap` searches for all queries at once where the items are not mapped.

    Raises:
        ValueError: shapes or devices do not fit, or k is negative or larger than N.
        TypeError: k is not an integer, or the inputs are complex, bool, uint64, sparse or not numbers.

    >>> import torch
    >>> users = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> items = torch.tensor([[0.5, 0.5], [3.0, 4.0], [1.0, 0.0]])
    >>> top_k(users, items, k=2)
    TopK(scores=tensor([[3., 1.],
            [8., 1.]]), indices=tensor([[1, 2],
            [1, 0]]))
    >>> top_k(users, items, k=1, normalize=True).indices.tolist()
    [[2], [1]]
    """
    queries, items = convert_operands(queries, items)
    if is_sharded(queries) or is_sharded(items):
        from batchdot.retrieval.sharded import top_k_sharded  # loads torch.distributed

        return top_k_sharded(queries, items, k, normalize, epsilon)
    return top_k_local(queries, items, k, normalize, epsilon)

"""`top_k`: the items that score best for each query, exactly."""

from batchdot.retrieval.search import TopK, top_k

__all__ = ["TopK", "top_k"]

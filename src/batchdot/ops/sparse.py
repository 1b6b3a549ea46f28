"""Products of a sparse matrix with a dense one, for `dot`."""

import torch
from torch import Tensor

from batchdot.convert import check_dtypes
from batchdot.ops.arguments import DOT
from batchdot.planning.lowering import ACCUMULATION_DTYPE, result_dtype


def sparse_dot(x: Tensor, y: Tensor) -> Tensor:
    """Multiply a sparse matrix (COO or CSR) of shape (I, K) with a dense one of shape (K, J).

    Raises:
        TypeError: another sparse layout, a y that is not dense, or dtypes that do not fit.
        ValueError: a rank other than 2, sizes that differ, two devices.

    >>> sparse_dot(torch.eye(3).to_sparse(), torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """
    if x.layout not in (torch.sparse_coo, torch.sparse_csr) or y.layout != torch.strided:
        layouts = ", ".join(f"{n} is {str(t.layout).removeprefix('torch.')}" for n, t in (("x", x), ("y", y)))
        raise TypeError(f"dot takes a sparse x as COO or CSR with a dense y, and {layouts}.")
    if x.ndim != 2 or y.ndim != 2:
        raise ValueError(
            "dot takes a sparse x where both inputs are matrices. "
            f"Received: x.shape={tuple(x.shape)}, y.shape={tuple(y.shape)}."
        )
    DOT.contract(tuple(x.shape), tuple(y.shape))  # checks the sizes
    if x.device != y.device:
        raise ValueError(f"dot takes tensors on one device, and x is on {x.device}, y on {y.device}.")
    check_dtypes(x.dtype, y.dtype, "dot")
    dtype = result_dtype(x.dtype, y.dtype, normalize=False)
    compute = ACCUMULATION_DTYPE.get(dtype, dtype)
    x = x.to(compute)
    if x.layout == torch.sparse_coo and x.dense_dim():
        x = x.to_dense().to_sparse()
    if not (compute.is_floating_point or compute.is_complex):
        x = x.to_sparse(layout=torch.sparse_coo)  # torch multiplies sparse integers in no other layout
    y = y.to(compute)
    if torch.is_autocast_enabled(x.device.type):  # it would cast to a dtype without CSR products
        with torch.autocast(x.device.type, enabled=False):
            return torch.sparse.mm(x, y).to(dtype)  # type: ignore[no-any-return]
    product: Tensor = torch.sparse.mm(x, y)
    return product.to(dtype)

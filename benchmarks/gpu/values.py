"""Values on the device against exact rational arithmetic on the host; they come before any time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from batchdot import batch_dot, top_k
from batchdot.convert import dtype_name
from batchdot.kernels import select_kernel
from batchdot.ops.arguments import batch_dot_operation
from batchdot.types import EPSILON
from benchmarks.exact import as_floats, cosine_from, exact_dot, ulps
from benchmarks.gpu.clock import Machine

BOUND = 0.51
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
LENGTHS = (1, 3, 50, 128, 200, 1000, 20_000)
KINDS = ("random", "cancelling", "large", "small")

PEERS: dict[bool, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    False: ("(x * y).sum", lambda x, y: (x * y).sum(1)),
    True: ("F.cosine_similarity", torch.nn.functional.cosine_similarity),
}


@dataclass(frozen=True)
class Case:
    """Rows of one dtype, length and kind, multiplied or compared.

    Attributes:
        dtype: the dtype of the rows.
        size: their length, K.
        kind: one of KINDS.
        cosine: whether cosines are computed rather than products.
        shared: whether all rows of x meet one row of y, as in a matrix times a vector.
    """

    dtype: torch.dtype
    size: int
    kind: str
    cosine: bool
    shared: bool = False

    @property
    def name(self) -> str:
        """The case in words."""
        what = "cosine" if self.cosine else "product"
        return f"{what}, {dtype_name(self.dtype)}, K = {self.size}, {self.kind}{', shared' * self.shared}"

    def rows(self, count: int) -> tuple[Tensor, Tensor]:
        """Return x (count, K) and y (count, K) on the host, the same at every call."""
        generator = torch.Generator().manual_seed(self.size)
        x, y = (torch.randn(count, self.size, generator=generator, dtype=torch.float64) for _ in "xy")
        if self.kind == "cancelling":
            half = self.size // 2
            x[:, half : 2 * half] = x[:, :half]
            y[:, half : 2 * half] = -y[:, :half]
            x[:, -1] *= 2.0**-9
        info = torch.finfo(self.dtype)
        if self.kind == "large":  # squares leave the range of the dtype
            x *= info.max**0.5 / 64
        if self.kind == "small":
            y *= info.smallest_normal
        if self.shared:
            y = y[:1].expand(count, -1).contiguous()
        return x.to(self.dtype), y.to(self.dtype)


def cases(rehearsal: bool) -> Iterator[Case]:
    """Return all cases, or in a rehearsal a few of each kind."""
    lengths = LENGTHS[1:3] if rehearsal else LENGTHS
    for dtype in DTYPES:
        for cosine in (False, True):
            for size in lengths:
                for kind in KINDS if size == lengths[-1] or size in (128, 1000) else KINDS[:2]:
                    yield Case(dtype, size, kind, cosine)
            yield Case(dtype, lengths[-1], "cancelling", cosine, shared=True)


def measure_case(case: Case, machine: Machine) -> dict[str, Any]:
    """Return the largest error of a case in ulp, ours and the peer's, and the bound on ours.

    The bound is None where PyTorch's operators run and terms cancel: docs/numerics.md promises nothing there.
    """
    count = 4 if machine.rehearsal else 64 if case.size <= 1000 else 16
    x, y = case.rows(count)
    a, b = x.to(machine.type), y.to(machine.type)
    options = {"normalize": True} if case.cosine else {}
    left, right = (a[None], b[:1]) if case.shared else (a, b)
    axis = -1 if case.shared else 1
    ours = batch_dot(left, right, axis, **options)
    kernel = select_kernel(batch_dot_operation(axis, **options).lower(left, right)).plan.kernel
    name, peer = PEERS[case.cosine]
    rights = _exact(x, y, case.cosine)
    errors = {
        "batch_dot": _worst(ours, rights, case.dtype),
        name: _worst(peer(a, b), rights, case.dtype),
    }
    promised = kernel != "aten" or (case.cosine and case.kind == "random")
    bound = BOUND if promised else None
    wrong = bound is not None and not errors["batch_dot"] <= bound
    return {"name": case.name, "kernel": kernel, "rows": count, "ulp": errors, "bound": bound, "wrong": wrong}


def _exact(x: Tensor, y: Tensor, cosine: bool) -> list[Fraction]:
    a, b = as_floats(x), as_floats(y)
    products = [exact_dot(u, v) for u, v in zip(a, b, strict=True)]
    if not cosine:
        return products
    squares = [(exact_dot(u, u), exact_dot(v, v)) for u, v in zip(a, b, strict=True)]
    return [cosine_from(p, *s, EPSILON) for p, s in zip(products, squares, strict=True)]


def _worst(found: Tensor, rights: list[Fraction], dtype: torch.dtype) -> float:
    """Return the largest error in ulp; where the exact value is out of range, infinity is right."""
    most, worst = Fraction(torch.finfo(dtype).max), 0.0
    for value, right in zip(found.double().flatten().tolist(), rights, strict=True):
        if isfinite(value):
            worst = max(worst, ulps(value, right, dtype))
        elif abs(right) <= most:
            return float("inf")
    return worst


# --- edges ----------------------------------------------------------------------------------------------


def _zeros(machine: Machine) -> bool:
    x = torch.zeros(3, 8, device=machine.type, requires_grad=True)
    y = torch.ones(3, 8, device=machine.type, requires_grad=True)
    out = batch_dot(x, y, 1, normalize=True)
    gradients = torch.autograd.grad(out.sum(), (x, y))
    return not out.any() and all(bool(g.isfinite().all()) for g in gradients)


def _equal_rows(machine: Machine) -> bool:
    """Cosines of 10,000,000 rows with themselves are within [-1, 1]."""
    rows, parts = (1000, 1) if machine.rehearsal else (1_000_000, 10)
    for seed in range(parts):
        x = torch.randn(rows, 32, device=machine.type, generator=_generator(machine, seed))
        if not bool(batch_dot(x, x.clone(), 1, normalize=True).abs().max() <= 1):
            return False
    return True


def _not_a_number(machine: Machine) -> bool:
    x = torch.ones(4, 128, device=machine.type)
    x[1, 3], x[2, 5] = torch.nan, torch.inf
    product, cosine = batch_dot(x, torch.ones_like(x), 1), batch_dot(x, torch.ones_like(x), 1, normalize=True)
    expected = [128.0, "nan", "inf", 128.0]
    return [v if isfinite(v) else str(v) for v in product.flatten().tolist()] == expected and (
        cosine.isnan().flatten().tolist() == [False, True, True, False]
    )


def _empty(machine: Machine) -> bool:
    empty = (torch.ones(shape, device=machine.type) for shape in ((0, 8), (3, 0)))
    return [batch_dot(x, x, 1).shape for x in empty] == [(0, 1), (3, 1)]


def _strided(machine: Machine) -> bool:
    x = torch.randn(256, 60, device=machine.type, generator=_generator(machine, 0)).T[:, ::2]
    return torch.allclose(batch_dot(x, x, 1), batch_dot(x.contiguous(), x.contiguous(), 1), rtol=1e-6)


def _integers(machine: Machine) -> bool:
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.int8, torch.int32, torch.int64):
        x, y = (torch.randint(-100, 100, (3, 9, 70), generator=generator).to(dtype) for _ in "xy")
        if not torch.equal(batch_dot(x.to(machine.type), y.to(machine.type), 2).cpu(), batch_dot(x, y, 2)):
            return False
    return True


def _gradients(machine: Machine) -> bool:
    """Gradients of rows, shared rows and cosine matrices, against those of the formula in float64."""
    generator = torch.Generator().manual_seed(0)
    for dtype in DTYPES[:3]:
        for x_shape, y_shape in (((64, 50), (64, 50)), ((4, 9, 128), (4, 128)), ((4, 9, 64), (4, 7, 64))):
            x, y = (torch.randn(s, generator=generator).to(dtype) for s in (x_shape, y_shape))
            for normalize in (False, True):
                found, right = (
                    _gradients_of(x.to(place, kind), y.to(place, kind), normalize)
                    for place, kind in ((machine.type, dtype), ("cpu", torch.float64))
                )
                for ours, exact in zip(found, right, strict=True):
                    allowed = 16 * torch.finfo(dtype).eps * exact.abs().max()
                    if not bool((ours.cpu().double() - exact).abs().max() <= allowed):
                        return False
    return True


def _gradients_of(x: Tensor, y: Tensor, normalize: bool) -> tuple[Tensor, ...]:
    x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
    return torch.autograd.grad(batch_dot(x, y, -1, normalize=normalize).sum(), (x, y))


def _top_k(machine: Machine) -> bool:
    generator = torch.Generator().manual_seed(0)
    queries, items = (torch.randn(n, 64, generator=generator) for n in (30, 5000))
    items[2500:2600] = items[:100]  # ties
    found = top_k(queries.to(machine.type), items.to(machine.type), 10)
    return torch.equal(found.indices.cpu(), top_k(queries, items, 10).indices)


def _in_a_graph(machine: Machine) -> bool:
    """A captured call gives the bits of a call."""
    x, y = (torch.randn(64, 128, device=machine.type, generator=_generator(machine, s)) for s in (0, 1))
    out = torch.empty(64, 1, device=machine.type)
    for normalize in (False, True):
        right = batch_dot(x, y, 1, normalize=normalize)
        machine.graph(partial(_copy_product, out, x, y, normalize))()
        machine.synchronize()
        if not torch.equal(out, right):
            return False
    return True


def _copy_product(out: Tensor, x: Tensor, y: Tensor, normalize: bool) -> None:
    out.copy_(batch_dot(x, y, 1, normalize=normalize))


def _generator(machine: Machine, seed: int) -> torch.Generator:
    return torch.Generator(machine.type).manual_seed(seed)


EDGES: dict[str, Callable[[Machine], bool]] = {
    "zero vectors": _zeros,
    "cosines of equal rows": _equal_rows,
    "NaN and infinity": _not_a_number,
    "no rows, no terms": _empty,
    "strided rows": _strided,
    "integers": _integers,
    "gradients": _gradients,
    "top_k with ties": _top_k,
    "in a CUDA graph": _in_a_graph,
}
"""Checks by name: functions of the machine that return whether all is right."""


def measure_edge(name: str, machine: Machine) -> dict[str, Any]:
    """Return whether an edge is right; what it raises is the reason why not."""
    try:
        right, reason = EDGES[name](machine), ""
    except Exception as error:  # whatever a driver or a compiler raises
        right, reason = False, f"{type(error).__name__}: {error}"
    return {"name": name, "wrong": not right, "reason": reason}

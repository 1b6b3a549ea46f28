"""A check of each kernel at its first use on a device: 64 rows of each dtype against the same on the host.

A compiler or a card for which the kernels were not tested must not give wrong numbers. What fails is not used
there: PyTorch's operators run instead, and `batchdot info` says so. Results are kept for the process.
"""

from collections.abc import Callable
from fractions import Fraction
from math import fsum, sqrt
from typing import Any

import torch
from torch import Tensor

from batchdot.convert import dtype_name
from batchdot.kernels.operator_plans import DTYPES
from batchdot.kernels.operators import REFERENCE
from batchdot.kernels.triton.launch import on
from batchdot.types import EPSILON

ROWS, SIZE = 64, 50

_found: dict[tuple[str, torch.dtype, torch.device], str] = {}
"""What is wrong with a kernel, by its name, dtype and device; empty strings for nothing."""


def is_sound(name: str, run: Callable[..., Any], dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether a kernel may be used, which the first time it is checked.

    While a CUDA graph is captured nothing can be checked: then it may not.
    """
    reason = _found.get((name, dtype, device))
    if reason is not None:
        return not reason
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return False
    reason = _found[name, dtype, device] = _check(name, run, dtype, device)
    return not reason


def failures() -> dict[str, str]:
    """Return what is wrong with which kernel, of those that were checked so far."""
    return {
        f"{name} of {dtype_name(dtype)} on {device}": reason
        for (name, dtype, device), reason in _found.items()
        if reason
    }


def describe(implementations: dict[str, Callable[..., Any]], device: torch.device) -> str:
    """Check all kernels on a device, and return what `batchdot info` says of it."""
    failed = [
        f"{name} of {dtype_name(dtype)}"
        for name, run in implementations.items()
        for dtype in DTYPES
        if not is_sound(name, run, dtype, device)
    ]
    return "failed its check, and does not run " + ", ".join(failed) if failed else "passed its check"


def _check(name: str, run: Callable[..., Any], dtype: torch.dtype, device: torch.device) -> str:
    """Return what is wrong, or an empty string."""
    x, y = _rows(dtype)
    try:
        # A kernel of gradients is first used in a backward pass, where gradients are off.
        with torch.inference_mode(False), torch.enable_grad(), on(device):
            return "" if _agrees(name, run, x, y, device) else "wrong values"
    except Exception as error:  # whatever a compiler or a driver raises
        return f"{error.__class__.__name__}: {error}"


def _rows(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return rows of normal numbers, always the same; a quarter of them cancel to their last digits."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(ROWS, SIZE, generator=generator, dtype=torch.float64, device="cpu") for _ in "xy")
    half, some = SIZE // 2, ROWS // 4
    x[:some, half:] = x[:some, :half]
    y[:some, half:] = -y[:some, :half] * (1 + 2.0**-7 * torch.arange(half, device="cpu"))
    return x.to(dtype), y.to(dtype)


def _agrees(name: str, run: Callable[..., Any], x: Tensor, y: Tensor, device: torch.device) -> bool:
    epsilon = () if "product" in name else (EPSILON,)
    a, b = x.to(device), y.to(device)
    digits = torch.finfo(x.dtype).eps / 2
    if name in ("row_product", "row_cosine"):
        out = run(a, b, *epsilon, False).tolist()
        right = [_exactly(*rows, cosine=bool(epsilon)) for rows in zip(x.tolist(), y.tolist(), strict=True)]
        # 0.51 ulp, which is at most 2^-p·1.02 of the number; a cosine of the host has 2^-52 more.
        most = 1.02 * digits + (2.0**-51 if epsilon else 0)
        return all(abs(one - other) <= most * abs(other) for one, other in zip(out, right, strict=True))
    gradient = torch.ones(ROWS, dtype=x.dtype, device="cpu")
    if name.startswith("cosine_matrix"):
        gradient = gradient.expand(ROWS, ROWS).contiguous()
    results = (
        run(gradient.to(device), a, b, *epsilon, True, True) if "backward" in name else (run(a, b, *epsilon),)
    )
    # In float64 on the host, compared with the largest numbers: gradients and matrices cancel.
    x, y = (t.double().requires_grad_() for t in (x, y))
    reference = REFERENCE[name.removesuffix("_backward")]
    keepdim = (False,) if name.startswith("row") else ()
    expected: tuple[Tensor, ...] = (reference(x, y, *epsilon, *keepdim),)
    if "backward" in name:
        expected = torch.autograd.grad(expected[0], (x, y), gradient.double())
    most = SIZE * 2 * digits if name.startswith("cosine_matrix") else 4 * digits
    return all(
        bool((out.cpu().double() - right).abs().max() <= most * right.abs().max())
        for out, right in zip(results, expected, strict=True)
    )


def _exactly(x: list[float], y: list[float], cosine: bool) -> float:
    total = float(sum(Fraction(a) * Fraction(b) for a, b in zip(x, y, strict=True)))
    return total / sqrt(fsum(a * a for a in x)) / sqrt(fsum(b * b for b in y)) if cosine else total

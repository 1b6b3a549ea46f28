"""Triton's interpreter, which runs kernels on CPU tensors: how tests use it, and where it differs from a GPU.

Triton reads TRITON_INTERPRET when kernels are defined, so that these tests run in a process of their own:
`make test-triton`.
"""

import os
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from batchdot.kernels import KERNELS
from batchdot.kernels.triton import kernel

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" and os.environ.get("BATCHDOT_KERNELS") == "triton"


def _reason(interpreted: bool) -> str:
    if find_spec("triton") is None:
        return "triton is missing: the extra `triton`"
    return (
        "runs under Triton's interpreter: make test-triton" if interpreted else "compiles: make test-triton"
    )


interpreted = [
    pytest.mark.skipif(find_spec("triton") is None or not INTERPRETED, reason=_reason(True)),
    pytest.mark.usefixtures("triton_on_the_cpu"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # numpy's, of infinity and NaN
]
"""Marks of tests that run kernels on the CPU."""

compiled = pytest.mark.skipif(find_spec("triton") is None or INTERPRETED, reason=_reason(False))
"""Mark of tests that compile kernels, which the interpreter replaces."""


def use_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Triton's kernels the only ones beside ATen, for tensors on the CPU."""
    _patch_interpreter(monkeypatch)
    monkeypatch.setattr(kernel, "DEVICE", "cpu")
    monkeypatch.setattr("batchdot.kernels.AVAILABLE", (KERNELS[1], KERNELS[2]))
    assert kernel.prepare() == ""
    from batchdot.kernels.triton import problem, row_operators

    monkeypatch.setattr(problem, "ELEMENTS", 1 << 14)  # a program takes milliseconds, whatever its size
    row_operators.forget()


def assert_sound() -> None:
    """No kernel failed its check, after which ATen would have run."""
    from batchdot.kernels.triton import self_test

    assert not self_test.failures(), self_test.failures()


def _patch_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the interpreter round to bfloat16, and reduce pairs of float64 in seconds rather than minutes."""
    from triton.language import bfloat16, float32
    from triton.runtime import interpreter

    cast = interpreter.InterpreterBuilder.cast_impl

    def rounding_cast(self, src, dst_type):
        """Cast as a GPU does: the interpreter cuts off, and has other values for subnormal bfloat16."""
        if src.dtype.scalar == bfloat16 and dst_type.scalar == float32:
            data = src.data.astype(np.uint32) << 16
            return interpreter.TensorHandle(data.view(np.float32), float32)
        if src.dtype.scalar == float32 and dst_type.scalar == bfloat16:
            data = torch.from_numpy(np.ascontiguousarray(src.data)).to(torch.bfloat16)
            return interpreter.TensorHandle(data.view(torch.int16).numpy().view(np.uint16), bfloat16)
        return cast(self, src, dst_type)

    def reduce_by_halves(self, inputs):
        """Combine halves of the axis as a GPU does; the interpreter combines one element after the other."""
        arrays = [np.moveaxis(tensor.handle.data, self.axis, 0) for tensor in inputs]
        while len(arrays[0]) > 1:
            half = len(arrays[0]) // 2
            parts = [
                self.to_tensor(part, tensor.dtype)
                for slice_ in (slice(half), slice(half, None))
                for part, tensor in zip((a[slice_] for a in arrays), inputs, strict=True)
            ]
            arrays = [out.handle.data for out in self.combine_fn.fn(*parts)]
        return [self.to_tensor(a[0], tensor.dtype) for a, tensor in zip(arrays, inputs, strict=True)]

    dot = interpreter.InterpreterBuilder.create_dot

    def dot_of_numbers(self, a, b, *rest):
        """Multiply bfloat16 as float32, exactly; the interpreter multiplies their bits."""
        return dot(self, *(self.cast_impl(t, float32) if t.dtype == bfloat16 else t for t in (a, b)), *rest)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", dot_of_numbers)
    for name in ("cast_impl", "create_fp_trunc", "create_fp_ext"):
        monkeypatch.setattr(interpreter.InterpreterBuilder, name, rounding_cast)
    monkeypatch.setattr(interpreter.ReduceOps, "generic_reduce", reduce_by_halves)

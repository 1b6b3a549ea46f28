"""What the Triton kernels are compiled to, for GPUs that are not here: loads, spills, instructions."""

import pytest
import torch
from tests.support import triton_interpreter
from tests.support.triton_compiler import compile_for, launches

pytestmark = triton_interpreter.compiled

EPSILON = 1e-12
F32, BF16, F64 = torch.float32, torch.bfloat16, torch.float64


def rows(dtype, *shape, shared=False):
    y_shape = (*shape[:-2], 1, shape[-1]) if shared else shape
    return tuple(torch.empty(s, dtype=dtype, device="meta") for s in (shape, y_shape))


# Compute capability, dtype, rule (0 product, 1 cosine), shape; the load, and the most registers of a thread
# and instructions before the first branch, of which there were 368, 308 and 273. On paper, four warps of 415
# are 0.16 of what an H100 can issue while it reads a tile of float32 at 3.0 TB/s.
FORWARD = [
    (80, F32, 1, (65536, 128), "LDG.E.128", 168, 410),
    (90, F32, 1, (65536, 128), "LDG.E.128", 128, 410),
    (100, F32, 1, (65536, 128), "LDG.E.128", 128, 410),
    (90, F32, 0, (65536, 128), "LDG.E.128", 128, 340),
    (90, BF16, 1, (65536, 128), "LDG.E.128", 128, 300),
    (100, BF16, 1, (65536, 128), "LDG.E.128", 128, 300),
    (90, F64, 1, (65536, 128), "LDG.E.128", 168, None),
    (90, F32, 1, (65536, 50), "LDG.E.64", 168, None),
    (90, F32, 1, (16384, 1024), "LDG.E.128", 168, None),
]


@pytest.mark.parametrize(
    ("capability", "dtype", "rule", "shape", "load", "registers", "instructions"), FORWARD, ids=str
)
def test_rows(capability, dtype, rule, shape, load, registers, instructions, monkeypatch):
    from batchdot.kernels.triton.row_operators import _reducing

    (launch,) = launches(monkeypatch, _reducing, *rows(dtype, *shape), rule, EPSILON)
    code = compile_for(capability, launch, dtype)
    assert code.stack == 0
    assert set(code.loads()) == {load}
    assert ".ftz" not in code.ptx
    assert "fma.rn.f64" in code.ptx
    assert code.registers <= registers
    if instructions is not None:
        assert len(code.first_part) <= instructions


def test_long_rows(monkeypatch):
    from batchdot.kernels.triton.row_operators import _reducing

    for launch in launches(monkeypatch, _reducing, *rows(F32, 16, 100_000), 1, EPSILON):
        code = compile_for(90, launch, F32)
        assert (code.stack, code.loads()["LDG.E.128"] > 0, code.registers <= 168) == (0, True, True)
    sums = next(launch for launch in launches(monkeypatch, _reducing, *rows(F32, 16, 100_000), 1, EPSILON))
    assert sums.programs == 16 * 25  # of 4,096 columns


# As above; whether rows share one.
BACKWARD = [
    (90, F32, (65536, 128), False),
    (100, BF16, (65536, 128), False),
    (80, F64, (65536, 128), False),
    (90, F32, (1024, 100, 64), True),
]


@pytest.mark.parametrize(("capability", "dtype", "shape", "shared"), BACKWARD, ids=str)
def test_gradients(capability, dtype, shape, shared, monkeypatch):
    from batchdot.kernels.triton.row_operators import _differentiating

    inputs = rows(dtype, *shape, shared=shared)
    made = launches(monkeypatch, _differentiating, *inputs, 1, EPSILON, True, True)
    launch = next(one for one in made if "RULE" in one.constants)
    code = compile_for(capability, launch, dtype)
    assert code.stack == 0
    assert code.registers <= 168
    assert code.loads()["LDG.E.128"] >= 16
    assert ".ftz" not in code.ptx
    assert {name for name in code.instructions if name.startswith("STG")} >= {"STG.E.128"}


@pytest.mark.parametrize(("capability", "dtype"), [(90, F32), (80, BF16), (100, BF16)], ids=str)
def test_cosine_matrices(capability, dtype, monkeypatch):
    from batchdot.kernels.triton.matrix_operators import _cosines

    (launch,) = launches(monkeypatch, _cosines, *rows(dtype, 32, 128, 64), EPSILON, "ieee")
    code = compile_for(capability, launch, dtype)
    assert (code.stack, set(code.loads()), ".ftz" in code.ptx) == (0, {"LDG.E.128"}, False)
    products = sum(name.startswith("FFMA") for name in code.instructions)
    assert products >= 1024 if dtype == F32 else products < 64  # of tensor cores


def test_products_of_integers(monkeypatch):
    from batchdot.kernels.triton.matrix_operators import _integers

    left, right = rows(torch.int64, 32, 128, 64)
    (launch,) = launches(monkeypatch, _integers, left, right.mT)
    code = compile_for(90, launch, torch.int64)
    assert code.stack == 0

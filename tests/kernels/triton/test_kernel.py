"""The Triton kernel without triton and without a device: when it is used, why not, what it would launch."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from batchdot.kernels import KERNELS, operators
from batchdot.kernels.triton import kernel
from batchdot.kernels.triton.launch import Launch
from batchdot.kernels.triton.problem import CHUNK, Rows, choose_long_tile, choose_tile
from batchdot.ops.functional import plan
from batchdot.planning.plan import TensorMeta

TRITON = KERNELS[1]

FLOATS = "float32, float64, float16 or bfloat16"
DEVICE = "tensors that are not on a CUDA device"
DTYPE = f"results that are neither {FLOATS} nor products of matrices of integers"
INTEGERS = "inputs that are not floating-point"
MATRICES = "products of matrices of floats: PyTorch calls an optimized BLAS"
AXES = "rows whose contracted axes are not one last axis"
STRIDED = (
    "matrices times vectors where the contracted axis of the matrices is not contiguous: bmm reads them so"
)


def on_cuda(p):
    """The plan of the same tensors on a CUDA device."""
    metas = {side: replace(getattr(p, side), device="cuda") for side in ("x_meta", "y_meta")}
    return replace(p, **metas)


# x shape, y shape, axes, dtype: reasons, without normalizing and with
CHOICES = [
    ((32, 128), (32, 128), 1, torch.float32, [], []),
    ((32, 128), (32, 128), 1, torch.bfloat16, [], []),
    ((32, 128), (32, 128), 1, torch.float64, [], []),
    ((9999, 1), (9999, 1), 1, torch.float32, [], []),
    ((32, 128, 1), (32, 128, 1), 1, torch.float32, [AXES], [AXES]),
    ((32, 100, 64), (32, 64), -1, torch.float32, [], []),
    ((32, 64, 100), (32, 64), 1, torch.float32, [STRIDED], []),
    ((32, 9, 64), (32, 8, 64), 2, torch.float32, [MATRICES], []),
    ((32, 9, 64), (32, 8, 64), 2, torch.int64, [], [INTEGERS]),
    ((32, 9, 64), (32, 64), -1, torch.int32, [], [INTEGERS]),
    ((32, 128), (32, 128), 1, torch.int32, [DTYPE], [INTEGERS]),
    ((32, 9, 64), (32, 8, 64), 2, torch.complex64, [DTYPE], [DTYPE]),
]


@pytest.mark.parametrize(("x_shape", "y_shape", "axes", "dtype", "product", "cosine"), CHOICES, ids=str)
def test_which_plans_it_takes(x_shape, y_shape, axes, dtype, product, cosine, monkeypatch):
    monkeypatch.setattr(kernel, "prepare", lambda: "")
    x, y = torch.empty(x_shape, dtype=dtype), torch.empty(y_shape, dtype=dtype)
    for normalize, reasons in ((False, product), (True, cosine)):
        p = plan(x, y, axes, normalize=normalize)
        assert TRITON.not_supported_reasons(on_cuda(p)) == reasons
        assert TRITON.not_supported_reasons(p) == [DEVICE, *reasons]
        assert set(reasons) <= set(TRITON.limitations())


def test_traced_and_compiled_plans_are_for_aten(monkeypatch):
    p = on_cuda(plan(torch.ones(2, 3), torch.ones(2, 3), 1, normalize=True))
    traced = replace(p, x_meta=TensorMeta(torch.float32, "cuda", None))
    assert "traced" in TRITON.not_supported_reasons(traced)[0]
    assert "torch.compile" in TRITON.not_supported_reasons(replace(traced, compiled=True))[0]
    monkeypatch.setattr(kernel, "prepare", lambda: "not imported: ImportError: broken")
    assert TRITON.not_supported_reasons(p) == [kernel.NOT_IMPORTED]
    assert kernel.NOT_IMPORTED in TRITON.limitations()


def run_python(code, **environment):
    environment = {
        name: value for name, value in (os.environ | environment).items() if name != "TRITON_INTERPRET"
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("names", "found", "count", "reason"),
    [
        ("", True, 1, "not asked for: BATCHDOT_KERNELS=native,triton does"),
        ("native,aten", True, 1, "turned off by BATCHDOT_KERNELS=native,aten"),
        (
            "native,triton",
            False,
            1,
            "triton is not installed: PyTorch's CUDA builds for Linux bring it along",
        ),
        ("triton", True, 0, "torch sees no CUDA device"),
        ("triton", True, 1, None),
    ],
)
def test_why_it_is_unavailable(names, found, count, reason, monkeypatch):
    monkeypatch.setenv("BATCHDOT_KERNELS", names)
    monkeypatch.setattr(kernel, "find_spec", lambda name: object() if found else None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert TRITON.unavailable_reasons() == ([] if reason is None else [reason])


@pytest.mark.slow
def test_code_for_triton_is_not_imported_before_a_cuda_plan():
    code = (
        "import sys, torch, batchdot\n"
        "batchdot.batch_dot(torch.ones(2, 3), torch.ones(2, 3), 1, normalize=True)\n"
        "print(*(name for name in sys.modules if name.startswith('batchdot.kernels.triton.')))"
    )
    for names in (
        "",
        "native,triton",
    ):  # torch.utils.flop_counter imports triton itself, where it is installed
        assert run_python(code, BATCHDOT_KERNELS=names) == "batchdot.kernels.triton.kernel"


@pytest.mark.slow
def test_schemas_are_those_of_the_library():
    code = (
        "import torch\n"
        "from batchdot.kernels import operators\n"
        "operators.define()\n"
        "for name in operators.SCHEMAS:\n"
        "    packet = getattr(torch.ops.batchdot, name)\n"
        "    for overload in packet.overloads(): print(getattr(packet, overload)._schema)"
    )
    if KERNELS[0].unavailable_reasons():
        pytest.skip(f"the native kernel is {KERNELS[0].unavailable_reasons()[0]}")
    native, python = (run_python(code, BATCHDOT_KERNELS=names) for names in ("native", "triton"))
    assert native == python
    assert native.count("\n") + 1 == len(operators.SCHEMAS) + 3  # with .values of three


# --- what is launched ---------------------------------------------------------------------------------


def rows_of(*shape, dtype=torch.float32):
    return Rows.of(*(torch.empty(shape, dtype=dtype, device="meta") for _ in "xy"))


def test_more_than_2_31_elements_and_rows():
    rows = rows_of((1 << 24) + 1, 128, dtype=torch.bfloat16)
    assert rows.count * rows.size > 1 << 31
    assert (rows.count, rows.constants()["SMALL"], rows.chunks) == ((1 << 24) + 1, True, 1)
    assert not rows_of(1 << 31, 2).constants()["SMALL"]
    # Programs are counted along axis 0 of the grid, which ends at 2^31 - 1.
    assert -(-(1 << 36) // choose_tile(rows_of(1 << 36, 1), 132).rows) < 1 << 31


@pytest.mark.parametrize(
    ("shape", "dtype", "tile"),
    [
        ((65536, 128), torch.float32, (32, 32, 4)),
        ((65536, 128), torch.bfloat16, (32, 32, 4)),
        ((65536, 128), torch.float64, (16, 32, 4)),
        ((65536, 50), torch.float32, (16, 32, 4)),
        ((65536, 8), torch.float32, (128, 8, 4)),
        ((65536, 1024), torch.float32, (4, 256, 4)),
        ((32, 128), torch.float32, (8, 128, 4)),
        ((2, 128), torch.float32, (2, 128, 4)),
        ((16, 4097), torch.float32, (1, 1024, 4)),
        ((16, 4097), torch.bfloat16, (1, 1024, 4)),
        ((16, 4097), torch.float64, (1, 512, 4)),
    ],
    ids=str,
)
def test_tiles(shape, dtype, tile):
    rows = rows_of(*shape, dtype=dtype)
    found = choose_long_tile(rows) if rows.chunks > 1 else choose_tile(rows, 132)
    assert (found.rows, found.columns, found.warps) == tile


def test_chunks_depend_on_the_length_of_rows_alone():
    assert [rows_of(n, 3 * CHUNK + 1).chunks for n in (1, 1 << 20)] == [4, 4]


def test_rows_of_more_than_two_axes_are_copied():
    x = torch.empty(4, 2, 3, 20).permute(2, 1, 0, 3)
    y = torch.empty(3, 2, 4, 20)
    assert Rows.of(x, y) is None
    assert Rows.of(x.contiguous(), y).inner == 1
    shared = Rows.of(torch.empty(6, 5, 20), torch.empty(6, 1, 20))
    assert (shared.count, shared.inner, shared.x, shared.y) == (30, 5, (100, 20, 1), (20, 0, 1))


class Function:
    """A kernel as Triton has it: called on a grid it returns what it compiled, which is called so too."""

    arg_names = ("x_pointer", "rows", "K", "C")

    def __init__(self):
        self.calls = []

    def __getitem__(self, grid):
        def run(*arguments, **constants):
            self.calls.append(("compile", grid, arguments, constants))
            return Compiled(self.calls)

        return run


class Compiled:
    def __init__(self, calls):
        self.calls = calls

    def __getitem__(self, grid):
        return lambda *arguments: self.calls.append(("launch", grid, arguments))


def test_the_compiled_kernel_is_launched_directly():
    function = Function()
    launch = Launch(function, 7, {"C": 32, "K": 128, "UNUSED": 1}, warps=8)
    launch(torch.device("cpu"), "x", 5)
    launch(torch.device("cpu"), "y", 5)
    options = {"K": 128, "C": 32, "num_warps": 8, "enable_fp_fusion": False}
    assert function.calls == [
        ("compile", (7, 1, 1), ("x", 5), options),
        ("launch", (7, 1, 1), ("y", 5, 128, 32)),  # in the order of the parameters
    ]


# --- the check at first use ---------------------------------------------------------------------------


def wrong_product(x, y, keepdim):
    return torch.zeros(x.shape[:-1], dtype=x.dtype)


def broken_product(x, y, keepdim):
    raise RuntimeError("no such instruction")


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (
            operators.REFERENCE["row_product"],
            None,
        ),  # which sums in float32
        (wrong_product, "wrong values"),
        (broken_product, "RuntimeError: no such instruction"),
    ],
)
def test_a_kernel_that_fails_its_check_is_not_used(run, reason, monkeypatch):
    from batchdot.kernels.triton import self_test

    monkeypatch.setattr(self_test, "_found", {})
    cpu = torch.device("cpu")
    sound = self_test.is_sound("row_product", run, torch.float32, cpu)
    if reason is None:
        assert not sound
        exact = lambda x, y, keepdim: (x.double() * y.double()).sum(-1).to(x.dtype)  # noqa: E731
        assert self_test.is_sound("row_product", exact, torch.float16, cpu)
        return
    assert not sound
    assert self_test.failures() == {"row_product of float32 on cpu": reason}
    described = self_test.describe({"row_product": run}, cpu)
    assert described.startswith("failed its check, and does not run row_product of float32, ")

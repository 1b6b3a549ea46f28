"""The C++ operators of `top_k`: what they select and score, beside ATen and a stable sort."""

import numpy as np
import pytest
import torch
from tests.support.processes import run_python

from batchdot.retrieval import native_selection
from batchdot.retrieval.native_selection import NativeSelection
from batchdot.retrieval.selection import Selection

NAN, INF = float("nan"), float("inf")


def rows(kind, dtype, count, generator):
    """Five rows of scores."""
    if dtype == torch.int64:
        values = torch.randint(-9 if kind == "ties" else -(2**62), 9 if kind == "ties" else 2**62, (5, count))
        return values.sort(1).values if kind == "ascending" else values
    values = torch.randn(5, count, generator=generator, dtype=dtype)
    if kind == "ties":
        values = (values * 2).round()  # both signs of zero among them
    elif kind == "ascending":
        values = values.sort(1).values
    elif kind == "not finite":
        for value, share in ((NAN, 0.02), (INF, 0.02), (-INF, 0.6)):
            values[torch.rand(values.shape, generator=generator) < share] = value
        values[0], values[1] = NAN, -INF
    return values


def first_best(values, kept):
    """The positions of the largest, ascending; first among equals, NaN the largest."""
    if values.dtype == torch.int64:
        order = np.stack([np.argsort(-row, kind="stable") for row in values.numpy()])
    else:
        order = np.stack(
            [
                np.lexsort((-np.nan_to_num(row, nan=0, posinf=INF, neginf=-INF), ~np.isnan(row)))
                for row in values.numpy()
            ]
        )
    return torch.from_numpy(np.sort(order[:, :kept], axis=1))


@pytest.mark.parametrize("selection", [NativeSelection, Selection])
@pytest.mark.parametrize("kind", ["random", "ties", "ascending", "not finite"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64], ids=str)
def test_the_first_of_the_largest_are_selected(dtype, kind, selection, monkeypatch, native_kernel):
    if dtype == torch.int64 and kind == "not finite":
        pytest.skip("integers are finite")
    generator = torch.Generator().manual_seed(0)
    monkeypatch.setattr(native_selection, "EXTRA_CANDIDATES", 1)
    for count, kept in ((1, 1), (40, 1), (40, 40), (300, 7), (1000, 150), (5000, 3)):
        values = rows(kind, dtype, count, generator)
        expected = first_best(values, kept)
        for block in (1 + count // 7, count):
            found = selection(len(values), kept, count, values)
            for first in range(0, count, block):
                found.add(values[:, first : first + block], first)
            assert torch.equal(found.positions(), expected), (count, kept, block)


def test_what_is_finite(native_kernel):
    for dtype in (torch.float32, torch.float64):
        for count in (1, 127, 128, 300):
            values = torch.full((3, count), torch.finfo(dtype).max, dtype=dtype)
            values[1] = -values[1]
            assert NativeSelection.are_finite(values)
            for value in (NAN, INF, -INF):
                wrong = values.clone()
                wrong[2, count - 1] = value
                assert not NativeSelection.are_finite(wrong)
    assert NativeSelection.are_finite(torch.tensor([[2**63 - 1, -(2**63)]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("queries", [1, 3, 4, 9])
def test_scores_of_rows(dtype, queries, native_kernel):
    generator = torch.Generator().manual_seed(0)
    score_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    for count, size in ((1, 1), (7, 3), (200, 8), (300, 37), (2, 0), (0, 5), (1001, 129)):
        vectors = torch.randn(queries, size, generator=generator, dtype=torch.float64)
        items = torch.randn(count, 2 * size, generator=generator).to(dtype)
        for rows_of_items in (items[:, :size], items[:, :size].contiguous()):
            out = torch.full((queries, count), NAN, dtype=score_dtype)
            torch.ops.batchdot.score_rows(vectors, rows_of_items, out)
            expected = vectors @ rows_of_items.double().T
            torch.testing.assert_close(out.double(), expected, rtol=2e-7, atol=1e-7 * max(1, size) ** 0.5)


BITS = """
import hashlib, torch
import batchdot.kernels.cpu.library as library
assert not library.unavailable_reasons()
print(library.instructions(), end=" ")
digest = hashlib.sha256()
generator = torch.Generator().manual_seed(0)
for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
    for size in (1, 7, 8, 37, 129):
        items = torch.randn(501, size, generator=generator).to(dtype)
        vectors = torch.randn(5, size, generator=generator, dtype=torch.float64).to(dtype).double()
        out = torch.empty(5, 501, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
        torch.ops.batchdot.score_rows(vectors, items, out)
        digest.update(out.numpy().tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_bits_of_scores_do_not_depend_on_the_instruction_set(native_kernel):
    found = {}
    for name in ("baseline", "avx2", "avx512"):
        used, digest = run_python(BITS, BATCHDOT_INSTRUCTIONS=name).split()
        found[used] = digest
    assert "baseline" in found
    assert len(set(found.values())) == 1, found


OPS = torch.ops.batchdot
BLOCK = torch.zeros(2, 9)


def state(rows=2, kept=3):
    return NativeSelection(rows, kept, 90, torch.empty(0)).state


REFUSED = {
    "other rows": lambda: OPS.select_top(BLOCK[:1], *state(), 3, 0),
    "other dtypes": lambda: OPS.select_top(BLOCK.double(), *state(), 3, 0),
    "columns": lambda: OPS.select_top(torch.zeros(9, 2).T, *state(), 3, 0),
    "no room": lambda: OPS.select_top(BLOCK, *state(kept=3), 70, 0),
    "none kept": lambda: OPS.select_top(BLOCK, *state(), 0, 0),
    "halves": lambda: OPS.all_finite(BLOCK.half()),
    "queries in float": lambda: OPS.score_rows(BLOCK, BLOCK, torch.zeros(2, 2)),
    "another size": lambda: OPS.score_rows(BLOCK.double(), torch.zeros(4, 8), torch.zeros(2, 4)),
    "another output": lambda: OPS.score_rows(BLOCK.double(), torch.zeros(4, 9), torch.zeros(2, 5)),
    "integers": lambda: OPS.score_rows(BLOCK.double(), torch.zeros(4, 9).long(), torch.zeros(2, 4)),
    "item columns": lambda: OPS.score_rows(BLOCK.double(), torch.zeros(9, 4).T, torch.zeros(2, 4)),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_would_read_or_write_elsewhere_is_refused(call, native_kernel):
    with pytest.raises(RuntimeError, match="batchdot: "):
        call()

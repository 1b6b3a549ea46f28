"""The C++ operators of `top_k`: what they select and score, beside ATen and a stable sort."""

import sys

import numpy as np
import pytest
import torch
from tests.support.processes import run_python

from batchdot.retrieval import native_selection
from batchdot.retrieval.native_selection import NativeSelection
from batchdot.retrieval.selection import Selection

NAN, INF = float("nan"), float("inf")
OPS = torch.ops.batchdot  # whose operators are there only where a compiler built them


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


FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("queries", [1, 3, 4, 9, 16, 17, 25])
def test_scores_of_rows(dtype, queries, native_kernel):
    """In double for few queries; of float numbers, for many, in float."""
    generator = torch.Generator().manual_seed(0)
    for sum_dtype in (torch.float64, torch.float32):
        if sum_dtype == torch.float32 and dtype == torch.float64:
            continue
        for count, size in ((1, 1), (7, 3), (200, 8), (300, 37), (2, 0), (1001, 129), (70, 2000)):
            vectors = torch.randn(queries, size, generator=generator).to(dtype)
            items = torch.randn(count, 2 * size, generator=generator).to(dtype)
            for rows_of_items in (items[:, :size], items[:, :size].contiguous()):
                scores, positions = OPS.search_rows(vectors.to(sum_dtype), rows_of_items, count)
                expected = vectors.double() @ rows_of_items.double().T
                error = 2e-7 if sum_dtype == torch.float64 else 4e-7 * max(1, size) ** 0.5
                torch.testing.assert_close(
                    scores.double(), expected, rtol=2e-7, atol=error * max(1, size) ** 0.5
                )
                assert torch.equal(positions, torch.arange(count).expand(queries, count))


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("queries", [1, 5, 16, 17, 40])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_first_of_the_best_items_are_candidates(dtype, queries, threads, native_kernel):
    """Whatever the tiles and threads: products of small integers are exact, and many are equal."""
    generator = torch.Generator().manual_seed(0)
    for count, size, kept in ((1, 1, 1), (300, 3, 7), (20_000, 5, 3), (9_000, 40, 150), (257, 1500, 256)):
        x = torch.randint(-3, 4, (count, size), generator=generator).to(dtype)
        x = x[x.float().sum(1).argsort()] if size == 40 else x  # ascending: all enter
        q = torch.randint(-3, 4, (queries, size), generator=generator).to(dtype)
        expected = first_best(q.double() @ x.double().T, kept)
        for sum_dtype in (torch.float64, torch.float32)[: 1 if dtype == torch.float64 else 2]:
            _, positions = OPS.search_rows(q.to(sum_dtype), x, kept)
            assert torch.equal(positions, expected), (count, size, sum_dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("queries", [1, 6, 20])
def test_sums_out_of_range_are_computed_again(dtype, queries, native_kernel):
    """Partial sums of each item are infinite or NaN, its score is not."""
    large = 1e300 if dtype == torch.float64 else 1e38
    items = torch.tensor([[large, -large, large, -large, float(i)] for i in range(700)], dtype=dtype)
    q = torch.full((queries, 5), large, dtype=dtype)
    q[:, 4] = 1
    for sum_dtype in (torch.float64, torch.float32)[: 1 if dtype == torch.float64 else 2]:
        scores, positions = OPS.search_rows(q.to(sum_dtype), items, 3)
        assert torch.equal(positions, first_best(items[:, 4].double().expand(queries, -1), 3))
        assert torch.equal(scores.double(), items[:, 4].double()[positions])


PAIRS = [
    (1, 1, 1, 1),
    (1, 90, 16, 40),
    (3, 500, 7, 20),
    (9, 60, 129, 60),
    (3, 60, 4000, 20),
    (2, 40, 40_000, 9),
]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("query_dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_candidates_are_scored_exactly_and_ranked(dtype, query_dtype, normalize, threads, native_kernel):
    """Products of small integers are exact. Many of them are equal, some are NaN."""
    if dtype == torch.float64 and query_dtype == torch.float32:
        pytest.skip("scores have the wider dtype")
    tolerance = (1e-6 if query_dtype == torch.float32 else 1e-14) if normalize else 0
    generator = torch.Generator().manual_seed(0)
    for q, n, size, c in PAIRS:
        k = max(1, c - 2)
        queries = torch.randint(-3, 4, (q, size), generator=generator).to(query_dtype)
        items = torch.randint(-3, 4, (n, 2 * size), generator=generator).to(dtype)
        items[: n // 3], items[n // 2 :, 0] = items[n // 3], NAN
        places = torch.stack([torch.randperm(n, generator=generator)[:c].sort().values for _ in range(q)])
        for x in (items[:, :size], items[:, ::2], items[:, :size].contiguous()):
            scores, indices = OPS.rank_pairs(queries, x, places, k, 1e-12 * normalize)
            a, b = queries[:, None].double(), x[places].double()
            pairs = (a * b).sum(2)
            if normalize:
                pairs /= a.square().sum(2).clamp_min(1e-12).sqrt() * b.square().sum(2).clamp_min(1e-12).sqrt()
            order = pairs.sort(dim=1, descending=True, stable=True).indices[:, :k]
            assert scores.dtype == query_dtype
            torch.testing.assert_close(
                scores.double(), pairs.gather(1, order), rtol=tolerance, atol=tolerance, equal_nan=True
            )
            if not normalize:
                assert torch.equal(indices, places.gather(1, order))


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
        digest.update(torch.ops.batchdot.search_rows(vectors, items, 501)[0].numpy().tobytes())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_bits_of_scores_do_not_depend_on_the_instruction_set(native_kernel):
    """Of few queries; the sums in float of many are fused where that can be done."""
    found = {}
    for name in ("baseline", "avx2", "avx512"):
        used, digest = run_python(BITS, BATCHDOT_INSTRUCTIONS=name).split()
        found[used] = digest
    assert "baseline" in found
    assert len(set(found.values())) == 1, found


BLOCK, PLACES = torch.zeros(2, 9), torch.zeros(2, 2, dtype=torch.int64)


def state(rows=2, kept=3):
    return NativeSelection(rows, kept, 90, torch.empty(0)).state


REFUSED = {
    "other rows": lambda: OPS.select_top(BLOCK[:1], *state(), 3, 0),
    "other dtypes": lambda: OPS.select_top(BLOCK.double(), *state(), 3, 0),
    "columns": lambda: OPS.select_top(torch.zeros(9, 2).T, *state(), 3, 0),
    "no room": lambda: OPS.select_top(BLOCK, *state(kept=3), 70, 0),
    "none kept": lambda: OPS.select_top(BLOCK, *state(), 0, 0),
    "halves": lambda: OPS.all_finite(BLOCK.half()),
    "queries of halves": lambda: OPS.search_rows(BLOCK.half(), BLOCK, 1),
    "items wider than queries": lambda: OPS.search_rows(BLOCK, BLOCK.double(), 1),
    "another size": lambda: OPS.search_rows(BLOCK.double(), torch.zeros(4, 8), 1),
    "no candidates": lambda: OPS.search_rows(BLOCK, BLOCK, 0),
    "more candidates than items": lambda: OPS.search_rows(BLOCK, BLOCK, 3),
    "integers": lambda: OPS.search_rows(BLOCK.double(), BLOCK.long(), 1),
    "item columns": lambda: OPS.search_rows(BLOCK.double(), torch.zeros(9, 4).T, 1),
    "query columns": lambda: OPS.search_rows(torch.zeros(9, 2).T.double(), BLOCK, 1),
    "no item": lambda: OPS.rank_pairs(BLOCK, BLOCK, torch.tensor([[0, 1], [0, 2]]), 1, 0.0),
    "a negative place": lambda: OPS.rank_pairs(BLOCK, BLOCK, torch.tensor([[0, 1], [-1, 0]]), 1, 0.0),
    "places of others": lambda: OPS.rank_pairs(BLOCK, BLOCK, torch.tensor([[0, 1]]), 1, 0.0),
    "places in int32": lambda: OPS.rank_pairs(BLOCK, BLOCK, PLACES.int(), 1, 0.0),
    "more than there are": lambda: OPS.rank_pairs(BLOCK, BLOCK, PLACES, 3, 0.0),
    "pairs of two sizes": lambda: OPS.rank_pairs(BLOCK, torch.zeros(4, 8), PLACES, 1, 0.0),
    "pairs of halves": lambda: OPS.rank_pairs(BLOCK.half(), BLOCK.half(), PLACES, 1, 0.0),
    "pairs with wider items": lambda: OPS.rank_pairs(BLOCK, BLOCK.double(), PLACES, 1, 0.0),
    "pairs with columns": lambda: OPS.rank_pairs(torch.zeros(9, 2).T, BLOCK, PLACES, 1, 0.0),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_would_read_or_write_elsewhere_is_refused(call, native_kernel):
    with pytest.raises(RuntimeError, match="batchdot: "):
        call()


MEMORY = """
import resource, torch, batchdot
queries, items = torch.zeros(17, 100_000), torch.zeros(64, 100_000)
batchdot.top_k(queries[:, :8], items[:, :8], 3)
torch.set_num_threads(16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
batchdot.top_k(queries, items, 3)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts kibibytes as Linux does")
def test_memory_of_long_rows_does_not_grow_with_the_threads(native_kernel):
    """Items of 24 MiB, of which each thread copies 32 rows at least: half of them."""
    assert int(run_python(MEMORY)) < 60

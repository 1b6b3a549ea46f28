"""top_k beside a stable sort of all scores in float64, in one block and in many."""

import itertools

import numpy as np
import pytest
import torch

import batchdot
from batchdot import batch_dot, top_k
from batchdot.retrieval import native_selection, selection, spec
from batchdot.retrieval import scores as scoring
from batchdot.retrieval.block_search import BlockSearch

NAN, INF = float("nan"), float("inf")


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request, monkeypatch, each_kernel):
    if request.param == "many blocks":
        for module in (selection, native_selection):
            monkeypatch.setattr(module, "QUERY_BLOCK", 4)
            monkeypatch.setattr(module, "BLOCK_SCORES", 4 * 40)
        monkeypatch.setattr(selection, "GROUP", 4)
        monkeypatch.setattr(native_selection, "EXTRA_CANDIDATES", 1)
        monkeypatch.setattr(spec, "MARGIN", 1)  # or all groups are wanted, and none is prefiltered
        monkeypatch.setattr(spec, "CACHED_BYTES", 100)


def oracle(queries, items, k, normalize=False, dtype=np.float32):
    """All scores by numpy in float64, rounded, sorted by a stable sort in which NaN is the largest."""
    q, x = (np.asarray(t.double()) for t in (queries, items))
    if normalize:
        q, x = (a / np.sqrt(np.maximum((a * a).sum(1, keepdims=True), 1e-12)) for a in (q, x))
    with np.errstate(invalid="ignore", over="ignore"):
        scores = (q[:, None, :] * x[None]).sum(-1).astype(dtype)
    indices = np.argsort(np.where(np.isnan(scores), -INF, -scores), axis=1, kind="stable")
    nans_first = np.argsort(~np.take_along_axis(np.isnan(scores), indices, 1), axis=1, kind="stable")
    indices = np.take_along_axis(indices, nans_first, 1)[:, :k]
    return np.take_along_axis(scores, indices, 1), indices


def rows(kind, count, d, generator):
    if kind in ("normal", "duplicates", "ascending"):
        x = torch.randn(count, d, generator=generator)
        if kind == "ascending":
            return x[x.sum(1).argsort()]
        return (
            x if kind == "normal" else x[torch.randint(0, max(1, count // 5), (count,), generator=generator)]
        )
    x = torch.randint(-2, 3, (count, d), generator=generator).float()
    if kind == "ascending ties":
        return x[x.sum(1).argsort()]
    if kind == "zeros":
        x = x * 0.0  # of both signs
    if kind == "infinities":
        x[torch.rand(count, generator=generator) < 0.1] = INF
        x[torch.rand(count, generator=generator) < 0.1, :1] = -INF
    if kind == "nans":
        x[torch.rand(count, generator=generator) < 0.1] = NAN
    return x


KINDS = ("normal", "duplicates", "ascending", "ties", "ascending ties", "zeros", "infinities", "nans")
SIZES = [
    (1, 1, 1, 1),
    (1, 300, 3, 10),
    (9, 300, 4, 7),
    (6, 300, 1, 2),
    (6, 300, 1, 3),
    (5, 40, 2, 40),
    (8, 123, 1, 60),
    (4, 160, 3, 0),
    (17, 300, 9, 20),
    (30, 70, 37, 5),
]


@pytest.mark.parametrize("kind", KINDS)
def test_beside_a_stable_sort(kind, blocks):
    generator = torch.Generator().manual_seed(len(kind))
    for (q, n, d, k), _ in itertools.product(SIZES, range(8)):
        queries = rows("normal" if kind == "normal" else "ties", q, d, generator)
        items = rows(kind, n, d, generator)
        scores, indices = top_k(queries, items, k)
        expected_scores, expected = oracle(queries, items, k)
        np.testing.assert_array_equal(indices.numpy(), expected)
        np.testing.assert_array_equal(scores.numpy(), expected_scores)
        assert (scores.dtype, indices.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize("count", [1, 7, 300])
def test_cosines(count, blocks):
    generator = torch.Generator().manual_seed(count)
    queries, items = torch.randn(6, 5, generator=generator), torch.randn(count, 5, generator=generator)
    items[::3] = items[0] * 2.0 ** torch.arange(len(items[::3])).clamp_max(30)[:, None]  # equal cosines
    queries[1], k = 0, min(count, 20)
    scores, indices = top_k(queries, items, k, True)
    expected_scores, expected = oracle(queries, items, k, True)
    np.testing.assert_array_equal(indices.numpy(), expected)
    np.testing.assert_allclose(scores.numpy(), expected_scores, atol=1e-7)
    pairs = batch_dot(queries.repeat_interleave(k, 0), items[indices.flatten()], 1, normalize=True)
    assert torch.equal(scores, pairs.view(6, k))
    assert scores.abs().max() <= 1
    assert torch.equal(indices[1], torch.arange(k))


def test_a_large_scale_is_no_obstacle_to_cosines():
    queries, items = torch.tensor([[1e20, 0.0]]), torch.tensor([[0.0, 1.0], [1e-5, 0.0], [1e20, 1e20]])
    scores, indices = top_k(queries, items, 2, True)
    assert indices.tolist() == [[1, 2]]
    torch.testing.assert_close(scores, torch.tensor([[1.0, 0.5**0.5]]))
    assert top_k(queries, items, 1, True, epsilon=1e3).indices.tolist() == [[2]]


INTEGERS = [torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.int64]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_are_exact_and_do_not_wrap(dtype, blocks):
    top = min(torch.iinfo(dtype).max, 1 << 30)
    generator = torch.Generator().manual_seed(0)
    queries = torch.randint(top - 3, top, (5, 6), generator=generator).to(dtype)
    items = torch.randint(top - 3, top, (200, 6), generator=generator).to(dtype)
    scores, indices = top_k(queries, items, 30)
    every = (queries.long()[:, None, :] * items.long()[None]).sum(-1)
    expected = every.sort(dim=1, descending=True, stable=True)
    assert torch.equal(indices, expected.indices[:, :30])
    assert torch.equal(scores, expected.values[:, :30])
    assert scores.dtype == torch.int64
    assert top_k(queries, items, 3, True).scores.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_16_bits_are_ranked_in_float32(dtype, blocks):
    generator = torch.Generator().manual_seed(0)
    queries, items = (torch.randn(n, 16, generator=generator).to(dtype) for n in (6, 200))
    for normalize in (False, True):
        scores, indices = top_k(queries, items, 20, normalize)
        expected_scores, expected = oracle(queries, items, 20, normalize)
        np.testing.assert_array_equal(indices.numpy(), expected)
        assert scores.dtype == dtype
        torch.testing.assert_close(scores.float(), torch.from_numpy(expected_scores), rtol=0.01, atol=0.01)


def test_float64_and_mixed():
    queries, items = torch.randn(4, 8, dtype=torch.float64), torch.randn(50, 8, dtype=torch.float64)
    scores, indices = top_k(queries, items, 5)
    expected_scores, expected = oracle(queries, items, 5, dtype=np.float64)
    np.testing.assert_array_equal(indices.numpy(), expected)
    np.testing.assert_allclose(scores.numpy(), expected_scores, rtol=1e-13)
    assert top_k(queries, items.float(), 5).scores.dtype == torch.float64
    assert top_k(queries.half(), items.int(), 5).scores.dtype == torch.float16


def test_many_rows_of_one_value_do_not_depend_on_where_they_stand(monkeypatch):
    """A matrix product may round the same row differently at its edges: what is returned does not show it."""
    generator = torch.Generator().manual_seed(0)
    queries, row = torch.randn(37, 100, generator=generator), torch.randn(1, 100, generator=generator)
    items = row.expand(5003, 100).contiguous()
    for scores in (1 << 21, 37 * 1000, 37 * 129):
        monkeypatch.setattr(native_selection, "BLOCK_SCORES", scores)
        found = top_k(queries, items, 5)
        assert (found.scores == found.scores[:, :1]).all()
        for threads in (1, 2):
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            try:
                again = top_k(queries, items, 5)
            finally:
                torch.set_num_threads(before)
            assert torch.equal(again.scores, found.scores)


def test_one_query_numpy_lists_and_strides():
    items = torch.randn(20, 6)
    query = torch.randn(6)
    scores, indices = top_k(query, items, 3)
    assert (scores.shape, indices.shape) == ((3,), (3,))
    assert torch.equal(indices, top_k(query[None], items, 3).indices[0])
    assert torch.equal(top_k(query.numpy(), items.numpy(), 3).indices, indices)
    assert torch.equal(top_k(query.tolist(), items.tolist(), 3).indices, indices)
    assert torch.equal(top_k(query, items.T.contiguous().T, 3).indices, indices)
    assert torch.equal(top_k(query.expand(40, 6), items.T.contiguous().T, 3).indices[39], indices)
    assert torch.equal(top_k(query.expand(40, 6), items, 3).indices[39], indices)
    assert torch.equal(top_k(query, items.repeat_interleave(2, 0)[::2], np.int64(3)).indices, indices)


def test_nothing_to_find():
    for q, n, d, k in ((0, 5, 3, 2), (3, 5, 3, 0), (3, 0, 3, 0), (0, 0, 0, 0), (2, 4, 0, 3)):
        scores, indices = top_k(torch.ones(q, d), torch.ones(n, d), k)
        assert (scores.shape, indices.shape) == ((q, k), (q, k))
    assert indices.tolist() == [[0, 1, 2], [0, 1, 2]]


def test_the_gradient_is_that_of_the_pairs():
    for normalize in (False, True):
        queries, items = (torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in (3, 30))
        assert torch.autograd.gradcheck(lambda q, x, n=normalize: top_k(q, x, 4, n).scores, (queries, items))
        found = top_k(queries, items, 4, normalize)
        with torch.no_grad():
            assert torch.equal(top_k(queries, items, 4, normalize).scores, found.scores)
        assert not top_k(queries.detach(), items.detach(), 4).scores.requires_grad
    half = torch.randn(30, 4).half().requires_grad_()
    top_k(torch.ones(2, 4).half(), half, 3).scores.sum().backward()
    assert half.grad.dtype == torch.float16


def test_the_matrix_of_scores_is_never_held(native_kernel):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else [out]:
                if isinstance(tensor, torch.Tensor):
                    self.numel = max(self.numel, tensor.numel())
            return out

    with Largest() as largest:
        top_k(torch.randn(2000, 4), torch.randn(40_000, 4), 10)
    assert largest.numel <= native_selection.BLOCK_SCORES < 2000 * 40_000 / 10


BEYOND = {
    "partial sums": (torch.float32, [[1e25, 1e25]], [[1e20, -2e20]] * 9 + [[1e13, 0.0]], [9]),
    "float64": (torch.float64, [[1e175, 1e175]], [[1e170, -2e170]] * 9 + [[1e130, 0.0]], [9]),
    "one query of two": (
        torch.float32,
        [[1.0, 1.0], [1e25, 1e25]],
        [[1e20, -2e20]] * 9 + [[1e13, 1.0]],
        [9, 9],
    ),
    "back in range": (torch.float32, [[2e38, 2e38, 3e38, 3e38]], [[-2, -2, 2, 1]] * 9 + [[0, 0, 1, 0]], [9]),
    "the largest number": (torch.float32, [[3.4e38, 3.4e38]], [[1.0, -1.5]] * 9 + [[0.5, 0.4]], [9]),
    "small among large": (torch.float32, [[1e38, 1e-38]], [[-1e38, 1]] * 9 + [[0, 1], [0, 2]], [10]),
    "infinite scores": (torch.float32, [[1e30, 1.0]], [[-1e30, 0.0]] * 9 + [[1e30, 0.0], [1e30, 1.0]], [9]),
    "subnormal": (torch.float32, [[1e30, -1e30]], [[1e20, 2e20]] * 9 + [[2e-45, 0], [4e-45, 0]], [10]),
    "16 bits": (torch.bfloat16, [[1e25, 1e25]], [[1e20, -2e20]] * 9 + [[1e13, 0.0]], [9]),
}


@pytest.mark.parametrize(("dtype", "queries", "items", "best"), BEYOND.values(), ids=BEYOND)
def test_products_beyond_the_range_keep_the_best_item(dtype, queries, items, best, each_kernel):
    if each_kernel != "native" and dtype == torch.float64:
        items = [item for item in items if item[1] >= 0]  # ATen's own sum of float64 products is NaN
        best = [0]
    queries, items = torch.tensor(queries, dtype=dtype), torch.tensor(items, dtype=dtype)
    assert top_k(queries, items, 1).indices.flatten().tolist() == best
    again = top_k(queries.repeat(40, 1), items.repeat_interleave(700, 0), 1).indices.flatten().tolist()
    assert again == [index * 700 for index in best] * 40


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch.func.jvp of torch 2.13
@pytest.mark.parametrize("normalize", [False, True])
def test_every_derivative_is_that_of_the_pairs(normalize):
    generator = torch.Generator().manual_seed(3)
    queries, items = (torch.randn(n, 4, dtype=torch.float64, generator=generator) for n in (3, 30))
    chosen = top_k(queries, items, 4, normalize).indices

    def scores(q, x):
        return top_k(q, x, 4, normalize).scores

    def pairs(q, x):
        out = torch.einsum("qd,qkd->qk", q, x[chosen])
        return out / q.norm(dim=1)[:, None] / x[chosen].norm(dim=2) if normalize else out

    both = queries.clone().requires_grad_(), items.clone().requires_grad_()
    assert torch.autograd.gradcheck(scores, both, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(scores, both)
    tangents = torch.randn_like(queries), torch.randn_like(items)
    for transform in (
        lambda f: torch.func.jvp(f, (queries, items), tangents)[1],
        lambda f: torch.func.grad(lambda q: f(q, items).square().sum())(queries),
        lambda f: torch.func.jacfwd(f, 1)(queries, items),
        lambda f: torch.func.jacrev(f, 1)(queries, items),
        lambda f: torch.func.hessian(lambda q: f(q, items).square().sum())(queries),
    ):
        torch.testing.assert_close(transform(scores), transform(pairs))
    per_query = torch.vmap(torch.func.grad(lambda q: scores(q, items).sum()))(queries)
    torch.testing.assert_close(per_query, torch.func.grad(lambda q: scores(q, items).sum())(queries))


MAPPED = {
    "both": ((5, 3, 4), (5, 30, 4), (0, 0)),
    "queries": ((5, 3, 4), (30, 4), (0, None)),
    "items": ((3, 4), (5, 30, 4), (None, 0)),
    "other axes": ((3, 5, 4), (30, 4, 5), (1, 2)),
    "one query each": ((5, 4), (30, 4), (0, None)),
}


@pytest.mark.parametrize(("q_shape", "x_shape", "dims"), MAPPED.values(), ids=MAPPED)
@pytest.mark.parametrize("normalize", [False, True])
def test_vmap_is_a_loop(q_shape, x_shape, dims, normalize):
    generator = torch.Generator().manual_seed(1)
    q, x = torch.randn(q_shape, generator=generator), torch.randn(x_shape, generator=generator)
    found = torch.vmap(lambda q, x: tuple(top_k(q, x, 4, normalize)), dims)(q, x)
    for i in range(5):
        pair = [t if dim is None else t.select(dim, i) for t, dim in zip((q, x), dims, strict=True)]
        expected = top_k(*pair, 4, normalize)
        assert torch.equal(found[1][i], expected.indices)
        torch.testing.assert_close(found[0][i], expected.scores, rtol=1e-6, atol=1e-6)
    integers = torch.vmap(lambda q, x: tuple(top_k(q, x, 4)), dims)((q * 9).int(), (x * 9).int())
    assert integers[0].dtype == torch.int64


def test_vmap_twice():
    q, x = torch.randn(2, 3, 4), torch.randn(30, 4)
    found = torch.vmap(torch.vmap(lambda q: top_k(q, x, 4).indices))(q)
    assert torch.equal(found[1], top_k(q[1], x, 4).indices)


Q, X = torch.ones(2, 3), torch.ones(5, 3)
ERRORS = {
    "k too large": (
        (Q, X, 6),
        ValueError,
        r"k should be from 0 to the number of items, 5\. Received: queries",
    ),
    "k negative": ((Q, X, -1), ValueError, "k should be from 0 to the number of items, 5"),
    "k a float": ((Q, X, 1.0), TypeError, "k should be an integer"),
    "k a bool": ((Q, X, True), TypeError, "k should be an integer"),
    "k None": ((Q, X, None), TypeError, "k should be an integer"),
    "row sizes": ((Q, X[:, :2], 1), ValueError, "queries and items have different sizes of a row: 3 != 2"),
    "k of one query": ((Q[0], X, 6), ValueError, r"items, 5\. Received: queries\.shape=\(3,\), items"),
    "row size of one query": ((Q[0], X[:, :2], 1), ValueError, r"3 != 2\. Received: queries\.shape=\(3,\)"),
    "ranks": ((Q, X[0], 1), ValueError, r"queries of shape \(Q, d\) and items of shape \(N, d\)"),
    "three axes": ((Q[None], X, 1), ValueError, r"queries of shape \(Q, d\) and items of shape \(N, d\)"),
    "scalar": ((Q[0, 0], X, 1), ValueError, r"queries of shape \(Q, d\) and items of shape \(N, d\)"),
    "complex": ((Q + 0j, X, 1), TypeError, "queries are of torch.complex64, which has no order"),
    "bool": ((Q, X.bool(), 1), TypeError, "items is bool"),
    "uint64": ((Q.long(), X.to(torch.uint64), 1), TypeError, "uint64"),
    "sparse": ((Q.to_sparse(), X, 1), TypeError, "queries is sparse_coo"),
    "device": ((Q, X.to("meta"), 1), ValueError, "queries is on cpu, items on meta"),
    "text": (("abc", X, 1), TypeError, "to a tensor"),
}


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS.values(), ids=ERRORS)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        top_k(*call)


def test_a_wrong_epsilon():
    with pytest.raises(ValueError, match="epsilon is a floor"):
        top_k(Q, X, 1, True, epsilon=0.0)


def test_public():
    assert batchdot.top_k is top_k
    assert "top_k" in batchdot.__all__


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_zero_rows_saturate_once(dtype):
    q, x = torch.zeros(2, 3, dtype=dtype).requires_grad_(), torch.zeros(5, 3, dtype=dtype).requires_grad_()
    top_k(q, X[:5].to(dtype), 3, normalize=True).scores.sum().backward()
    top_k(Q.to(dtype), x, 3, normalize=True).scores.sum().backward()
    for gradient in (q.grad, x.grad):
        assert gradient.isfinite().all()
        assert gradient.any()


def test_meta_tensors_have_shapes_and_dtypes():
    found = top_k(Q.half().to("meta"), X.to("meta"), 2)
    assert (found.scores.shape, found.scores.dtype) == ((len(Q), 2), torch.float32)
    assert (found.indices.shape, found.indices.dtype) == ((len(Q), 2), torch.int64)
    assert found.scores.is_meta


def bfloat16_rows(kind, count, size, generator):
    x = torch.randn(count, size, generator=generator)
    if kind == "ties":
        x = x.round()
    elif kind == "duplicates":
        x = x[torch.randint(0, min(20, count), (count,), generator=generator)]
    elif kind == "close":
        x = 1 + x.abs() / 64
    elif kind == "subnormal":
        x = x * 2.0**-130
    elif kind == "small":
        x = x * 2.0**-64
    elif kind == "infinite":
        x[3], x[5, 0], x[7, 0] = INF, -INF, NAN
    return x.bfloat16()


@pytest.mark.parametrize("kind", ["normal", "ties", "duplicates", "close", "subnormal", "small", "infinite"])
def test_scores_to_the_digits_of_bfloat16_decide_or_are_computed_again(kind, monkeypatch, native_kernel):
    monkeypatch.setattr(scoring, "multiplies_bfloat16", lambda: True)
    generator = torch.Generator().manual_seed(0)
    for (q, n, d, k), swap in itertools.product(
        ((40, 3000, 16, 10), (20, 900, 5, 100), (17, 60, 3, 60)), (False, True)
    ):
        queries = bfloat16_rows("normal" if swap else kind, q, d, generator)
        items = bfloat16_rows(kind if swap else "normal", n, d, generator)
        expected_scores, expected = oracle(queries, items, k)
        found = top_k(queries, items, k)
        np.testing.assert_array_equal(found.indices.numpy(), expected)
        np.testing.assert_array_equal(
            found.scores.float(), torch.from_numpy(expected_scores).bfloat16().float().numpy()
        )


@pytest.mark.parametrize("multiplies", [False, True])
def test_threads_of_ours_do_not_call_torch(multiplies, monkeypatch, native_kernel):
    """Whose products of matrices take all threads, so that those of a file would take their square."""
    monkeypatch.setattr(scoring, "multiplies_bfloat16", lambda: multiplies)
    monkeypatch.setattr(scoring, "FUSED_FLOATS", True)
    queries = torch.zeros(17, 16, dtype=torch.bfloat16)
    search = BlockSearch(spec.SearchSpec.of(3, queries, queries, False, 1e-12), queries)
    assert (search.single_threaded(torch.bfloat16) is None) == multiplies


@pytest.mark.parametrize("queries", [1, 20])
def test_torch_compile_has_nothing_to_warn_of(queries, each_kernel):
    q, items = torch.randn(queries, 6), torch.randn(70, 6)
    compiled = torch.compile(lambda q, items: top_k(q, items, 3), backend="eager")
    assert torch.equal(compiled(q, items).indices, top_k(q, items, 3).indices)

"""Selection on a GPU, run on the CPU: the results of the reference, one synchronization, few launches."""

import pytest
import torch
from tests.support.launches import counted

from batchdot.retrieval import block_search, device_selection
from batchdot.retrieval.block_search import BlockSearch
from batchdot.retrieval.device_selection import DeviceSelection
from batchdot.retrieval.selection import Selection
from batchdot.retrieval.spec import SearchSpec


def search(queries, items, k, selection, normalize=False):
    found = BlockSearch(SearchSpec.of(k, queries, items, normalize, 1e-12), queries)
    found.selection = selection
    return found.find(items)


def ordinary(*shape):
    return torch.randn(shape)


def with_many_ties(*shape):
    return torch.randint(-2, 3, shape).float()


def with_equal_rows(*shape):
    rows = torch.randn(shape)
    rows[shape[0] // 2 :] = rows[: shape[0] - shape[0] // 2].clone()
    return rows


def with_nan_and_infinity(*shape):
    rows = torch.randn(shape)
    rows[1::7, 0], rows[3::11, 1] = torch.nan, torch.inf
    return rows


def out_of_range(*shape):
    return torch.randn(shape) * 1e30


def whole(*shape):
    return torch.randint(-9, 9, shape)


NUMBERS = [ordinary, with_many_ties, with_equal_rows, with_nan_and_infinity, out_of_range, whole]


@pytest.mark.parametrize("block", [40, 500, 1 << 26])
@pytest.mark.parametrize("k", [1, 5, 60, 300])
@pytest.mark.parametrize("numbers", NUMBERS)
def test_as_the_reference(numbers, k, block, monkeypatch):
    monkeypatch.setattr(device_selection, "BLOCK_SCORES", block)
    queries, items = numbers(7, 6), numbers(300, 6)
    for normalize in (False, True) if numbers is not whole else (False,):
        found, right = (search(queries, items, k, kind, normalize) for kind in (DeviceSelection, Selection))
        assert torch.equal(found[1], right[1])
        torch.testing.assert_close(found[0], right[0], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("numbers", "sure"),
    [(ordinary, True), (with_many_ties, False), (with_nan_and_infinity, False), (out_of_range, False)],
)
def test_it_is_sure_where_no_tie_and_no_infinity_matters(numbers, sure, monkeypatch):
    """Otherwise the reference runs as well."""
    runs = []
    monkeypatch.setattr(block_search, "Selection", lambda *args: runs.append(args) or Selection(*args))
    block_search.Selection.block_shape = Selection.block_shape
    search(numbers(7, 6), numbers(300, 6), 5, DeviceSelection)
    assert len(runs) == (0 if sure else 1)


@pytest.mark.parametrize("normalize", [False, True])
def test_one_synchronization_whatever_the_number_of_blocks(normalize, monkeypatch, native_kernel):
    queries, items = ordinary(32, 16), ordinary(5000, 16)
    counts = []
    for block in (1 << 26, 32 * 500):
        monkeypatch.setattr(device_selection, "BLOCK_SCORES", block)
        with counted() as found:
            search(queries, items, 10, DeviceSelection, normalize)
        counts.append(found)
    assert [len(found.synchronizations) for found in counts] == [1, 1]
    assert len(counts[1].launches) - len(counts[0].launches) <= 9 * 25


def test_blocks_are_as_large_as_memory_allows():
    """1,024 queries and 1,000,000 items are 16 products; 16 queries, one."""
    assert DeviceSelection.block_shape(1024, 18) == (1024, 65536)
    assert DeviceSelection.block_shape(16, 18) == (16, 1 << 22)
    rows, columns = DeviceSelection.block_shape(100_000, 100_008)
    assert rows * columns <= 1 << 26
    assert columns >= 10 * 100_008


def test_a_gpu_gets_it():
    spec = SearchSpec.of(1, torch.empty(1, 2), torch.empty(1, 2), False, 1e-12)
    assert BlockSearch(spec, torch.empty(1, 2, device="meta")).selection is DeviceSelection
    assert BlockSearch(spec, torch.empty(1, 2)).selection is not DeviceSelection

"""A short run of the fuzzers; a long one is by hand, see fuzz.py."""

import pytest
from tests.support.porting import fuzz


@pytest.mark.parametrize(
    ("target", "count"),
    [("hdf5", 1500), ("zip", 6000), ("json", 6000), ("archive", 800), ("record", 800), ("model", 500)],
)
def test_mutated_files_read_or_refused(target, count):
    counts, _, bad = fuzz.run(target, count, seed=7)
    assert [what for what, _ in bad] == []
    assert counts["read"] > count / 200
    assert counts["refused"] > count / 10

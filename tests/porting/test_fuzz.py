"""A short run of the fuzzers; a long one is by hand, see fuzz.py."""

import pytest
from tests.support.porting import fuzz


@pytest.mark.parametrize(
    ("target", "count"),
    [
        ("hdf5", 4000),
        ("zip", 15000),
        ("json", 15000),
        ("npz", 4000),
        ("archive", 2000),
        ("record", 2000),
        ("model", 1200),
        ("port", 200),
    ],
)
def test_mutated_files_read_or_refused(target, count):
    counts, _, bad = fuzz.run(target, count, seed=7)
    assert [what for what, _ in bad] == []
    assert counts["read"] > count / 200
    assert counts["refused"] > count / 10

"""A short run of the fuzzers: `make fuzz` takes a minute; a long one is by hand, see fuzz.py."""

import pytest
from tests.support.porting import fuzz


@pytest.mark.parametrize(
    ("target", "count"),
    [
        ("hdf5", 1500),
        ("zip", 5000),
        ("json", 5000),
        ("npz", 1500),
        ("archive", 1000),
        ("record", 1000),
        ("model", 400),
        ("port", 100),
    ],
)
def test_mutated_files_read_or_refused(target, count):
    counts, _, bad = fuzz.run(target, count, seed=7)
    assert [what for what, _ in bad] == []
    assert counts["read"] > count / 200
    assert counts["refused"] > count / 10

"""The HDF5 reader against h5py, which shares no code with it: every form of the format that it knows."""

import io

import h5py
import numpy as np
import pytest
from tests.support.porting.corpus import FIXTURES, fixture_files

from batchdot.porting import ModelFileError
from batchdot.porting.archive.hdf5 import Dataset, open_hdf5
from batchdot.porting.archive.source import BytesSource

HDF5 = [name for name, data in fixture_files() if data[:8] == b"\x89HDF\r\n\x1a\n"]


def compare(group, expected):
    """Compare attributes, members and numbers with what h5py reads."""
    assert set(group.attributes) == set(expected.attrs)
    for name, value in expected.attrs.items():
        same_attribute(group.attributes[name], value)
    assert set(group.members) == set(expected)
    for name, other in expected.items():
        member = group.members[name]
        if not isinstance(other, h5py.Dataset):
            compare(member, other)
            continue
        assert isinstance(member, Dataset)
        found, wanted = member.read(), other[()]
        assert found.shape == wanted.shape
        assert found.dtype == wanted.dtype.newbyteorder("=")
        assert np.array_equal(found, wanted)


def same_attribute(found, wanted):
    if isinstance(wanted, h5py.Empty):
        assert found is None
    elif isinstance(wanted, (str, bytes)):
        assert found == (wanted if isinstance(wanted, str) else wanted.decode())
    elif isinstance(wanted, np.ndarray) and wanted.dtype.kind in "OS":
        assert found == tuple(text if isinstance(text, str) else text.decode() for text in wanted.ravel())
    else:
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("name", [name for name in HDF5 if name.startswith("hdf5/") or "/18_merge" in name])
def test_file_same_as_h5py(name):
    data = dict(fixture_files())[name]
    with h5py.File(io.BytesIO(data), "r") as expected:
        compare(open_hdf5(BytesSource(data)), expected)


def test_all_committed_files_same_as_h5py():
    files = dict(fixture_files())
    assert len(HDF5) > 500
    for name in HDF5[::7]:
        with h5py.File(io.BytesIO(files[name]), "r") as expected:
            compare(open_hdf5(BytesSource(files[name])), expected)


def read_all(data):
    return [dataset.read() for dataset in open_hdf5(BytesSource(data)).datasets()]


@pytest.mark.parametrize("name", sorted(path.name for path in (FIXTURES / "hdf5").glob("*.h5")))
def test_truncated_anywhere_refused(name):
    data = (FIXTURES / "hdf5" / name).read_bytes()
    for end in range(0, len(data), max(len(data) // 40, 1)):
        with pytest.raises(ModelFileError):
            read_all(data[:end])


def test_bfloat16_read_as_float32(tmp_path):
    numbers = np.array([1.0, -2.5, 3.140625, 0.0, np.inf], "f4")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        stored = file.create_dataset("a", data=(numbers.view("u4") >> 16).astype("u2"))
        stored.attrs["dtype"] = "bfloat16"
    (array,) = open_hdf5(BytesSource((tmp_path / "b.h5").read_bytes())).datasets()
    assert array.dtype == "bfloat16"
    assert np.array_equal(array.read(), numbers)


def test_more_than_64_kib_of_names(tmp_path):
    from batchdot.porting.archive.weights import names

    wanted = [f"a_layer_whose_name_takes_quite_some_room_{number:05}" for number in range(4000)]
    with h5py.File(tmp_path / "n.h5", "w") as file:
        for number, part in enumerate(np.array_split(np.array([name.encode() for name in wanted]), 4)):
            file.attrs[f"layer_names{number}"] = part
    root = open_hdf5(BytesSource((tmp_path / "n.h5").read_bytes()))
    assert list(names(root, "layer_names")) == wanted

"""Atomic writes: with files without names and without, and what stale temporary files become."""

import fcntl
import os
import time

import pytest

from batchdot.io import atomic
from batchdot.io.atomic import write_file

STALE, YOUNG = ".batchdot-0123456789abcdef.tmp", ".batchdot-fedcba9876543210.tmp"


@pytest.fixture(params=["nameless", "hidden", "no /proc"])
def way(request, monkeypatch):
    """The ways to write: Linux's files without names; hidden ones, where there are none or no /proc."""
    if request.param == "nameless" and not hasattr(os, "O_TMPFILE"):
        pytest.skip("has no files without names")
    if request.param == "hidden":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if request.param == "no /proc":
        exists = os.path.exists
        monkeypatch.setattr(
            os.path, "exists", lambda path: not str(path).startswith("/proc") and exists(path)
        )
    return request.param


@pytest.mark.parametrize("older", [None, b"older"], ids=["new", "replaced"])
def test_a_file_is_written(way, older, tmp_path):
    path = tmp_path / "out"
    if older is not None:
        path.write_bytes(older)
    write_file(str(path), b"data" * 1000)
    assert path.read_bytes() == b"data" * 1000
    assert list(tmp_path.iterdir()) == [path]
    if older is None:
        mask = os.umask(0)
        os.umask(mask)
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_an_error_leaves_the_older_file(way, tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"older")
    with pytest.raises(ZeroDivisionError), atomic.AtomicFile(str(path), 4) as new:  # noqa: PT012
        new.write(b"data")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"older"


def test_a_link_keeps_leading_to_the_file(way, tmp_path):
    (tmp_path / "link").symlink_to("out")
    write_file(str(tmp_path / "link"), b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "out").read_bytes() == b"data"


def test_files_of_killed_runs_are_removed(way, tmp_path):
    long_ago = time.time() - 2 * atomic.STALE_SECONDS
    others = [
        tmp_path / name
        for name in (YOUNG, ".batchdot-x.tmp", "a.batchdot-0123456789abcdef.tmp", ".other.tmp")
    ]
    for path in (tmp_path / STALE, *others):
        path.write_bytes(b"")
        os.utime(path, None if path.name == YOUNG else (long_ago, long_ago))
    write_file(str(tmp_path / "out"), b"data")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "out"])


def test_files_of_runs_that_live_are_left(way, tmp_path):
    long_ago = time.time() - 2 * atomic.STALE_SECONDS
    with open(tmp_path / STALE, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.utime(tmp_path / STALE, (long_ago, long_ago))
        write_file(str(tmp_path / "out"), b"data")
        assert (tmp_path / STALE).exists()
    write_file(str(tmp_path / "out"), b"data")
    assert not (tmp_path / STALE).exists()


def test_a_temporary_name_that_is_a_link_is_left(way, tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / STALE).symlink_to("mine")
    os.utime(tmp_path / "mine", (0, 0))
    write_file(str(tmp_path / "out"), b"data")
    assert (tmp_path / STALE).is_symlink()
    assert (tmp_path / "mine").exists()

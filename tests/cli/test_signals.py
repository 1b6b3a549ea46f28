"""Interruptions: whatever stops a run, nothing half-made stays and an older output is as it was."""

import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

COMMAND = [sys.executable, "-m", "batchdot", "dot"]


@pytest.fixture(autouse=True, scope="module")
def heard():
    """Hear SIGINT, and let the commands hear it: a shell has what it starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def large(folder):
    """Zeros that take no room on the disk and many seconds of work; and an older output."""
    with open(folder / "large.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 26, 64)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + (64 << 26) * 4)
    (folder / "out.npy").write_bytes(b"older")
    return [*COMMAND, "large.npy", "large.npy", "--axes", "1", "-o", "out.npy"]


def wait_for_temporary(folder, process):
    while not any(path.stat().st_size > 1 << 16 for path in folder.glob(".batchdot-*.tmp")):
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGINT, "batchdot: interrupted\n"),
        (signal.SIGTERM, "batchdot: stopped by SIGTERM\n"),
        (signal.SIGHUP, "batchdot: stopped by SIGHUP\n"),
    ],
)
def test_a_signal_leaves_nothing_half_made(number, line, folder, large):
    names = sorted(folder.iterdir())
    with subprocess.Popen(large, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for_temporary(folder, process)
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (128 + number, "", line)
    assert sorted(folder.iterdir()) == names
    assert (folder / "out.npy").read_bytes() == b"older"


def test_a_bar_ends_before_the_line_of_a_signal(folder, large):
    with subprocess.Popen([*large, "--progress"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.read(1) != b""  # the bar is there
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert err.decode().endswith("\nbatchdot: interrupted\n")


@pytest.mark.parametrize("limit", [100, 1 << 16], ids=["header", "numbers"])
def test_a_full_disk_leaves_the_older_output(limit, folder):
    np.save("big.npy", np.zeros((100_000, 2), "f4"))
    (folder / "out.npy").write_bytes(b"older")
    names = sorted(folder.iterdir())
    process = subprocess.run(
        [*COMMAND, "big.npy", "big.npy", "--axes", "1", "-o", "out.npy"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "batchdot: cannot write out.npy: file too large\n"
    assert sorted(folder.iterdir()) == names
    assert (folder / "out.npy").read_bytes() == b"older"

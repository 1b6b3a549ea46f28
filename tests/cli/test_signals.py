"""Interruptions: whatever stops a run, nothing half-made stays and an older output is as it was."""

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tests.support.tiers import one_of

COMMAND = [sys.executable, "-m", "batchdot", "dot"]


@pytest.fixture(autouse=True, scope="module")
def heard():
    """Let the commands hear signals: what a shell starts in the background, or nohup, ignores some."""
    heard = {signal.SIGINT: signal.default_int_handler}
    if sys.platform != "win32":
        heard |= {signal.SIGHUP: signal.SIG_DFL, signal.SIGQUIT: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in heard.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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
    """Wait until the output has data: in a file without a name, which Linux lists, or in a hidden one."""

    def sizes():
        for path in [*Path(f"/proc/{process.pid}/fd").glob("*"), *folder.glob(".batchdot-*.tmp")]:
            with suppress(OSError):
                if str(folder) in os.path.realpath(path) and not path.samefile("large.npy"):
                    yield path.stat().st_size

    while not any(size > 1 << 16 for size in sizes()):
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


@pytest.mark.parametrize("limit", one_of(2, [1 << 16, 100]), ids=["numbers", "header"])
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


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="has no files without names")
@pytest.mark.parametrize("number", one_of(2, [signal.SIGKILL, signal.SIGQUIT]))
def test_a_killed_run_leaves_no_file(number, folder, large):
    names = sorted(folder.iterdir())
    with subprocess.Popen(large, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for_temporary(folder, process)
        process.send_signal(number)
        process.communicate()
    assert [path for path in sorted(folder.iterdir()) if not path.name.startswith("core")] == names
    assert (folder / "out.npy").read_bytes() == b"older"


def start(folder, module, *command):
    """Run a command, interrupted when Python first looks for a module."""
    (folder / "sitecustomize.py").write_text(f"""
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
""")
    paths = [str(folder), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )


# Before the first line of the package Python itself answers.
@pytest.mark.parametrize("module", ["batchdot._version", "batchdot.cli.commands"])
def test_an_interrupt_while_the_package_is_imported_says_nothing(module, folder):
    process = start(folder, module, "-m", "batchdot", "--help")
    assert (process.returncode, process.stdout, process.stderr) == (-signal.SIGINT, "", "")


def test_a_program_that_uses_the_package_gets_its_interrupts(folder):
    process = start(folder, "batchdot._version", "-c", "import batchdot")
    assert process.stderr.endswith("KeyboardInterrupt\n")


# The second of a start in which other modules are imported.
@pytest.mark.parametrize(
    "command",
    [
        "info",
        "explain 5,3 5,3",
        "demo",
        "explain 5,3 5,3 --svg a.svg",
        "inspect x.h5",
        "port x.h5 -o x.py",
        "verify x.h5 --data x.npz",
    ],
)
@pytest.mark.parametrize("module", ["torch", "numpy", "batchdot.cli.parser"])
def test_an_interrupt_while_modules_are_imported_is_one_line(command, module, folder):
    """A finder of modules sends the signal when the module is first looked for."""
    if command == "inspect x.h5" and module != "batchdot.cli.parser":
        pytest.skip("it imports neither")
    code = f"""
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from batchdot.cli.main import main
sys.exit(main({command.split()!r}))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (130, "", "batchdot: interrupted\n")

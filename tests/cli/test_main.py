"""The command line: what it prints, the line that refuses, the exit status, and signals."""

import json
import os
import shlex
import signal
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest
import safetensors.numpy
import torch
from tests.support.tiers import one_of
from tests.support.wrong_commands import WRONG

import batchdot
from batchdot import batch_dot
from batchdot.cli import main as cli
from batchdot.cli.commands import COMMANDS
from batchdot.cli.main import main
from batchdot.cli.parser import FILE_HELP, build_parser
from batchdot.cli.wrapping import wrap_text
from batchdot.io.array_file import FORMATS

COMMAND = [sys.executable, "-m", "batchdot"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: a.npy (5, 3, 4), b.npy (5, 4, 2), c.npy (6, 4), d.safetensors of p and q."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, shape in {"a": (5, 3, 4), "b": (5, 4, 2), "c": (6, 4)}.items():
        np.save(f"{name}.npy", random.standard_normal(shape).astype("f4"))
    safetensors.numpy.save_file({"p": np.load("a.npy"), "q": np.load("b.npy")}, "d.safetensors")
    return tmp_path


def run(capsys, *argv):
    status = main(argv)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("written", "axes"),
    [
        ([], None),
        (["--axes", "2,1"], (2, 1)),
        (["--axes", "-1,-2"], (-1, -2)),
        (["--axes=-1,-2"], (-1, -2)),
        (["--axes", "(2, 1)"], (2, 1)),
        (["--axes", "2,1", "--normalize", "--epsilon", "1e-3"], (2, 1)),
    ],
)
@pytest.mark.parametrize("x", ["a.npy", "d.safetensors:p"])
@pytest.mark.parametrize("y", ["./b.npy", "d.safetensors:q"])
def test_dot_writes_what_batch_dot_returns(written, axes, x, y, folder, capsys):
    assert run(capsys, "dot", x, y, *written, "-o", "out.npy") == (0, "out.npy: (5, 3, 2) float32\n", "")
    what = {"normalize": True, "epsilon": 1e-3} if "--normalize" in written else {}
    expected = batch_dot(np.load("a.npy"), np.load("b.npy"), axes, **what)
    np.testing.assert_array_equal(np.load("out.npy"), expected.numpy())


def test_dot_takes_every_option(folder, capsys):
    options = [
        "--axes",
        "-1",
        "--batch-dims",
        "2",
        "--dtype",
        "float64",
        "--no-progress",
        "-o",
        "o.safetensors:r",
    ]
    status = run(capsys, "dot", "a.npy", "a.npy", *options)
    assert status == (0, "o.safetensors:r: (5, 3) float64\n", "")
    x = np.load("a.npy").astype("f8")
    result = safetensors.numpy.load_file("o.safetensors")["r"]
    np.testing.assert_array_equal(result, batch_dot(x, x, -1, batch_dims=2).numpy())
    assert run(capsys, "dot", "a.npy", "b.npy", "--axes", "-1", "--axes", "2,1", "--output=o.npy")[0] == 0


def test_several_axes(folder, capsys):
    assert run(capsys, "dot", "a.npy", "a.npy", "--axes", "1+2", "-o", "out.npy")[0] == 0
    x = np.load("a.npy")
    np.testing.assert_array_equal(np.load("out.npy"), batch_dot(x, x, ((1, 2), (1, 2))).numpy())


@pytest.mark.parametrize(("command", "line"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(command, line, folder, capsys):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    status, out, err = run(capsys, *command.split(" "))
    assert (status, out) == (2, "")
    assert err.startswith("batchdot: " + line.format(folder=folder))
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("how", ["symlink", "hardlink", "relative", "folder link", "to itself"])
def test_an_output_that_is_an_input_by_another_name_is_refused(how, folder, capsys):
    names = {
        "symlink": "link.npy",
        "hardlink": "hard.npy",
        "relative": f"../{folder.name}/a.npy",
        "folder link": "same/a.npy",
        "to itself": "loop.npy",
    }
    (folder / "link.npy").symlink_to("a.npy")
    (folder / "hard.npy").hardlink_to("a.npy")
    (folder / "same").symlink_to(folder)
    (folder / "loop.npy").symlink_to("loop.npy")
    before = (folder / "a.npy").read_bytes()
    status, out, err = run(capsys, "dot", "a.npy", "b.npy", "-o", names[how])
    assert (status, out, err.count("\n")) == (2, "", 1)
    reason = (
        "too many levels of symbolic links"
        if how == "to itself"
        else "it is the same file as the input a.npy"
    )
    assert err == f"batchdot: cannot write {names[how]}: {reason}\n"
    assert (folder / "a.npy").read_bytes() == before


def drawn_and_said(explanation):
    return f"{explanation.to_text()}\n\n{wrap_text(str(explanation), 80)}\n"


def test_explain_draws_and_prints_the_explanation(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    argv = ["(32, 64, 10, 128)", "32,128,?,15", "--axes", "3,1"]
    expected = batchdot.explain((32, 64, 10, 128), (32, 128, None, 15), (3, 1))
    assert run(capsys, "explain", *argv) == (0, drawn_and_said(expected), "")
    argv = ["[None, 7, 3]", "(None, 7, 3)", "--axes", "-1", "--normalize", "--batch-dims", "2"]
    expected = batchdot.explain((None, 7, 3), (None, 7, 3), -1, normalize=True, batch_dims=2)
    assert run(capsys, "explain", *argv) == (0, drawn_and_said(expected), "")


@pytest.mark.parametrize(
    "terminal", one_of(3, [(50, "utf-8", False), (70, "latin-1", True), (20, "ascii", True)]), ids=str
)
def test_explain_draws_as_wide_and_with_what_the_terminal_has(terminal):
    columns, encoding, ascii_only = terminal
    argv = ["explain", "(32, 64, 10, 128)", "(32, 128, 32, 15)", "--axes", "3,1"]
    explanation = batchdot.explain((32, 64, 10, 128), (32, 128, 32, 15), (3, 1))
    process = subprocess.run(
        [*COMMAND, *argv],
        capture_output=True,
        check=True,
        env={**os.environ, "COLUMNS": str(columns), "PYTHONIOENCODING": encoding},
    )
    picture = wrap_text(explanation.to_text(columns, ascii_only), columns)
    out = process.stdout.decode(encoding).replace(os.linesep, "\n")
    assert out.startswith(f"{picture}\n\n")
    assert out.removeprefix(picture).split() == str(explanation).split()
    assert process.stderr == b""


def test_explain_writes_the_picture(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    expected = batchdot.explain((5, 3), (5, 3), 1)
    (folder / "out.svg").write_text("older")
    status = run(capsys, "explain", "5,3", "5,3", "--axes", "1", "--svg", "out.svg")
    assert status == (0, drawn_and_said(expected) + "\nout.svg: the picture\n", "")
    assert (folder / "out.svg").read_text(encoding="utf-8") == expected.to_svg()
    assert not list(folder.glob(".batchdot-*"))


@pytest.mark.parametrize(
    "command", ["", "dot", "top-k", "explain", "inspect", "port", "verify", "demo", "info"]
)
def test_help_says_what_and_shows_an_example(command, capsys):
    status, out, err = run(capsys, *command.split(), "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: batchdot {command}".rstrip())
    assert command == "" or command in out.partition("example")[2]


def test_without_a_command_it_helps_and_fails(capsys):
    status, out, err = run(capsys)
    assert (status, out) == (2, "")
    assert err.startswith("usage: batchdot")


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"batchdot {batchdot.__version__}\n", "")


def test_the_command_is_installed():
    (command,) = entry_points(group="console_scripts", name="batchdot")
    assert command.load() is main


def test_a_call_loads_nothing_of_the_command_line():
    heavy = [
        "tqdm",
        "argparse",
        "batchdot.cli.main",
        "batchdot.cli.parser",
        "batchdot.cli.signals",
        "batchdot.streaming.dot",
        "batchdot.streaming.top_k",
        "torch.distributed.tensor",
        "batchdot.io.array_file",
        "batchdot.cli.demo",
        "batchdot.io.npy",
    ]
    code = f"""
import sys
import torch
before = set(sys.modules)
import batchdot
batchdot.batch_dot(torch.ones(2, 3), torch.ones(2, 3), 1)
print((set(sys.modules) - before) & set({heavy}))
"""
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout == "set()\n"


def test_handlers_are_put_back(folder, capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run(capsys, "dot", "a.npy", "b.npy", "-o", "out.npy")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_second_signal_waits_until_the_first_is_done(monkeypatch, capsys):
    tidied = []

    def work(arguments):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            tidied.append(True)

    monkeypatch.setitem(cli.COMMANDS, "info", work)
    assert run(capsys, "info") == (128 + signal.SIGTERM, "", "batchdot: stopped by SIGTERM\n")
    assert tidied


def test_a_reader_that_goes_away_is_no_error(folder):
    process = subprocess.Popen([*COMMAND, "info"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_a_bug_is_not_hidden(monkeypatch):
    def fail(arguments):
        raise RuntimeError("a bug")

    monkeypatch.setitem(cli.COMMANDS, "info", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["info"])


def test_a_message_stays_on_one_line(folder, capsys):
    status, _, err = run(capsys, "dot", "a\nb.npy", "b.npy", "-o", "o.npy")
    assert (status, err) == (2, "batchdot: cannot read a\\nb.npy: no such file or directory\n")
    status, _, err = run(capsys, "dot", "a.npy", "b.npy", "--axes", "1\n2", "-o", "o.npy")
    assert status == 2
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")
def test_a_name_of_any_bytes(folder):
    name = os.fsdecode(b"\xff.npy")
    os.rename("a.npy", name)
    process = subprocess.run(
        [*COMMAND, "dot", name, name, "--axes", "2", "-o", os.fsdecode(b"\xfe.npy")],
        capture_output=True,
        check=True,
    )
    assert process.stdout == b"\\udcfe.npy: (5, 3, 3) float32\n"
    assert torch.from_numpy(np.load(os.fsdecode(b"\xfe.npy"))).shape == (5, 3, 3)


CALLS = {
    "--help": 0,
    "--version": 0,
    "": 2,
    "dot a.npy b.npy -o o.npy": 0,
    "dot a.npy b.npy -o o.txt": 2,
    "top-k c.npy c.npy -k 2 --indices i.npy": 0,
    "explain 5,3 5,3 --axes 1": 0,
    "explain 5,3": 2,
    "inspect m.json": 0,
    "inspect no.json": 2,
    "port relu.json -o m.py": 0,
    "port m.json -o m.py": 2,
    "verify relu.json --data io.npz": 0,
    "verify relu.json --data other.npz": 1,
    "verify relu.json --data c.npy": 2,
    "info": 0,
}
MODEL = {
    "class_name": "Sequential",
    "config": {
        "layers": [
            {"class_name": "Dense", "config": {"name": "d", "units": 2, "batch_input_shape": [None, 3]}}
        ]
    },
    "keras_version": "2.15.0",
}
RELU = {
    "class_name": "Sequential",
    "config": {"layers": [{"class_name": "ReLU", "config": {"name": "r", "batch_input_shape": [None, 4]}}]},
    "keras_version": "2.15.0",
}


STREAMS = (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "| head -c0", "2>&1 | head -c0")
WRITES = "dot a.npy b.npy -o o.npy"
EVERY = ("--help", "", WRITES, "inspect m.json", "inspect no.json")
"""Calls that are made with all of these: one of each way through `main`, which all commands share."""


def calls():
    """Yield commands, their statuses and streams, at which commands that are not in `EVERY` take turns.

    Those that import torch are slow, but for a file that is opened where a stream was closed, and takes its
    number.
    """
    for number, (command, status) in enumerate(CALLS.items()):
        for streams in STREAMS if command in EVERY else [STREAMS[number % len(STREAMS)]]:
            quick = streams == ">&- 2>&-" if command == WRITES else command in EVERY
            marks = [] if quick else [pytest.mark.slow]
            yield pytest.param(command, status, streams, marks=marks, id=f"{command or 'none'} {streams}")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such shell")
@pytest.mark.parametrize(("command", "status", "streams"), list(calls()))
def test_closed_streams_are_no_traceback(command, status, streams, folder):
    (folder / "m.json").write_text(json.dumps(MODEL))
    (folder / "relu.json").write_text(json.dumps(RELU))
    for name, offset in (("io", 0), ("other", 1)):
        np.savez(f"{name}.npz", x0=np.load("c.npy"), y0=np.load("c.npy").clip(min=0) + offset)
    line = f"{shlex.join(COMMAND)} {command} {streams}; echo status ${{PIPESTATUS[0]}} >&9"
    with open("report", "w") as report:
        process = subprocess.run(
            ["bash", "-c", f"exec 9>&{report.fileno()}; {line}"],
            capture_output=True,
            text=True,
            check=False,
            pass_fds=[report.fileno()],
        )
    assert (folder / "report").read_text() == f"status {status}\n"
    assert "Traceback" not in process.stdout + process.stderr
    assert "Exception" not in process.stdout + process.stderr
    if status == 0:
        assert process.stderr == ""
    if command.startswith("dot") and status == 0:
        np.testing.assert_array_equal(np.load("o.npy"), batch_dot(np.load("a.npy"), np.load("b.npy")).numpy())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no full device")
@pytest.mark.parametrize(
    "command", one_of(2, ["--help", "explain 5,3 5,3", "dot a.npy b.npy -o o.npy", "info"])
)
def test_a_full_standard_output_is_named(command, folder):
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [*COMMAND, *command.split()], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    line = "batchdot: cannot write to standard output: no space left on device\n"
    assert (process.returncode, process.stderr) == (2, line)


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555])
@pytest.mark.parametrize("command", ["dot a.npy b.npy -o out.npy", "explain 5,3 5,3 --svg out.svg"])
def test_an_output_that_is_read_only_is_not_replaced(mode, command, folder, capsys):
    out = folder / command.split()[-1]
    out.write_text("older")
    out.chmod(mode)
    status, _, err = run(capsys, *command.split())
    assert (status, err) == (
        2,
        f"batchdot: cannot write {out.name}: it is read-only (mode {mode:04o}); remove it first\n",
    )
    assert out.read_text() == "older"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_an_output_keeps_its_mode(mode, folder, capsys):
    (folder / "out.npy").write_text("older")
    (folder / "out.npy").chmod(mode)
    assert run(capsys, "dot", "a.npy", "b.npy", "-o", "out.npy")[0] == 0
    assert (folder / "out.npy").stat().st_mode & 0o777 == mode


def test_suffixes_may_be_in_capitals(folder, capsys):
    os.rename("a.npy", "A.NPY")
    os.rename("d.safetensors", "D.SafeTensors")
    line = "O.Safetensors:r: (5, 3, 2) float32\n"
    assert run(capsys, "dot", "A.NPY", "D.SafeTensors:q", "-o", "O.Safetensors:r") == (0, line, "")
    assert list(safetensors.numpy.load_file("O.Safetensors")) == ["r"]
    assert run(capsys, "explain", "5,3", "5,3", "--svg", "P.SVG")[0] == 0


def test_explain_wraps_its_text_at_the_width_of_the_terminal(capsys, monkeypatch):
    argv = ["explain", "(None, 100, 20)", "(None, 30, 20)", "--axes", "2", "--normalize"]
    explanation = batchdot.explain((None, 100, 20), (None, 30, 20), 2, normalize=True)
    for columns in (40, 60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        _, out, _ = run(capsys, *argv)
        text = out.partition("\ncosine of")[2]
        assert max(map(len, out.splitlines())) <= columns
        assert " ".join(f"cosine of{text}".split()) == " ".join(str(explanation).split())
    monkeypatch.delenv("COLUMNS")
    _, out, _ = run(capsys, *argv)  # not a terminal: lines as they are
    assert out.endswith(f"\n\n{explanation}\n")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_is_as_wide_as_the_terminal(command, capsys, monkeypatch):
    def shown(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit):
            build_parser().parse_args([*command, "--help"])
        return capsys.readouterr().out

    commands = examples(shown(500))
    assert commands != []
    for columns in (*range(40, 100), 200):  # some have room for all of a line but its backslash
        narrow = shown(columns)
        assert max(map(len, narrow.splitlines())) <= columns - 2  # argparse leaves two free
        assert examples(narrow) == commands


def examples(text):
    """Return the commands in a help text, as a shell reads them."""
    lines = text.replace("\\\n", "").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("  batchdot ")]


def test_help_names_every_file_format():
    for suffix, file_format in FORMATS.items():
        assert f"FILE{suffix}" in FILE_HELP
        assert (f"FILE{suffix}:TENSOR" in FILE_HELP) is file_format.names_tensors


@pytest.mark.parametrize(
    ("text", "words"),
    [("def f(:", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("raise SystemExit(3)", "SystemExit: 3")],
)
def test_port_with_broken_custom_module_says_so(tmp_path, monkeypatch, capsys, text, words):
    module = f"broken{abs(hash(text))}"
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["port", "m.h5", "-o", "m.py", "--custom", f"Scale={module}:f"]) == 2
    assert words in capsys.readouterr().err

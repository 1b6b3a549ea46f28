"""`batchdot port`: the table and notes that it prints, the files that it writes, and what it refuses."""

import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from tests.support.porting.saved import dense, entry, functional, given, kernel, write

from batchdot import porting
from batchdot.cli.main import main

WEIGHTS = {"hidden": kernel("hidden", 3, 4), "last": kernel("last", 4, 2, seed=1)}


def model(**config):
    layers = [
        given("x", 3),
        dense("hidden", ["x"], 4, "tanh", **config),
        entry("Dropout", "drop", ["hidden"], rate=0.5),
        dense("last", ["drop"], 2),
    ]
    return functional(layers, ["x"], ["last"])


PENALTY = {"class_name": "L2", "config": {"l2": 0.01}}


CUSTOM = ("--custom", "Scale=my_translations:scale", "--custom", "shift=my_translations:shift")
TRANSLATIONS = """from torch import nn


def scale(config, weights, shapes):
    return lambda x: x * config["factor"]


def shift(config, weights, shapes):
    assert (config["offset"], shapes) == (1.0, [None])
    assert weights is None or list(weights) == ["offset"]
    return nn.Identity()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: m.h5 with weights, m.json without, custom.h5 with two layers of other people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write(tmp_path / "m.h5", model(kernel_regularizer=PENALTY), WEIGHTS)
    write(tmp_path / "m.json", model())
    layers = [
        given("x", 3),
        entry("Scale", "scale", ["x"], factor=2.0),
        entry("Shift", "shift", ["scale"], offset=1.0, axis=-1),
    ]
    shift = {"shift": [("shift/offset:0", np.ones(3, "f4"))], "scale": []}
    (tmp_path / "my_translations.py").write_text(TRANSLATIONS)
    write(tmp_path / "custom.h5", functional(layers, ["x"], ["shift"]), shift)
    return tmp_path


def run(capsys, *argv):
    status = main(argv)
    out, err = capsys.readouterr()
    return status, out, err


def test_port_prints_table_notes_and_files(folder, capsys):
    status, out, err = run(capsys, "port", "m.h5", "-o", "tower.py")
    assert (status, err) == (0, "")
    ported = porting.port("m.h5")
    assert out.startswith(f"{ported}\n")
    rows = [line.split() for line in out.splitlines()]
    assert any(row[:2] == ["hidden", "Dense"] and row[-2:] == ["16", "nn.Linear"] for row in rows)
    assert len(ported.notes) == 1
    assert " ".join(out.split()).count(f"Note: {ported.notes[0]}") == 1
    assert max(map(len, out.splitlines())) <= 80
    assert out.endswith("\ntower.py: class Net\ntower.safetensors: its weights\n")
    assert (folder / "tower.py").read_text() == ported.source


def test_port_writes_file_that_runs_alone(folder, capsys):
    assert run(capsys, "port", "m.json", "--weights", "m.h5", "-o", "tower.py")[0] == 0
    code = """
import sys, torch, tower
from safetensors.torch import load_file
net = tower.Net()
net.load_state_dict(load_file("tower.safetensors"))
print(*net.eval()(torch.ones(1, 3)).tolist()[0], "batchdot" in sys.modules)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *found, imports = process.stdout.split()
    expected = porting.load("m.h5")(torch.ones(1, 3)).tolist()[0]
    assert [float(number) for number in found] == pytest.approx(expected)
    assert imports == "False"


def test_port_replaces_both_files(folder, capsys):
    for name in ("tower.py", "tower.safetensors"):
        (folder / name).write_text("older")
    assert run(capsys, "port", "m.h5", "-o", "tower.py")[0] == 0
    assert set(safetensors.torch.load_file("tower.safetensors")) == set(porting.port("m.h5").state_dict)
    compile((folder / "tower.py").read_text(), "tower.py", "exec")


@pytest.mark.parametrize("name", ["tower.py", "tower.safetensors"])
def test_port_where_one_file_is_read_only_replaces_neither(name, folder, capsys):
    for each in ("tower.py", "tower.safetensors"):
        (folder / each).write_text("older")
    (folder / name).chmod(0o444)
    status, out, err = run(capsys, "port", "m.h5", "-o", "tower.py")
    assert (status, out) == (2, "")
    assert err == f"batchdot: cannot write {name}: it is read-only (mode 0444); remove it first\n"
    assert [(folder / each).read_text() for each in ("tower.py", "tower.safetensors")] == ["older"] * 2


REFUSED = {
    "no weights": (
        "m.json -o o.py",
        "'net' cannot be ported: the file has no weights; give the file that has them",
    ),
    "custom layers": ("custom.h5 -o o.py", "'scale' cannot be ported: "),
    "no .py": ("m.h5 -o o.txt", "a ported model is saved as a file NAME.py, not as 'o.txt'"),
    "no folder": ("m.h5 -o no/o.py", "cannot write no/o.{suffix}: there is no folder {folder}/no"),
    "a folder": ("m.h5 -o d.py", "cannot write d.py: "),
    "weights of another model": ("m.json --weights custom.h5 -o o.py", "custom.h5: "),
    "weights that are not there": (
        "m.json --weights no.h5 -o o.py",
        "cannot open no.h5: no such file or directory",
    ),
}


@pytest.mark.parametrize(("arguments", "line"), REFUSED.values(), ids=REFUSED)
def test_port_of_what_cannot_be_done_is_one_line(arguments, line, folder, capsys):
    (folder / "d.py").mkdir()
    before = sorted(folder.rglob("*"))
    status, out, err = run(capsys, "port", *arguments.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("batchdot: " + line.format(folder=folder, suffix="safetensors"))
    assert sorted(folder.rglob("*")) == before


def test_port_names_all_that_is_missing(folder, capsys):
    _, _, err = run(capsys, "port", "custom.h5", "-o", "o.py")
    assert err.count("cannot be ported: ") == 2
    scale, shift = err.split("; 'shift' cannot be ported: ")
    assert "or --custom Scale=MODULE:FUNCTION; its config: factor; it has no weights" in scale
    assert "or --custom Shift=MODULE:FUNCTION; its config: offset, axis; its weights: " in shift
    assert "(3,)" in shift


def test_port_with_custom_functions_imports_them(folder, capsys):
    process = subprocess.run(
        [sys.executable, "-m", "batchdot", "port", "custom.h5", "-o", "o.py", *CUSTOM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert "from my_translations import scale" in (folder / "o.py").read_text()
    code = "import torch, o; print(o.Net()(torch.ones(1, 3)).tolist())"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "[[2.0, 2.0, 2.0]]\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_port_into_folder_that_cannot_be_written(folder, capsys):
    (folder / "closed").mkdir(mode=0o555)
    status, out, err = run(capsys, "port", "m.h5", "-o", "closed/o.py")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("batchdot: cannot write closed/o.")


def test_verify_takes_weights_custom_and_channels(folder, capsys):
    x = np.ones((2, 3), "f4")
    with torch.no_grad():
        y = porting.load("m.h5")(torch.from_numpy(x)).numpy()
    np.savez("io.npz", x0=x, y0=y)
    assert run(capsys, "verify", "m.json", "--weights", "m.h5", "--data", "io.npz")[0] == 0
    assert run(capsys, "verify", "m.h5", "--channels", "first", "--data", "io.npz")[0] == 0
    np.savez("io.npz", x0=x, y0=x * 2)
    assert run(capsys, "verify", "custom.h5", "--data", "io.npz", *CUSTOM)[0] == 0
    status, out, err = run(capsys, "verify", "custom.h5", "--data", "io.npz")
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_port_of_hostile_name_prints_it_escaped(folder, capsys):
    """What a hostile name holds reaches the terminal only escaped."""
    config = model()
    config["config"]["layers"][2]["config"]["name"] = config["config"]["layers"][2]["name"] = "d\x1b[31m"
    config["config"]["layers"][3]["inbound_nodes"] = [[["d\x1b[31m", 0, 0, {}]]]
    write(folder / "evil.h5", config, WEIGHTS)
    status, out, err = run(capsys, "port", "evil.h5", "-o", "evil.py")
    assert (status, err) == (0, "")
    assert "\x1b" not in out + (folder / "evil.py").read_text()

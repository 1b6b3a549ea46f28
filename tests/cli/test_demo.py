"""The demo: what it promises, that it says so when a promise fails, and where its data come from."""

import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from batchdot.cli import demo
from batchdot.cli.main import main

EXAMPLES = Path(str(files("batchdot.examples")))


def test_the_demo_keeps_its_promises(capsys, monkeypatch):
    monkeypatch.setattr(demo, "ROUNDS", 1)
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "352 of 360 recognized: 97.78% (promised: above 97%)" in out
    assert "einsum           bik,bjk->bij" in out
    for engine in demo.ENGINES:
        for what in ("dot", "cosine"):
            assert any(line.split()[:3] == [*engine.split(), what] for line in out.splitlines())
    assert "torch.nn.functional.cosine_similarity" in out
    assert out.endswith("\nAll as promised.\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [("ACCURACY", 0.98), ("COSINE_TOLERANCE", 1e-9), ("KERAS_OTHERS", slice(1, None, 14))],
)
def test_a_broken_promise_fails(name, value, capsys, monkeypatch):
    monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(demo, "_report_time", lambda x, y, what: None)
    assert main(["demo"]) == 1
    assert capsys.readouterr().out.endswith("\nFAILED: not as promised, see above.\n")


@pytest.mark.parametrize("engine", range(len(demo.ENGINES)))
@pytest.mark.parametrize("result", range(2), ids=["dot", "cosine"])
def test_a_single_disagreement_with_keras_fails(engine, result, capsys, monkeypatch):
    load = demo._load

    def load_changed(name):
        array = load(name)
        if name == "keras_outputs.npy":
            array[engine, result, 3, 2] += 0.5
        return array

    monkeypatch.setattr(demo, "_load", load_changed)
    monkeypatch.setattr(demo, "_report_time", lambda x, y, what: None)
    assert main(["demo"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "largest difference 0.5" in line]
    assert len(lines) == 1
    assert lines[0].split()[:3] == [*demo.ENGINES[engine].split(), ("dot", "cosine")[result]]


def test_the_digits_are_those_of_scikit_learn():
    digits = load_digits()
    np.testing.assert_array_equal(np.load(EXAMPLES / "digits.npy"), digits.images)
    np.testing.assert_array_equal(np.load(EXAMPLES / "digit_labels.npy"), digits.target)


def test_no_digit_is_compared_with_itself():
    digits = demo.load_digits()
    assert len(digits.held_out) + len(digits.others) == 1797
    assert len(digits.held_out) == len(digits.held_out_labels)
    assert len(digits.others) == len(digits.other_labels)


@pytest.mark.parametrize(
    "script", ["record_digits.py", pytest.param("record_keras.py", marks=pytest.mark.keras)]
)
def test_a_script_records_what_is_there(script, tmp_path):
    shutil.copy(EXAMPLES / script, tmp_path)
    subprocess.run([sys.executable, tmp_path / script], check=True, capture_output=True)
    recorded = sorted(tmp_path.glob("*.npy"))
    assert recorded
    for path in recorded:
        np.testing.assert_allclose(np.load(path), np.load(EXAMPLES / path.name), rtol=0, atol=1e-6)


def test_attribution_is_beside_the_digits():
    text = (EXAMPLES / "DIGITS.md").read_text(encoding="utf-8")
    for name in (
        "Alpaydin",
        "Kaynak",
        "10.24432/C50P49",
        "Creative Commons Attribution 4.0",
        "What was changed",
    ):
        assert name in text

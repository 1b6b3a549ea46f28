"""Signatures of ported models: however long parameters and annotations are, the text is as ruff leaves it."""

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from batchdot.porting.program import ModelClass, Program, Value
from batchdot.porting.program.values import Statement
from batchdot.porting.source import write

RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent))

PARAMETERS = {
    "one": ["x"],
    "several": [f"input_{number}" for number in range(5)],
    "too many for a line": [f"a_long_name_{number}" for number in range(9)],
    "the longest name": ["x" * 40],
}
RESULTS = {
    "one": "x",
    "a list of one": ("x",),
    "three": ("x",) * 3,
    "nine": ("x",) * 9,
    "a list at the end": (*("x",) * 2, ("x",) * 3),
    "a long list at the end": (*("x",) * 9, ("x",) * 4),
    "lists": (("x", "x"),) * 7,
    "lists in lists": ((("x", "x"),) * 2,) * 3,
    "a dict": {"a": "x"},
}


def source(parameters, results, keys):
    values = tuple(Value(name, (None, 3)) for name in parameters)
    results = results if "x" in parameters else _renamed(results, str(values[0]))
    model = ModelClass("Model", "", values, (), (), results, keys=keys)
    return write(Program("Ported.", model))


def _renamed(results, name):
    if isinstance(results, str):
        return name
    if isinstance(results, dict):
        return {key: _renamed(part, name) for key, part in results.items()}
    return tuple(_renamed(part, name) for part in results)


def assert_as_ruff_leaves_them(folder, texts):
    for number, text in enumerate(texts):
        compile(text, "source", "exec")
        (folder / f"case{number}.py").write_text(text)
    command = [RUFF, "format", "--isolated", "--diff", folder]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, ""), process.stderr


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
def test_signature_of_any_length_is_as_ruff_leaves_it(tmp_path):
    cases = itertools.product(PARAMETERS.values(), RESULTS.values(), (False, True))
    assert_as_ruff_leaves_them(
        tmp_path,
        [
            source(parameters, results, tuple(map(str, range(len(parameters)))) if takes_dict else ())
            for parameters, results, takes_dict in cases
        ],
    )


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
@pytest.mark.parametrize("shape", [None, (None, 3)], ids=str)
def test_unpacking_of_any_length_is_as_ruff_leaves_it(tmp_path, shape):
    texts = []
    for count, width in itertools.product((1, 2, 3, 4, 5, 9), (3, 14, 16, 17, 18, 19, 20, 25, 40)):
        names = tuple(f"{'y' * width}_{number}" for number in range(count))
        for targets in (names, (names[0], names)):
            statement = Statement(targets, "x.split(1, dim=1)", shape)
            values = (Value("x", (None, 3)),)
            texts.append(write(Program("Ported.", ModelClass("M", "", values, (), (statement,), names))))
    assert_as_ruff_leaves_them(tmp_path, texts)

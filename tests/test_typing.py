"""What a type checker knows of a user's file: mypy is run on one that uses the public names."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import batchdot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed"),
]

HEADER = """\
import numpy as np
import torch

import batchdot
from batchdot import AxisError, Dot, Input, Model, backend, batch_dot, dot, explain, initializers, top_k

t = torch.ones(2, 3)
s = Input((3,))
a = np.ones((2, 3))
"""

TENSOR, SYMBOLIC = "torch._tensor.Tensor", "batchdot.symbolic.tensor.KerasTensor"
ARRAY = "numpy.ndarray[Any, numpy.dtype[Any]]"

# expression: the type that mypy reveals, a regular expression where it is between slashes
TYPES = {
    "s": SYMBOLIC,
    "batch_dot(t, t, 1)": TENSOR,
    "batch_dot(t, t, axes=(1, 1), normalize=True)": TENSOR,
    "batch_dot(t, a)": TENSOR,
    "batch_dot([[1.0]], [[2]], axes=1)": TENSOR,
    "batch_dot(s, s, axes=1)": SYMBOLIC,
    "batch_dot(s, t, axes=1)": SYMBOLIC,
    "batch_dot(t, s, axes=1)": SYMBOLIC,
    "dot(t, t)": TENSOR,
    "dot(a, [1.0])": TENSOR,
    "dot(s, t)": SYMBOLIC,
    "Dot(1)([t, t])": TENSOR,
    "Dot(axes=1, normalize=True)([s, s])": SYMBOLIC,
    "top_k(t, t, 2)": r"/.*TopK.*|tuple\[torch\._tensor\.Tensor, torch\._tensor\.Tensor.*/",
    "top_k(t, t, 2)[0]": TENSOR,
    "explain((2, 3), (2, 3), axes=1)": "batchdot.explanation.explain.Explanation",
    "explain((None, 3), (2, 3)).output_shape": "tuple[int | None, ...]",
    "Model(s, Dot(1)([s, s]))": r"/batchdot\.models\.\w+\.\w+/",
    "batchdot.batch_dot(t, t)": TENSOR,
    "batchdot.layers.Dot(1)([t, t])": TENSOR,
    "backend.batch_dot(t, t)": TENSOR,
    "backend.expand_dims(t, axis=1)": TENSOR,
    "backend.expand_dims(s)": SYMBOLIC,
    "backend.cast([1, 2], 'float32')": TENSOR,
    "backend.l2_normalize(s, 1)": SYMBOLIC,
    "backend.permute_dimensions(a, (1, 0))": TENSOR,
    "backend.zeros((2, 3))": TENSOR,
    "backend.int_shape(s)": "tuple[int | None, ...]",
    "backend.get_value(t)": ARRAY,
    "backend.get_value(3)": "int",
    "backend.dtype(a)": "str",
    "initializers.Zeros()((2,))": TENSOR,
}

# A statement that is wrong, and the code of mypy's error, a regular expression.
WRONG = {
    "batch_dot()": "call-(arg|overload)",
    "batch_dot(t, t, axis=1)": "call-(arg|overload)",
    "backend.expand_dims(t, axis='1')": "call-overload",
    "backend.zeros(3.5)": "arg-type",
    "initializers.Zeros()((2,), dtype=3)": "arg-type",
    "batchdot.no_such_name": "attr-defined",
}


def run_mypy(folder, source):
    """Type-check a file as a user's; return mypy's lines by the number of the line that they are about."""
    path = folder / "user.py"
    path.write_text(source, encoding="utf-8")
    (folder / "mypy.ini").write_text("[mypy]\nstrict = True\n", encoding="utf-8")
    package = Path(batchdot.__file__).parent.parent
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-error-summary", path.name]
    process = subprocess.run(
        command,
        cwd=folder,
        env={"MYPYPATH": str(package), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert process.returncode in (0, 1), process.stdout + process.stderr
    lines = {}
    for line in process.stdout.splitlines():
        match = re.match(r"user\.py:(\d+): (?:note|error): (.*)", line)
        if match is not None:
            lines.setdefault(int(match[1]), []).append(match[2])
    return lines


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """What mypy says of each expression and each wrong statement, in one run."""
    statements = [*(f"reveal_type({expression})" for expression in TYPES), *WRONG]
    lines = run_mypy(tmp_path_factory.mktemp("user"), HEADER + "\n".join(statements) + "\n")
    first = HEADER.count("\n") + 1
    said = [lines.get(first + number, []) for number in range(len(statements))]
    assert not [line for number, line in lines.items() if number < first]
    return dict(zip([*TYPES, *WRONG], said, strict=True))


@pytest.mark.parametrize(("expression", "type_"), TYPES.items(), ids=TYPES)
def test_a_type_is_known(expression, type_, checked):
    (line,) = checked[expression]
    revealed = re.fullmatch(r'Revealed type is "(.*)"', line)[1].replace("builtins.", "")
    if type_.startswith("/"):
        assert re.fullmatch(type_.strip("/"), revealed)
    else:
        assert revealed == type_


@pytest.mark.parametrize(("statement", "code"), WRONG.items(), ids=WRONG)
def test_a_wrong_statement_is_an_error(statement, code, checked):
    assert re.search(rf"\[{code}\]$", checked[statement][0])


def test_the_package_is_typed():
    assert (Path(batchdot.__file__).parent / "py.typed").exists()

"""Everything written is run: fences of the documents, examples of docstrings, names of tests, links."""

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys

import pytest
import torch
from tests.documents.test_deviations import ROWS
from tests.support import ROOT
from tests.support.live_keras import tf, tf_keras

import batchdot

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FLAGS = doctest.ELLIPSIS
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)

# What a reader types to set up: not run here, or a test would install what it is a test of.
SET_UP = (
    'python -m pip install torch==2.13.0 "setuptools>=77"',
    "python -m pip install --no-build-isolation .",
    "bash .ci/run",
)


# What runs the command line, and what warns that its name is deprecated.
NOT_IMPORTED = ("__main__", "functional", "sharding")


def modules():
    names = [module.name for module in pkgutil.walk_packages(batchdot.__path__, "batchdot.")]
    return ["batchdot", *(name for name in names if name.removeprefix("batchdot.") not in NOT_IMPORTED)]


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    failures = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_fences(document, tmp_path, monkeypatch):
    """Run a document from top to bottom, in one folder and one Python session."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")  # whose models the README ports
    torch.manual_seed(0)
    torch.compiler.reset()  # which gives up on functions that many tests before have compiled
    session = {"__name__": "__main__"}
    for language, text in FENCE.findall(document.read_text(encoding="utf-8")):
        if language == "python" and text.startswith("# src/"):
            check_quotation(text, document.name)
        elif language == "python":
            session = run_python(text, session, document.name)
        elif language == "console":
            for command, expected in transcript(text):
                run_command(command, expected)
        else:
            pytest.fail(f"{document.name} has a fence in {language!r} that nothing runs:\n{text}")


def check_quotation(text, name):
    """Check that a fence whose first line names a source file is a part of that file."""
    path, _, code = text.partition("\n")
    source = (ROOT / path.removeprefix("# ")).read_text(encoding="utf-8")
    assert code in source, f"{name} does not quote {path.removeprefix('# ')}:\n{code}"


def run_python(text, session, name):
    test = doctest.DocTestParser().get_doctest(text, session, name, name, 0)
    assert test.examples, f"{name} has a Python fence without >>>:\n{text}"
    failures = []
    doctest.DocTestRunner(verbose=False, optionflags=FLAGS).run(test, out=failures.append, clear_globs=False)
    assert not failures, "".join(failures)
    return test.globs


def transcript(text):
    assert text.startswith("$ "), f"a console fence without a command:\n{text}"
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def run_command(command, expected):
    words = shlex.split(command)
    if words[0] == "batchdot":
        result = subprocess.run(
            [sys.executable, "-m", *words],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
        )
        assert "Traceback" not in result.stdout
        assert doctest.OutputChecker().check_output(expected, result.stdout, FLAGS), result.stdout
        return
    assert not expected
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
        return
    assert command in SET_UP


SIZES = dict(B=4, T=6, c=3, d=5, h=2, j=2, k=5, m=3, n=2, p=3, u=2, v=3, w=4)  # noqa: C408


def calls_of_readme():
    """Return rows of the README's table: shapes, Keras's call where TensorFlow 2 has it, ours, PyTorch's."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| `(.*?)`(.*?) \| `(.*?)` \| `(.*?)` \|$", text, re.MULTILINE)
    shapes = []
    for kind, keras_call, remark, our_call, plain in rows:
        shapes = re.findall(r"`\((.*?)\)`", kind) or shapes
        sizes = tuple(tuple(SIZES[letter] for letter in shape.split(",")) for shape in shapes)
        yield sizes, None if remark else keras_call, our_call, plain


CALLS = list(calls_of_readme())


def tensors(sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in sizes]


def test_readme_table_has_its_rows():
    assert len(CALLS) >= 10


@pytest.mark.parametrize(("sizes", "keras_call", "our_call", "plain"), CALLS)
def test_readme_call_equals_plain_line(sizes, keras_call, our_call, plain):
    x, y = tensors(sizes)
    expected = eval(plain, {"torch": torch, "F": torch.nn.functional, "x": x, "y": y})
    torch.testing.assert_close(eval(our_call, {**vars(batchdot), "x": x, "y": y}), expected)


def keras_value(call, sizes):
    names = {"K": tf_keras.backend, "Dot": tf_keras.layers.Dot, "dot": tf_keras.layers.dot}
    x, y = (tf.constant(tensor.numpy()) for tensor in tensors(sizes))
    return eval(call, {**names, "x": x, "y": y}).numpy()


@pytest.mark.parametrize(("sizes", "keras_call", "our_call", "plain"), [row for row in CALLS if row[1]])
def test_readme_call_equals_keras(sizes, keras_call, our_call, plain, keras_says):
    x, y = tensors(sizes)
    ours = eval(our_call, {**vars(batchdot), "x": x, "y": y})
    torch.testing.assert_close(ours, torch.from_numpy(keras_says(keras_value, keras_call, sizes)))


def test_every_deviation_has_a_test():
    text = (ROOT / "DEVIATIONS.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.MULTILINE)
    assert named == list(ROWS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target

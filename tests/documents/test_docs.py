"""Everything written is run: fences of the documents, examples of docstrings, names of tests, links."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import shlex
from pathlib import Path

import pytest
import torch
from tests.documents.test_deviations import ROWS
from tests.support import ROOT
from tests.support.documents import dots, names
from tests.support.live_keras import tf, tf_keras

import batchdot
from batchdot.cli.main import main

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = ("benchmarks", "csrc", "examples", "src", "tests")
LINKING = sorted([*DOCUMENTS, *(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.md"))])
FLAGS = doctest.ELLIPSIS
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
CODE = re.compile(r"^```.*\n(?:.*\n)*?^```$|`[^`\n]*`", re.MULTILINE)


def name_of(document):
    return str(document.relative_to(ROOT))


# What a reader types to set up: not run here, or a test would install what it is a test of.
SET_UP = (
    'python -m pip install torch==2.13.0 "setuptools>=77"',
    "python -m pip install --no-build-isolation .",
    "python -m pip install safetensors",
    "python ratings.py",
)


# What runs the command line, and what warns that its name is deprecated.
NOT_IMPORTED = ("__main__", "functional", "sharding")


def modules():
    names = [module.name for module in pkgutil.walk_packages(batchdot.__path__, "batchdot.")]
    return ["batchdot", *(name for name in names if name.removeprefix("batchdot.") not in NOT_IMPORTED)]


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "triton":
            raise
        pytest.skip("triton is missing: the extra `triton`")
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    failures = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test, out=failures.append)
    assert not failures, "".join(failures)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_fences(document, tmp_path, monkeypatch):
    """Run a document from top to bottom, in one folder and one Python session."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")  # whose models the README ports
    torch.manual_seed(0)
    torch.compiler.reset()  # which gives up on functions that many tests before have compiled
    session = {"__name__": "__main__"}
    for language, text in FENCE.findall(document.read_text(encoding="utf-8")):
        if language == "python" and re.match(r"# \S+\.py\n", text):
            check_quotation(text, document.name)
        elif language == "python" and text.startswith("# Keras\n"):
            continue  # run by test_migration
        elif language == "python":
            session = run_python(text, session, document.name)
        elif language == "console":
            for command, expected in transcript(text):
                run_command(command, expected)
        elif language == "{eval-rst}":
            continue  # directives of the reference: test_reference
        elif language.startswith("{include} "):
            assert (document.parent / language.removeprefix("{include} ")).exists()
        else:
            pytest.fail(f"{document.name} has a fence in {language!r} that nothing runs:\n{text}")


def check_quotation(text, name):
    """Check that a fence is a part of the file in its first line: a source, or what the document wrote."""
    line, _, code = text.partition("\n")
    path = line.removeprefix("# ")
    source = (ROOT / path if path.startswith("src/") else Path(path)).read_text(encoding="utf-8")
    assert code in source, f"{name} does not quote {path}:\n{code}"


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
    """Run a command, for which a process of its own would import torch again."""
    words = shlex.split(command)
    if words[0] == "batchdot":
        written = io.BytesIO()
        printed = io.TextIOWrapper(written, encoding="utf-8", write_through=True)
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            contextlib.suppress(SystemExit),
        ):
            main(words[1:])
        output = written.getvalue().decode()
        assert doctest.OutputChecker().check_output(expected, output, FLAGS), output
        return
    assert not expected
    assert command in SET_UP or words[0] == "make"  # whose targets test_make_targets_are_there knows


@pytest.mark.parametrize("document", LINKING, ids=name_of)
def test_make_targets_are_there(document):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"(?:`|^\$ )make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in named if name not in targets] == []


SIZES = dict(B=4, T=6, c=3, d=5, h=2, j=2, k=5, m=3, n=2, p=3, u=2, v=3, w=4)  # noqa: C408


def sizes_of(pattern):
    """Return small shapes of a pattern of the gallery, from its letters."""
    return tuple(
        tuple(SIZES[letter] if letter in SIZES else int(letter) for letter in shape.split(","))
        for shape in pattern.shapes
    )


def tensors(sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in sizes]


def ours(pattern):
    x, y = tensors(sizes_of(pattern))
    return eval(pattern.ours, {**vars(batchdot), "x": x, "y": y})


@pytest.mark.parametrize("pattern", dots.PATTERNS, ids=lambda pattern: pattern.slug)
def test_call_equals_plain_line(pattern):
    x, y = tensors(sizes_of(pattern))
    expected = eval(pattern.plain, {"torch": torch, "F": torch.nn.functional, "x": x, "y": y})
    torch.testing.assert_close(ours(pattern), expected)


def keras_value(call, sizes):
    names = {"K": tf_keras.backend, "Dot": tf_keras.layers.Dot, "dot": tf_keras.layers.dot}
    x, y = (tf.constant(tensor.numpy()) for tensor in tensors(sizes))
    return eval(call, {**names, "x": x, "y": y}).numpy()


@pytest.mark.parametrize(
    "pattern", [pattern for pattern in dots.PATTERNS if not pattern.remark], ids=lambda pattern: pattern.slug
)
def test_call_equals_keras(pattern, keras_says):
    answer = keras_says(keras_value, pattern.keras, sizes_of(pattern))
    torch.testing.assert_close(ours(pattern), torch.from_numpy(answer))


@pytest.mark.parametrize("pattern", dots.PATTERNS, ids=lambda pattern: pattern.slug)
def test_example_sizes_fit_the_letters(pattern):
    sizes = {}
    for letters, shape in zip(pattern.shapes, pattern.sizes, strict=True):
        for letter, size in zip(letters.split(","), shape, strict=True):
            assert sizes.setdefault(letter, size) == size
            assert letter.isalpha() or int(letter) == size


def test_gallery_is_current():
    advice = "run python -m tests.support.documents.dots"
    assert dots.PAGE.read_text(encoding="utf-8") == dots.page(), advice
    (table,) = dots.TABLE.findall(dots.README.read_text(encoding="utf-8"))
    assert table == dots.table(), advice
    written = {path.name: path.read_text(encoding="utf-8") for path in dots.PICTURES.iterdir()}
    assert written == dict(dots.pictures()), advice


def test_names_are_current():
    advice = "run python -m tests.support.documents.names"
    assert names.PAGE.read_text(encoding="utf-8") == names.page(), advice


def test_readme_counts_the_files_as_their_page_does():
    page = (ROOT / "docs" / "from-keras" / "files.md").read_text(encoding="utf-8")
    right, refused, wrong = re.search(r"In all: ([\d,]+) right, ([\d,]+) refused, (\d+) wrong", page).groups()
    total = sum(int(count.replace(",", "")) for count in (right, refused, wrong))
    versions = len(re.findall(r"^\| (?:Keras|TensorFlow|tf_keras) ", page, re.MULTILINE))
    assert (wrong, versions) == ("0", 16)
    assert (
        f"Of {total:,} files that sixteen versions of Keras saved, {right} are ported and compute what Keras "
        f"predicted, {refused} are refused with a reason, and none is wrong."
    ) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_deviation_has_a_test():
    text = (ROOT / "DEVIATIONS.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.MULTILINE)
    assert named == list(ROWS)


@pytest.mark.parametrize("document", LINKING, ids=name_of)
def test_links(document):
    """Files that are linked to exist, and so do headings of Markdown files."""
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path) if path else document
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def anchors(document):
    """Return the anchors of the headings of a Markdown file, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]

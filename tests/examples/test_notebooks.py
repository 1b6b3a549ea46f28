"""The notebooks of examples/: what they hold is what they give."""

import copy
import json
import re
import subprocess
import sys

import pytest
from tests.support import ROOT
from tests.support.notebooks import TAG, difference

NOTEBOOKS = sorted(ROOT.glob("examples/*.ipynb"))
RUN = "import sys; from pathlib import Path; from tests.support.notebooks import run, write; "
RUN += "write(run(Path(sys.argv[1])), Path(sys.argv[2]))"


def code(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebooks_are_there():
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=pytest.mark.slow, id=path.stem) for path in NOTEBOOKS]
)
def test_outputs_are_those_of_a_run(path, tmp_path):
    """In a process of its own, as a reader runs it, from the notebook's folder."""
    command = [sys.executable, "-c", RUN, str(path), str(tmp_path / path.name)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for held, given in zip(code(path), code(tmp_path / path.name), strict=True):
        assert held["execution_count"] == given["execution_count"]
        reason = difference(held, given)
        assert reason is None, (
            f"{''.join(held['source'])}\n{reason}\n`make record-notebooks` rewrites outputs"
        )


def test_links_lead_somewhere():
    links = [
        path.parent / link
        for path in NOTEBOOKS
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "markdown"
        for link in re.findall(r"\]\(([^)#]+)", "".join(cell["source"]))
    ]
    assert links
    assert [link for link in links if not link.exists()] == []


CHANGES = [
    ("a word", "1 above", "1 below", [], True),
    ("a digit of a measured number", "error 0.12345", "error 0.12346", [], False),
    ("a measured number", "error 0.12", "error 0.13", [], True),
    ("a count", "shape (3, 4)", "shape (3, 5)", [], True),
    ("a number that depends on the processor", "23%", "24%", [TAG], False),
    ("a word beside such a number", "23% above", "23% below", [TAG], True),
]


@pytest.mark.parametrize(("what", "held", "given", "tags", "differs"), CHANGES, ids=lambda value: str(value))
def test_differences_are_seen(what, held, given, tags, differs):
    def cell(text):
        return {"metadata": {"tags": tags}, "outputs": [{"output_type": "stream", "text": [text]}]}

    assert (difference(cell(held), cell(given)) is not None) is differs


def test_an_output_more_and_another_picture_are_seen():
    cells = [cell for path in NOTEBOOKS for cell in code(path)]
    drawn = next(
        cell
        for cell in cells
        if TAG not in cell["metadata"].get("tags", [])
        and any("image/png" in output.get("data", {}) for output in cell["outputs"])
    )
    other = copy.deepcopy(drawn)
    assert difference(drawn, other) is None
    elsewhere = next(
        output["data"]["image/png"]
        for cell in cells
        for output in cell["outputs"]
        if "image/png" in output.get("data", {}) and output not in drawn["outputs"]
    )
    other["outputs"][0]["data"]["image/png"] = elsewhere
    assert difference(drawn, other) == "gives another picture"
    other["outputs"].append(other["outputs"][0])
    assert difference(drawn, other).startswith("holds ['display_data'], gives")

"""What makes the site, and the checker that finds what is broken in it. `make docs` runs both."""

import importlib.util
import json
import re

import pytest
from tests.support import ROOT
from tests.support.documents.links import broken, main, parsed

OTHER = '<html><body><h1 id="title">Other</h1></body></html>'

CASES = {
    '<a href="other.html">x</a>': [],
    '<a href="other.html#title">x</a>': [],
    '<a id="here" href="#here">x</a>': [],
    '<a href="https://example.org/">x</a>': [],
    '<img src="data:image/gif;base64,AA==">': [],
    '<a href="gone.html">x</a>': ["index.html links to gone.html, which is not there"],
    '<a href="other.html#gone">x</a>': ["index.html links to other.html#gone, which has no such anchor"],
    '<a href="#gone">x</a>': ["index.html links to #gone, which has no such anchor"],
    '<img src="gone.png">': ["index.html links to gone.png, which is not there"],
    '<script src="https://example.org/x.js"></script>': [
        "index.html loads https://example.org/x.js from elsewhere"
    ],
    '<link rel="stylesheet" href="//example.org/font.css">': [
        "index.html loads //example.org/font.css from elsewhere"
    ],
}


@pytest.mark.parametrize(("body", "sentences"), CASES.items())
def test_broken(body, sentences, tmp_path, capsys):
    parsed.cache_clear()
    (tmp_path / "other.html").write_text(OTHER)
    (tmp_path / "index.html").write_text(f"<html><body>{body}</body></html>")
    assert list(broken(tmp_path)) == sentences
    assert main(str(tmp_path)) == (1 if sentences else 0)
    assert capsys.readouterr().out.splitlines() == (sentences or [f"{tmp_path}: all links lead somewhere"])


# Notebooks, which are pages of the site


def extension(name):
    """Return a module of docs/_extensions, which is on Sphinx's path only."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code(*outputs):
    return {"cell_type": "code", "source": ["x = 1\n", "x"], "outputs": list(outputs)}


SOURCE = "```python\nx = 1\nx\n```\n"
PLAIN = "\n```{code-block} text\n:class: output\n\n1\n```\n"
SVG = "<svg>\n<title>one</title>\n</svg>\n"

CELLS = [
    ({"cell_type": "markdown", "source": ["# Title\n", "\n", "Words."]}, "# Title\n\nWords.\n"),
    (code(), SOURCE),
    (code({"output_type": "stream", "text": ["1\n"]}), SOURCE + PLAIN),
    (code({"data": {"text/plain": ["1"]}}), SOURCE + PLAIN),
    (
        code({"output_type": "stream", "text": ["1\n"]}, {"data": {"text/plain": ["1"]}}),
        SOURCE + PLAIN + PLAIN,
    ),
    (
        code({"data": {"image/svg+xml": [SVG], "text/plain": ["1"]}}),
        SOURCE + '\n<div class="output">\n' + SVG + "</div>\n",
    ),
    (
        code({"data": {"image/png": "iVBO\n", "text/plain": ["1"]}}),
        SOURCE + "\n![a figure drawn by the code above](data:image/png;base64,iVBO)\n",
    ),
]


@pytest.mark.parametrize(("cell", "text"), CELLS)
def test_cell_becomes_markdown(cell, text, tmp_path):
    path = tmp_path / "one.ipynb"
    path.write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    assert extension("notebook").read_notebook(path) == text


def test_every_notebook_is_a_page():
    pages = ROOT.glob("docs/notebooks/*.md")
    included = [
        re.match(r"```\{include\} \.\./\.\./(\S+)\n", page.read_text(encoding="utf-8"))[1] for page in pages
    ]
    assert sorted(included) == sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*.ipynb"))

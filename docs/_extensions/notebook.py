"""Notebooks as Markdown: text as it is, code in fences, and the outputs that the notebook holds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_notebook(path: Path) -> str:
    """Return a notebook as Markdown for MyST."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _parts(cell)) + "\n"


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        yield _output(output)


def _output(output: dict[str, Any]) -> str:
    """Return an output in the richest form that it has."""
    data = output.get("data") or {"text/plain": output["text"]}
    if "image/svg+xml" in data:  # as HTML, because Markdown takes no SVG in a data URL
        return f'<div class="output">\n{"".join(data["image/svg+xml"]).strip()}\n</div>'
    if "image/png" in data:
        return f"![a figure drawn by the code above](data:image/png;base64,{data['image/png'].strip()})"
    return f"```{{code-block}} text\n:class: output\n\n{''.join(data['text/plain']).rstrip()}\n```"

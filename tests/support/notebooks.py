"""Notebooks run as Jupyter runs them, without Jupyter, and compared with the outputs that they hold.

    python -m tests.support.notebooks examples/*.ipynb     # runs them and rewrites their outputs

A cell that is tagged `depends on the processor` has numbers that another processor or PyTorch may change:
only the words between them are compared.
"""

import ast
import base64
import contextlib
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

Cell = dict[str, Any]

TAG = "depends on the processor"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def run(path: Path) -> dict[str, Any]:
    """Return a notebook with the outputs that its cells give, run in its folder from top to bottom."""
    os.environ["MPLBACKEND"] = "Agg"
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    with contextlib.chdir(path.parent):
        for number, cell in enumerate(cells, 1):
            cell.update(execution_count=number, outputs=_outputs("".join(cell["source"]), number, names))
    return notebook


def write(notebook: dict[str, Any], path: Path) -> None:
    """Write a notebook as Jupyter formats it."""
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def difference(held: Cell, given: Cell) -> str | None:
    """Return how the outputs that a cell holds differ from those that it gives; None if they do not."""
    loose = TAG in held["metadata"].get("tags", [])
    kinds = [[output["output_type"] for output in cell["outputs"]] for cell in (held, given)]
    if kinds[0] != kinds[1]:
        return f"holds {kinds[0]}, gives {kinds[1]}"
    for a, b in zip(held["outputs"], given["outputs"], strict=True):
        if a["output_type"] == "stream":
            before, after = ("".join(output["text"]) for output in (a, b))
            if not _same_text(before, after, loose):
                return f"holds\n{before}\ngives\n{after}"
            continue
        if a["data"].keys() != b["data"].keys():
            return f"holds {list(a['data'])}, gives {list(b['data'])}"
        for kind in a["data"]:
            if kind == "image/png":
                if not loose and not _same_image(a["data"][kind], b["data"][kind]):
                    return "gives another picture"
            elif not _same_text(*("".join(output["data"][kind]) for output in (a, b)), loose):
                return f"gives another {kind}: {''.join(b['data'][kind])}"
    return None


def _outputs(source: str, number: int, names: dict[str, Any]) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    value, printed = None, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)
        if last is not None and not source.rstrip().endswith(";"):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
        elif last is not None:
            exec(compile(ast.Module([last], []), f"cell {number}", "exec"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())})
    if value is not None:
        data = {"text/plain": _lines(repr(value))}
        if hasattr(value, "_repr_svg_"):
            data = {"image/svg+xml": _lines(value._repr_svg_())} | data
        outputs.append(
            {"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"}
        )
    return outputs + _figures()


def _figures() -> list[dict[str, Any]]:
    """Return the open figures of matplotlib, and close them."""
    outputs = []
    pyplot = sys.modules.get("matplotlib.pyplot")
    for number in pyplot.get_fignums() if pyplot is not None else ():
        figure, file = pyplot.figure(number), io.BytesIO()
        figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
        data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": [repr(figure)]}
        outputs.append({"data": data, "metadata": {}, "output_type": "display_data"})
        pyplot.close(figure)
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _same_text(held: str, given: str, loose: bool) -> bool:
    if NUMBER.sub("#", held) != NUMBER.sub("#", given):
        return False
    numbers = zip(NUMBER.findall(held), NUMBER.findall(given), strict=True)
    return loose or all(a == b or _close(float(a), float(b)) for a, b in numbers)


def _close(a: float, b: float) -> bool:
    return not a.is_integer() and abs(a - b) <= 0.02 * abs(a)  # integers are counts and shapes


def _same_image(held: str, given: str) -> bool:
    """Whether two pictures are alike up to fonts."""
    from matplotlib.image import imread

    a, b = (imread(io.BytesIO(base64.b64decode(text)))[..., :3] for text in (held, given))
    return a.shape == b.shape and float(np.abs(a - b).mean()) < 0.02


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write(run(Path(name)), Path(name))

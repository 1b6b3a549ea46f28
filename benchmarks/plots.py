"""Plots of the scaling results: time against rows, their length and threads, log-log, one line per peer."""

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.outliers import GROSS

FOLDER = Path(__file__).parent / "figures"

# The palette of Okabe and Ito, distinguishable with colour blindness; markers differ as well.
STYLES: dict[str, dict[str, Any]] = {
    "batch_dot": {"color": "#000000", "marker": "o", "linewidth": 2.6, "zorder": 5},
    "aten": {"color": "#000000", "marker": "o", "linestyle": ":", "fillstyle": "none"},
    "elementwise": {"color": "#56B4E9", "marker": "v"},
    "bmm": {"color": "#0072B2", "marker": "^"},
    "cosine_similarity": {"color": "#D55E00", "marker": "s"},
    "compiled": {"color": "#009E73", "marker": "D"},
    "Keras 3 JAX": {"color": "#CC79A7", "marker": "P"},
    "Keras 3 torch": {"color": "#E69F00", "marker": "X"},
    "tf_keras": {"color": "#8A8A8A", "marker": "*"},
    "roofline": {"color": "#555555", "linestyle": "--", "linewidth": 1.2},
}
LABELS = {
    "batch_dot": "batchdot",
    "aten": "batchdot, by ATen",
    "elementwise": "(x * y).sum",
    "bmm": "bmm",
    "cosine_similarity": "F.cosine_similarity",
    "compiled": "(x * y).sum, torch.compile",
    "Keras 3 JAX": "Keras 3, JAX jitted",
    "Keras 3 torch": "Keras 3, torch",
    "tf_keras": "tf_keras, eager",
    "roofline": "reading, by torch.dot",
}
KINDS = ("row dot", "row cosine")

OF_README = ("batch_dot", "elementwise", "cosine_similarity", "Keras 3 JAX", "roofline")
"""The lines of rows.svg, which stands in README; scaling.svg has them all."""

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "grid.color": "#e4e4e4",
    "svg.hashsalt": "batchdot",
}


def why_not() -> str | None:
    """Return the reason why nothing can be plotted, or None."""
    return None if find_spec("matplotlib") is not None else "matplotlib not installed"


def draw(results: dict[str, Any], folder: Path = FOLDER) -> list[Path]:
    """Plot rows.svg and scaling.svg from results with a section ``scaling``.

    Returns:
        The files written.
    """
    matplotlib = import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = import_module("matplotlib.pyplot")
    folder.mkdir(exist_ok=True)
    scaling, threads = results["scaling"], results["machine"]["threads"]
    paths = [folder / "rows.svg", folder / "scaling.svg"]
    with matplotlib.rc_context(_STYLE):
        figure, panels = pyplot.subplots(1, 2, figsize=(10.5, 4.4), sharey=True)
        for panel, kind in zip(panels, KINDS, strict=True):
            title = f"{kind}, rows of 128 float32, {threads} threads"
            _panel(panel, scaling["rows"].get(kind, []), title, OF_README)
            panel.set_xlabel("rows")
        panels[0].set_ylabel("time of a call")
        _save(figure, panels, paths[0])
        pyplot.close(figure)
        figure, panels = pyplot.subplots(2, 2, figsize=(10.5, 7.4))
        for column, kind in enumerate(KINDS):
            length, thread = panels[0][column], panels[1][column]
            _panel(length, scaling["length"].get(kind, []), f"{kind}: length of a row")
            length.set_xlabel("numbers in a row, of 4,194,304 in all")
            _panel(thread, scaling["threads"].get(kind, []), f"{kind}: threads")
            thread.set_xscale("log", base=2)
            ticks = [record["at"] for record in scaling["threads"].get(kind, [])]
            thread.set_xticks(ticks, [str(n) for n in ticks], minor=False)
            thread.set_xlabel("threads, on rows (65536, 128)")
        for row in panels:
            row[0].set_ylabel("time of a call")
        _save(figure, [panel for row in panels for panel in row], paths[1])
        pyplot.close(figure)
    return paths


def _panel(panel: Any, records: list[dict[str, Any]], title: str, lines: Iterable[str] = STYLES) -> None:
    panel.set(xscale="log", yscale="log", title=title)
    panel.grid(True, which="major", linewidth=0.7)
    panel.xaxis.set_major_formatter(lambda n, _: _count(n))
    panel.yaxis.set_major_formatter(lambda us, _: _time(us))
    panel.set_axisbelow(True)
    panel.minorticks_off()
    for name in lines:
        points = [
            (r["at"], r["microseconds"][name]["median"])
            for r in records
            if name in r["microseconds"] and r["unsettled"].get(name, 1) <= 1 + GROSS
        ]
        if points:
            panel.plot(*zip(*points, strict=True), label=name, **STYLES[name])
    low, high = panel.get_ylim()
    if high < 100 * low:  # or a panel might have a single tick
        panel.yaxis.set_major_locator(import_module("matplotlib.ticker").LogLocator(subs=(1, 2, 5)))


def _save(figure: Any, panels: Any, path: Path) -> None:
    """Add one legend, in the order of the lines at the right end of the last panel, and save the figure."""
    lines = {line.get_label(): line for panel in panels for line in panel.get_lines()}
    last = {line.get_label(): line.get_ydata()[-1] for panel in panels for line in panel.get_lines()}
    order = sorted(lines, key=lambda name: -last[name])
    figure.tight_layout(rect=(0, 0, 0.775, 1))
    figure.legend(
        [lines[name] for name in order],
        [LABELS[name] for name in order],
        loc="center left",
        bbox_to_anchor=(0.775, 0.5),
    )
    figure.savefig(path, metadata={"Date": None}, facecolor="white")


def _count(n: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if n >= size:
            return f"{n / size:g}{unit}"
    return f"{n:g}"


def _time(microseconds: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:g} {unit}"
    return f"{microseconds:g} µs"

"""Summary: a model as a table."""

from collections.abc import Callable
from typing import Any

_WIDTHS = (0.36, 0.26, 0.12, 0.26)
"""Shares of the line for the columns: layer, output shape, weights, connections."""


def print_summary(model: Any, line_length: int, print_fn: Callable[[str], Any]) -> None:
    """Print a row for each layer, then the number of weights and their size in memory.

    Args:
        model: the model.
        line_length: width of the table in characters.
        print_fn: called with each line.
    """
    widths = [max(8, int(share * line_length)) for share in _WIDTHS]
    rule = "─" * sum(widths)
    print_fn(f'Model: "{model.name}"')
    print_fn(rule)
    print_fn(_row(("Layer (type)", "Output shape", "Weights", "Connected to"), widths))
    print_fn(rule)
    for layer in model.layers:
        for line in _rows_of(model, layer, widths):
            print_fn(line)
    print_fn(rule)
    trained = sum(weight.numel() for weight in model.trainable_weights)
    fixed = sum(weight.numel() for weight in model.non_trainable_weights)
    for text, count in (("Total", trained + fixed), ("Trained", trained), ("Not trained", fixed)):
        size = _bytes_of(model, text)
        print_fn(f"{text} weights: {count:,} ({size})")
    print_fn(rule)


def _rows_of(model: Any, layer: Any, widths: list[int]) -> list[str]:
    nodes = [node for node in model.nodes if node.layer is layer]
    sources = [t.node.layer.name for node in nodes for t in node.inputs if t.node is not None]
    shapes = list(dict.fromkeys(str(node.output_shapes) for node in nodes)) or ["?"]
    count = f"{layer.count_params():,}" if layer.built else "not built"
    cells = [[f"{layer.name} ({type(layer).__name__})"], shapes, [count], sources or [""]]
    height = max(map(len, cells))
    return [_row([cell[i] if i < len(cell) else "" for cell in cells], widths) for i in range(height)]


def _row(cells: Any, widths: list[int]) -> str:
    texts = [_fit(cell, width - 1).ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "".join(texts).rstrip()


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _bytes_of(model: Any, which: str) -> str:
    lists = {
        "Total": model.weights,
        "Trained": model.trainable_weights,
        "Not trained": model.non_trainable_weights,
    }
    size = float(sum(weight.numel() * weight.element_size() for weight in lists[which]))
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.2f} {unit}"
        size /= 1024
    raise AssertionError

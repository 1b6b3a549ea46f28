"""Write the report of a saved model as text for a terminal, with control characters in names escaped."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from batchdot.porting.inspection.becomes import becomes
from batchdot.porting.inspection.dots import DotCall, dot_calls
from batchdot.porting.record import Activation, FrozenMap, LayerRecord, ModelRecord, TensorRef
from batchdot.porting.record.values import Shape, Value

SMALL = 40
"""Calls of a graph that is printed."""

LONGEST = 40
"""Characters of a name in a table."""


def shown(name: str) -> str:
    r"""Return a name of a file as one printable word.

    >>> shown("a\nb")
    'a\\nb'
    """
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def shape_text(shape: Shape) -> str:
    """Return a shape with B for the batch and ? for other sizes that are not known.

    >>> shape_text((None, 3, None)), shape_text((None,)), shape_text(None)
    ('(B, 3, ?)', '(B,)', '?')
    """
    if shape is None:
        return "?"
    sizes = [
        "B" if axis == 0 and size is None else "?" if size is None else str(size)
        for axis, size in enumerate(shape)
    ]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def describe(model: ModelRecord, warnings: Sequence[str] | None = None) -> str:
    """Return the report.

    Args:
        model: the record.
        warnings: what is printed as warnings; None prints the record's notes.
    """
    sections = [_head(model), _ends(model), layer_table(model), _dots(dot_calls(model)), _graph(model)]
    sections.append(
        _list("Compiled with", [f"{key}: {_brief(value)}" for key, value in model.training.items()])
    )
    sections.append(
        _list("Warnings", [_line(text) for text in (model.notes if warnings is None else warnings)])
    )
    problems = [f"{shown(name)}: {_line(reason)}" for name, reason in model.problems]
    sections.append(_list("Needs a replacement from you", problems))
    return "\n\n".join(section for section in sections if section)


def _head(model: ModelRecord) -> str:
    written = model.written
    first = f"{_line(written.file)}: {written.container}, saved by {written.by}" if written else ""
    total = sum(layer.parameters for layer in model.layers)
    trained = sum(
        _size(weight.shape)
        for layer in model.all_layers()
        for weight in layer.weights.values()
        if weight.trainable
    )
    weights = f"{total:,} parameters, {trained:,} of them trainable" if model.has_weights else "no weights"
    second = f"{model.kind} model {shown(model.name)!r} of {len(model.layers)} layers, {weights}"
    return "\n".join(line for line in (first, second) if line)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for axis in shape:
        size *= axis
    return size


def _ends(model: ModelRecord) -> str:
    shape_of = {
        call.output(number): shape for call in model.calls for number, shape in enumerate(call.output_shapes)
    }
    layers = {layer.name: layer for layer in model.layers}
    inputs = [
        [name, shape_text(shape_of.get(ref)), str(layers[ref.layer].config.get("dtype", ""))]
        for name, ref in _named(model.inputs, model.input_refs)
    ]
    outputs = [
        [name, shape_text(shape_of.get(ref)), ""] for name, ref in _named(model.outputs, model.output_refs)
    ]
    return _table("Inputs", inputs) + "\n\n" + _table("Outputs", outputs)


def _named(ends: object, refs: Sequence[TensorRef]) -> Iterator[tuple[str, TensorRef]]:
    """Yield inputs or outputs with their names: the keys of a dict, else what makes them."""
    if isinstance(ends, FrozenMap):
        yield from ((f"{shown(str(key))!r}", ref) for key, ref in ends.items())
    else:
        yield from ((shown(ref.layer) + (f"[{ref.output}]" if ref.output else ""), ref) for ref in refs)


def layer_table(model: ModelRecord, custom: Mapping[str, str] | None = None) -> str:
    """Return a table of the layers, nested ones too: class, output, parameters, what each becomes.

    Args:
        model: the model.
        custom: the user's functions, by the layer, class or activation that they are given for.
    """
    rows = [["layer", "class", "output", "parameters", "becomes"]]
    rows += _rows(model, "", custom or {})
    if not model.has_weights:
        rows = [[*row[:3], row[4]] for row in rows]
    return _table("Layers", rows)


def _rows(model: ModelRecord, indent: str, custom: Mapping[str, str]) -> list[list[str]]:
    outputs: dict[str, list[str]] = {}
    for call in model.calls:
        outputs.setdefault(call.layer, []).append(", ".join(map(shape_text, call.output_shapes)))
    rows = []
    for layer in model.layers:
        shapes = outputs.get(layer.name, [])
        calls = f", {len(shapes)} calls" if len(shapes) > 1 else ""
        shape = shapes[0] if shapes else "not called"
        rows.append(
            [
                indent + shown(layer.name),
                _class(layer),
                shape + calls,
                f"{layer.parameters:,}",
                _becomes(layer, custom),
            ]
        )
        if layer.model is not None:
            rows += _rows(layer.model, indent + "  ", custom)
    return rows


def _becomes(layer: LayerRecord, custom: Mapping[str, str]) -> str:
    """Return what a layer becomes, where the user has functions for some."""
    for name in (layer.name, layer.class_name, layer.class_name.rpartition(">")[2]):
        if name in custom:
            return shown(custom[name])
    activations = [
        value for value in layer.config.values() if isinstance(value, Activation) and value.is_custom
    ]
    if activations and all(activation.name in custom for activation in activations):
        layer = replace(layer, problem="")
    return becomes(layer)


def _class(layer: LayerRecord) -> str:
    inside = ", ".join(_class(inner) for inner in list(layer.inner.values())[:1])
    return f"{shown(layer.class_name)}({inside})" if inside else shown(layer.class_name)


def _dots(found: list[DotCall]) -> str:
    rows = []
    for dot in found:
        x, y = (*dot.shapes, None, None)[:2]
        rows.append(
            [
                shown(dot.layer),
                f"{shape_text(x)} · {shape_text(y)}",
                f"-> {shape_text(dot.output)}",
                dot.einsum,
                _line(dot.words),
            ]
        )
    return _table("Dot products", rows)


def _graph(model: ModelRecord) -> str:
    if len(model.calls) > SMALL:
        return ""
    classes = {layer.name: layer for layer in model.layers}
    lines = []
    for call in model.calls:
        layer = classes[call.layer]
        if layer.is_a("InputLayer"):
            continue
        arguments = ", ".join(
            _argument(value) if key in ("inputs", "x") else f"{key}={_argument(value)}"
            for key, value in call.arguments.items()
        )
        masks = ", ".join(f"{key}: {_line(repr(mask))}" for key, mask in call.masks.items())
        name = shown(call.layer) + (f"@{call.number}" if call.number else "")
        lines.append(
            f"{name} = {shown(layer.class_name)}({arguments})" + (f"  masked by {masks}" if masks else "")
        )
    return _list("Graph", lines)


def _argument(value: Value) -> str:
    if isinstance(value, TensorRef):
        return shown(repr(value))
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_argument, value[:8])) + (", ..." if len(value) > 8 else "") + "]"
    return _brief(value)


def _brief(value: object) -> str:
    text = _line(repr(value))
    return text if len(text) <= 100 else text[:99] + "…"


def _line(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]


def _list(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)]) if lines else ""


def _table(title: str, rows: list[list[str]]) -> str:
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return _list(title, lines)

"""Write the report of a saved model as data for programs: dicts, lists, strings and numbers for JSON."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from batchdot.porting.inspection.becomes import becomes
from batchdot.porting.inspection.dots import dot_calls
from batchdot.porting.record import (
    Activation,
    Blob,
    EllipsisIndex,
    LayerRecord,
    Mask,
    ModelRecord,
    Penalty,
    Slice,
    TensorRef,
    Weight,
)

Data: TypeAlias = "bool | int | float | str | list[Data] | dict[str, Data] | None"


def as_data(model: ModelRecord, warnings: Sequence[str]) -> dict[str, Data]:
    """Return everything that the text report says, and the graph, as JSON can hold it."""
    written = model.written
    dots: list[Data] = [
        {
            "layer": dot.layer,
            "shapes": plain(dot.shapes),
            "axes": plain(dot.axes),
            "cosine": dot.cosine,
            "einsum": dot.einsum,
            "output": plain(dot.output),
            "words": dot.words,
        }
        for dot in dot_calls(model)
    ]
    file = (
        {key: plain(getattr(written, key)) for key in ("file", "container", "by", "version", "backend")}
        if written
        else {}
    )
    return {
        "format": 1,
        **file,
        **_model(model, model.has_weights),
        "parameters": sum(layer.parameters for layer in model.layers) if model.has_weights else None,
        "dots": dots,
        "training": plain(model.training),
        "warnings": list(warnings),
        "not_portable": [{"layer": name, "reason": reason} for name, reason in model.problems],
    }


def _model(model: ModelRecord, has_weights: bool) -> dict[str, Data]:
    return {
        "name": model.name,
        "kind": model.kind,
        "has_weights": has_weights,
        "trainable": model.trainable,
        "inputs": plain(model.inputs),
        "outputs": plain(model.outputs),
        "layers": [_layer(layer, has_weights) for layer in model.layers],
        "calls": [
            {
                "layer": call.layer,
                "call": call.number,
                "arguments": plain(call.arguments),
                "masks": plain(call.masks),
                "input_shapes": plain(call.input_shapes),
                "output_shapes": plain(call.output_shapes),
            }
            for call in model.calls
        ],
    }


def _layer(layer: LayerRecord, has_weights: bool) -> dict[str, Data]:
    data: dict[str, Data] = {
        "name": layer.name,
        "kind": layer.kind,
        "class": layer.class_name,
        "trainable": layer.trainable,
        "dtype": layer.dtype,
        "parameters": layer.parameters if has_weights else None,
        "becomes": becomes(layer),
        "config": plain(layer.config),
        "weights": [_weight(weight) for weight in layer.weights.values()],
    }
    if layer.problem:
        data["problem"] = layer.problem
        data["raw_config"] = plain(layer.raw)
    if layer.inner:
        data["inner"] = {key: _layer(inside, has_weights) for key, inside in layer.inner.items()}
    if layer.model is not None:
        data["model"] = _model(layer.model, has_weights)
    return data


def _weight(weight: Weight) -> dict[str, Data]:
    shape: list[Data] = list(weight.shape)
    return {
        "role": weight.role,
        "shape": shape,
        "dtype": weight.dtype,
        "trainable": weight.trainable,
        "place": weight.place,
    }


def plain(value: object) -> Data:
    """Return a value of a record as JSON can hold it; numbers that are not finite become words."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, TensorRef):
        return {"tensor": [value.layer, value.call, value.output]}
    if isinstance(value, (Activation, Penalty)):
        return {"name": value.name, "parameters": plain(value.parameters)}
    if isinstance(value, Mask):
        parts = {
            "mask": value.kind,
            "tensor": plain(value.tensor),
            "value": value.value,
            "masks": plain(value.masks),
        }
        return {**parts, "axis": value.axis}
    if isinstance(value, Slice):
        return {"slice": [plain(value.start), plain(value.stop), plain(value.step)]}
    if isinstance(value, EllipsisIndex):
        return "..."
    return f"({value.what})" if isinstance(value, Blob) else repr(value)

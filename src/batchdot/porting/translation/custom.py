"""Translate a layer by a function that the user gives for it."""

import importlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from batchdot.porting.errors import quote
from batchdot.porting.program import Array, Function
from batchdot.porting.program.expressions import literal
from batchdot.porting.record import Activation, FrozenMap, LayerRecord
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.registry import Forward, Result
from batchdot.porting.translation.site import Site

if TYPE_CHECKING:
    from batchdot.porting.translation.port import Port

Custom = Callable[..., Any]
"""``function(config, weights, input_shapes)``; returns a module or a function of tensors."""


CODE = re.compile(r"(function|output_shape|mask|module)($|_)")
"""Keys of a Lambda's config that hold its code, or say where it came from."""


class CustomError(ValueError):
    """The user's function for a layer raised an error, or returned what is no layer."""


def custom_layer(layer: Layer, function: Function) -> Forward:
    """Call the user's function for what the layer is; the ported file calls it again, without weights.

    Args:
        layer: the layer.
        function: the user's function, and what the ported file calls it.

    Raises:
        CustomError: it raises an error, or returns neither a module nor a function.
    """
    record = layer.record
    config = {key: plain(record.raw[key]) for key in _keys(record)} if record.raw else plain(record.config)
    shapes = [None if shape is None else tuple(shape) for shape in layer.input_shapes]
    weights = {role: weight.read() for role, weight in record.weights.items()}
    try:
        made = function.function(config, weights, shapes)
    except Exception as error:
        raise CustomError(
            f"the custom function {function.alias!r}, called for {quote(record.name)} with input shapes "
            f"{shapes}, raised {type(error).__name__}: {error}"
        ) from error
    if not callable(made):
        raise CustomError(
            f"the custom function {function.alias!r} returned {type(made).__name__} for "
            f"{quote(record.name)}, not a module or a function"
        )
    tensors = made.state_dict() if isinstance(made, nn.Module) else {}
    state = {key: _array(tensor) for key, tensor in tensors.items()}
    called = layer.module(f"{function.alias}({literal(config)}, None, {literal(shapes)})", state)

    def forward(site: Site) -> Result:
        given = [value for key in site.arguments for value in site.values(key)]
        call = f"{called}({', '.join(str(site.last(value)) for value in given)})"
        if len(site.output_shapes) == 1:
            return call
        names = tuple(str(number) if number else "" for number in range(len(site.output_shapes)))
        return tuple(map(str, site.unpack(call, names)))

    return forward


def custom_activation(layer: Layer, activation: Activation, function: Function) -> Activation:
    """Call the user's function for an activation that is not Keras's own; return what it is."""
    config = plain(activation.parameters)
    called = layer.module(f"{function.alias}({literal(config)}, None, [])", suffix=activation.name)
    return Activation("custom", FrozenMap({"function": called}))


def custom_layer_of(record: LayerRecord, port: "Port") -> Function | None:
    """Return the user's translation of a layer, None if there is none."""
    return port.custom(record.name, record.class_name)


def missing_activations(record: LayerRecord, port: "Port") -> list[Activation] | None:
    """Return the activations of a layer that the user has to give; None if all are Keras's own."""
    found = [each for each in record.config.values() if isinstance(each, Activation) and each.is_custom]
    return [each for each in found if port.custom(each.name) is None] if found else None


def importable(function: Custom) -> tuple[str, str] | None:
    """Return the module and the name by which a function can be imported, None if it cannot.

    >>> from os.path import join
    >>> importable(join), importable(lambda: 0)
    (('posixpath', 'join'), None)
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not isinstance(module, str) or module == "__main__" or not name.isidentifier():
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    return (module, name) if found is function else None


def plain(value: object) -> Any:
    """Return a value of a record as dicts, lists and constants; what is none of these becomes None.

    >>> plain(FrozenMap({"rate": 0.5, "axes": (1, 2)}))
    {'rate': 0.5, 'axes': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return value if isinstance(value, bool | int | float | str) else None


def wanted(record: LayerRecord) -> str:
    """Return what a person needs to know to write a replacement: config keys and weight shapes.

    >>> wanted(LayerRecord("double", "custom", "Double", raw=FrozenMap({"factor": 2})))
    'give custom={"Double": function} or --custom Double=MODULE:FUNCTION; its config: factor; \
it has no weights'
    """
    keys = ", ".join(quote(key)[1:-1] for key in _keys(record) if key not in ("name", "trainable", "dtype"))
    weights = ", ".join(f"{role} {weight.shape}" for role, weight in record.weights.items())
    name = record.class_name.rpartition(">")[2] if record.kind == "custom" else record.name
    return f"{advice(name)}; its config: {keys or 'empty'}; " + (
        f"its weights: {weights}" if weights else "it has no weights"
    )


def _keys(record: LayerRecord) -> list[str]:
    """Return the keys of a config that say anything: those around a Lambda's code do not."""
    return [key for key in record.raw if not record.is_a("Lambda") or not CODE.match(key)]


def advice(name: str) -> str:
    """Return how to give a replacement for a layer, a class or an activation."""
    name = quote(name)[1:-1]
    return f'give custom={{"{name}": function}} or --custom {name}=MODULE:FUNCTION'


def _array(tensor: torch.Tensor) -> Array:
    numbers = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
    return Array(str(tensor.dtype).removeprefix("torch."), lambda: numbers.cpu().numpy())

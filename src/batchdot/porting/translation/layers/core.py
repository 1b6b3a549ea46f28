"""Translations of Keras's folder ``core``: Dense, EinsumDense, Embedding, Masking, Identity."""

import re

import numpy as np

from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.layers.activations import activate
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site


@translates("Dense")
def dense(layer: Layer) -> Forward:
    """nn.Linear, whose weight is the kernel transposed."""
    linear = _linear(layer)
    activation = layer.activation()
    return lambda site: activate(activation, Value(f"{linear}({site.x})"))


def _linear(layer: Layer) -> str:
    inputs, units = layer.shape("kernel")
    state = {"weight": layer.array("kernel", convert=np.transpose)}
    if layer.has("bias"):
        state["bias"] = layer.array("bias")
    bias = "" if layer.has("bias") else ", bias=False"
    return layer.module(f"nn.Linear({inputs}, {units}{bias})", state)


@translates("Embedding")
def embedding(layer: Layer) -> Forward:
    """nn.Embedding; ids that come as floats are truncated, and one id a sample to be flattened is."""
    rows, columns = layer.shape("embeddings")
    table = layer.module(f"nn.Embedding({rows}, {columns})", {"weight": layer.array("embeddings")})

    def forward(site: Site) -> Result:
        x, shape = site.x, site.output_shapes[0]
        ids, suffix = Value(f"{x}.long()", x.shape, "int"), "long"
        if site.is_flattened and x.shape is not None and x.shape[1:] == (1,):
            ids, suffix = Value(f"{x}.flatten().long()", x.shape[:1], "int"), "flat"
            shape = x.shape[0], columns
        name = f"{x}_{suffix}" if str(x).endswith(("id", "ids")) else f"{x}_ids"
        return Value(f"{table}({site.body.once(ids, name)})", shape)

    return forward


@translates("Masking")
def masking(layer: Layer) -> Forward:
    """Zeros in the place of steps that are masked; the layers behind obey the mask."""
    value = literal(layer.number("mask_value"))

    def forward(site: Site) -> Result:
        x = site.x
        mask = site.body.once(Value(f"({x} != {value}).any(-1)", kind="bool"), f"{x}_mask")
        return f"{x} * {mask}.unsqueeze(-1)"

    return forward


@translates("Identity", "ActivityRegularization")
def identity(layer: Layer) -> Forward:
    """Nothing."""
    return lambda site: site.value()


@translates("EinsumDense")
def einsum_dense(layer: Layer) -> Forward:
    """nn.Linear where it is one; else torch.einsum with a kernel."""
    equation, shape = layer.text("equation"), layer.shape("kernel")
    activation = layer.activation()
    if _is_linear(equation, layer.shape("bias") if layer.has("bias") else (1,)):
        linear = _linear(layer)
        return lambda site: activate(activation, Value(f"{linear}({site.x})"))
    kernel = layer.parameter(layer.array("kernel"), shape, "kernel")
    bias = layer.parameter(layer.array("bias"), layer.shape("bias"), "bias") if layer.has("bias") else ""

    def forward(site: Site) -> Result:
        product = f"torch.einsum({literal(equation)}, {site.x}, {kernel})"
        return activate(activation, Value(f"({product} + {bias})" if bias else product))

    return forward


def _is_linear(equation: str, bias: tuple[int, ...]) -> bool:
    """Whether an equation is a matrix product over the last axis."""
    matched = re.fullmatch(r"(\.\.\.)?(\w*)(\w),(\w)(\w)->(\.\.\.)?(\w*)(\w)", equation.replace(" ", ""))
    if matched is None:
        return False
    dots, rest, last, summed, made, dots_out, rest_out, last_out = matched.groups()
    return (dots, rest, last, made) == (dots_out, rest_out, summed, last_out) and len(bias) == 1

"""Translations of Keras's folder ``core``: Dense, EinsumDense, Embedding, Masking, Identity."""

import numpy as np

from batchdot.porting.program import Value
from batchdot.porting.translation.activations import activate
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.registry import Forward, translates


@translates("Dense")
def dense(layer: Layer) -> Forward:
    """nn.Linear, whose weight is the kernel transposed."""
    inputs, units = layer.shape("kernel")
    state = {"weight": layer.array("kernel", convert=np.transpose)}
    if layer.has("bias"):
        state["bias"] = layer.array("bias")
    bias = "" if layer.has("bias") else ", bias=False"
    linear = layer.module(f"nn.Linear({inputs}, {units}{bias})", state)
    activation = layer.activation()
    return lambda site: activate(activation, Value(f"{linear}({site.x})"))


@translates("Embedding")
def embedding(layer: Layer) -> Forward:
    """nn.Embedding; ids that come as floats are truncated."""
    rows, columns = layer.shape("embeddings")
    table = layer.module(f"nn.Embedding({rows}, {columns})", {"weight": layer.array("embeddings")})
    return lambda site: f"{table}({site.x}.long())"


@translates("Masking")
def masking(layer: Layer) -> Forward:
    """Zeros in the place of steps that are masked; the layers behind obey the mask."""
    masked = layer.number("mask_value")
    return lambda site: f"{site.x} * ({site.x} != {masked:g}).any(-1, keepdim=True)"


@translates("Identity", "ActivityRegularization")
def identity(layer: Layer) -> Forward:
    """Nothing."""
    return lambda site: site.value()

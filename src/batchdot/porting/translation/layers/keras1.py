"""Translations of layers that only Keras 1 had: Highway, MaxoutDense, ParametricSoftplus, SReLU."""

from typing import TYPE_CHECKING, Any

import numpy as np

from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.layers.activations import activate
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

if TYPE_CHECKING:
    from numpy.typing import NDArray


@translates("Highway")
def highway(layer: Layer) -> Forward:
    """Two nn.Linear: what the layer makes of its input, and how much of the input stays."""
    size, _ = layer.shape("kernel")
    modules = []
    for suffix, ending in (("", ""), ("carry", "_carry")):
        state = {"weight": layer.array(f"kernel{ending}", convert=np.transpose)}
        if layer.has("bias"):
            state["bias"] = layer.array(f"bias{ending}")
        bias = "" if layer.has("bias") else ", bias=False"
        modules.append(layer.module(f"nn.Linear({size}, {size}{bias})", state, suffix))
    linear, carry = modules
    activation = layer.activation()

    def forward(site: Site) -> Result:
        x = site.x
        made = activate(activation, Value(f"{linear}({x})"))
        return f"torch.lerp({x}, {made}, torch.sigmoid({carry}({x})))"

    return forward


@translates("MaxoutDense")
def maxout_dense(layer: Layer) -> Forward:
    """One nn.Linear for all functions, and their largest."""
    count, inputs, outputs = layer.shape("kernel")

    def stacked(kernel: "NDArray[Any]") -> "NDArray[Any]":
        return kernel.transpose(0, 2, 1).reshape(count * outputs, inputs)

    state = {"linear.weight": layer.array("kernel", convert=stacked)}
    if layer.has("bias"):
        state["linear.bias"] = layer.array("bias", convert=np.ravel)
    module = layer.module(f"Maxout({inputs}, {outputs}, {count}, bias={layer.has('bias')})", state)
    return lambda site: f"{module}({site.x})"


@translates("ParametricSoftplus")
def parametric_softplus(layer: Layer) -> Forward:
    """F.softplus between two learned factors."""
    alpha, beta = (layer.parameter(layer.array(role), layer.shape(role), role) for role in ("alpha", "beta"))
    return lambda site: f"{alpha} * F.softplus({beta} * {site.x})"


@translates("SReLU")
def srelu(layer: Layer) -> Forward:
    """A small class."""
    state = {role: layer.array(role) for role in ("t_left", "a_left", "t_right", "a_right")}
    module = layer.module(f"SReLU({literal(layer.shape('t_left'))})", state)
    return lambda site: f"{module}({site.x})"

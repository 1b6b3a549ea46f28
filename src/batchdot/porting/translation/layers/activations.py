"""Translations of activations: by name, with the parameters that the record gives, and as layers."""

from collections.abc import Callable
from typing import Final

from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.record import Activation, FrozenMap
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

TEMPLATES: Final = {
    "linear": "{x}",
    "relu": "F.relu({x})",
    "sigmoid": "torch.sigmoid({x})",
    "tanh": "torch.tanh({x})",
    "softplus": "F.softplus({x})",
    "softsign": "F.softsign({x})",
    "selu": "F.selu({x})",
    "exponential": "torch.exp({x})",
    "silu": "F.silu({x})",
    "mish": "F.mish({x})",
    "relu6": "F.relu6({x})",
    "hard_silu": "F.hardswish({x})",
    "log_sigmoid": "F.logsigmoid({x})",
    "hard_tanh": "F.hardtanh({x})",
    "tanh_shrink": "F.tanhshrink({x})",
    "sparse_plus": "sparse_plus({x})",
    "sparsemax": "sparsemax({x})",
    "sparse_sigmoid": "(0.5 * {x} + 0.5).clamp(0, 1)",
    "log_softmax": "F.log_softmax({x}, dim={last})",
    "softmax": "F.softmax({x}, dim={axis})",
    "glu": "F.glu({x}, dim={axis})",
    "elu": "F.elu({x}, {alpha})",
    "celu": "F.celu({x}, {alpha})",
    "gelu": "F.gelu({x})",
    "leaky_relu": "F.leaky_relu({x}, {negative_slope})",
    "hard_shrink": "F.hardshrink({x}, {threshold})",
    "soft_shrink": "F.softshrink({x}, {threshold})",
    "squareplus": "squareplus({x}, {b})",
    "threshold": "F.threshold({x}, {theta}, 0)",
    "hard_sigmoid": "({slope} * {x} + {offset}).clamp(0, 1)",
    "custom": "{function}({x})",
}
"""Each activation as an expression of its parameters and of ``x``, which stands in it once."""

TORCH_DEFAULTS: Final = {
    "elu": {"alpha": 1.0},
    "celu": {"alpha": 1.0},
    "hard_shrink": {"threshold": 0.5},
    "soft_shrink": {"threshold": 0.5},
}
"""Parameters that PyTorch's functions have unless told otherwise."""


def template_of(activation: Activation, value: Value) -> str:
    """Return an activation as a template: an expression with ``{x}`` in the place of the tensor.

    Args:
        activation: name and parameters.
        value: the tensor, for the place of an axis.

    Raises:
        RefusedError: PyTorch has no such function, and neither have we.

    >>> from batchdot.porting.record import FrozenMap
    >>> template_of(Activation("hard_sigmoid", FrozenMap({"slope": 0.2, "offset": 0.5})), Value("x"))
    '(0.2 * {x} + 0.5).clamp(0, 1)'
    """
    name, parameters = activation.name, dict(activation.parameters)
    if activation.is_custom or name not in TEMPLATES:
        raise RefusedError(f"there is no translation of the activation {name!r}")
    if parameters == TORCH_DEFAULTS.get(name):
        return f"F.{name.replace('_', '')}({{x}})"
    if name == "gelu" and parameters.get("approximate"):
        return 'F.gelu({x}, approximate="tanh")'
    if name == "hard_sigmoid" and parameters == {"slope": 1 / 6, "offset": 0.5}:
        return "F.hardsigmoid({x})"
    if name == "relu" and parameters:
        return _relu(**parameters)  # type: ignore[arg-type]
    axis = parameters.get("axis", -1)
    axes = axis if isinstance(axis, tuple) else (axis,)
    if name == "softmax" and len(axes) > 1:
        places = ", ".join(str(value.axis(each)) for each in axes if isinstance(each, int))
        return f"softmax_over({{x}}, ({places}))"
    return TEMPLATES[name].format(
        x="{x}",
        last=value.axis(-1),
        **{
            key: part if name == "custom" else literal(part)
            for key, part in parameters.items()
            if key != "axis"
        },
        axis=value.axis(axes[0]) if isinstance(axes[0], int) else -1,
    )


def _relu(max_value: float | None, negative_slope: float | None, threshold: float | None) -> str:
    """Return the rectifier with a ceiling, a slope below its threshold, and a threshold."""
    slope, threshold = negative_slope or 0.0, threshold or 0.0
    if threshold:
        numbers = (threshold, slope) if max_value is None else (threshold, slope, max_value)
        return f"thresholded_relu({{x}}, {', '.join(map(literal, numbers))})"
    if max_value is None:
        return f"F.leaky_relu({{x}}, {literal(slope)})" if slope else "F.relu({x})"
    if slope:
        return f"F.leaky_relu({{x}}, {literal(slope)}).clamp(max={literal(max_value)})"
    return "F.relu6({x})" if max_value == 6 else f"{{x}}.clamp(0, {literal(max_value)})"


def activate(activation: Activation, value: Value) -> Value:
    """Return a tensor under an activation, as an expression in the order of axes that the tensor has.

    >>> activate(Activation("relu"), Value("self.dense(x)")).text
    'F.relu(self.dense(x))'
    """
    return value.with_text(template_of(activation, value).format(x=value))


MODULES: Final = {
    "linear": "nn.Identity()",
    "softmax": "nn.Softmax(dim={axis})",
    "log_softmax": "nn.LogSoftmax(dim=-1)",
    "glu": "nn.GLU(dim={axis})",
    "elu": "nn.ELU({alpha})",
    "celu": "nn.CELU({alpha})",
    "leaky_relu": "nn.LeakyReLU({negative_slope})",
    "hard_shrink": "nn.Hardshrink({threshold})",
    "soft_shrink": "nn.Softshrink({threshold})",
    "threshold": "nn.Threshold({theta}, 0)",
}
"""Activations with parameters as modules."""


def as_function(activation: Activation, define: Callable[[str, str], str]) -> str:
    """Return an activation as the expression of a function of one tensor, for a module's constructor.

    Args:
        activation: name and parameters.
        define: adds a function of ``x`` to the file, by name and expression; returns its name.

    >>> from batchdot.porting.record import FrozenMap
    >>> elu = Activation("elu", FrozenMap({"alpha": 0.5}))
    >>> as_function(Activation("tanh"), max), as_function(elu, max)
    ('torch.tanh', 'nn.ELU(0.5)')
    """
    template = template_of(activation, Value("x"))
    function, _, rest = template.partition("(")
    if rest == "{x})" and function:
        return function
    name, parameters = activation.name, dict(activation.parameters)
    if name == "hard_sigmoid" and parameters == {"slope": 0.2, "offset": 0.5}:
        return "hard_sigmoid"
    axis = parameters.get("axis", -1)
    if name in MODULES and not isinstance(axis, tuple):
        return MODULES[name].format(**parameters)
    return define(f"{name}_activation", template.format(x="x"))


@translates("Activation")
def activation(layer: Layer) -> Forward:
    """The function by its name."""
    function = layer.activation()
    return lambda site: activate(function, site.value())


@translates("ReLU", "LeakyReLU", "ELU", "ThresholdedReLU")
def activation_layer(layer: Layer) -> Forward:
    """The function that the layer is, with its arguments as parameters."""
    name = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu"}.get(layer.record.class_name, "threshold")
    function = Activation(name, layer.config)
    return lambda site: activate(function, site.value())


@translates("Softmax")
def softmax(layer: Layer) -> Forward:
    """F.softmax; what a mask excludes gets the lowest number there is, and where all is excluded, 0."""
    function = Activation("softmax", FrozenMap({"axis": layer.config["axis"]}))

    def forward(site: Site) -> Result:
        mask = site.mask()
        if mask is None:
            return activate(function, site.value())
        x = site.x
        masked = f"{x}.masked_fill(~{mask}, torch.finfo({x}.dtype).min)"
        shares = activate(function, x.with_text(masked))
        return f"{site.named(shares, 'shares')} * {mask}" if "zeroes_masked" in site.arguments else shares

    return forward


@translates("PReLU")
def prelu(layer: Layer) -> Forward:
    """nn.PReLU where there is one slope a channel, or one in all; else a parameter."""
    shape = layer.shape("alpha")
    several = [axis for axis, size in enumerate(shape) if size != 1]
    if several in ([], [0]):
        module = _prelu_module(layer, shape)
        return lambda site: f"{module}({site.x})" if several else site.each(f"{module}({{x}})")
    if several == [len(shape) - 1] and len(shape) > 2:
        module = _prelu_module(layer, shape)
        return lambda site: (x := site.first()).with_text(f"{module}({x})")
    slopes = layer.parameter(layer.array("alpha"), shape, "alpha")
    return lambda site: f"torch.where({site.x} > 0, {site.x}, {slopes} * {site.x})"


def _prelu_module(layer: Layer, shape: tuple[int, ...]) -> str:
    count = max(shape, default=1)
    return layer.module(
        f"nn.PReLU({count})" if count > 1 else "nn.PReLU()",
        {"weight": layer.array("alpha", convert=lambda alpha: alpha.reshape(-1))},
    )

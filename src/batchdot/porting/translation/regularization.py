"""Translations of Keras's folder ``regularization``: dropouts and noises, identities in ``eval()``."""

from collections.abc import Callable
from functools import cache

from batchdot.porting.program.expressions import literal
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

MODULES = {"Dropout": "nn.Dropout", "AlphaDropout": "nn.AlphaDropout", "GaussianDropout": "GaussianDropout"}


@translates("Dropout", "AlphaDropout", "GaussianDropout")
def dropout(layer: Layer) -> Forward:
    """nn.Dropout and its kin; what is shared along axes, and normal noise, is a small class."""
    name, rate = layer.record.class_name, _rate(layer)
    shape = layer.config.get("noise_shape")
    if shape is None:
        return _in_training(
            layer, f"{MODULES[name]}({rate})", lambda site, module: site.each(f"{module}({{x}})")
        )
    if name == "AlphaDropout":
        raise RefusedError("its noise_shape has no counterpart")
    return _in_training(
        layer, f"SharedDropout({rate}, {literal(shape)})", lambda site, module: f"{module}({site.x})"
    )


@translates("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
def spatial_dropout(layer: Layer) -> Forward:
    """nn.Dropout1d, 2d or 3d, which drop whole channels."""
    is_first = layer.config.get("data_format") == "channels_first"

    def write(site: Site, module: str) -> Result:
        x = site.x if is_first else site.first()
        return x.with_text(f"{module}({x})")

    return _in_training(layer, f"nn.Dropout{layer.record.class_name[-2]}d({_rate(layer)})", write)


@translates("GaussianNoise")
def gaussian_noise(layer: Layer) -> Forward:
    """A small class."""
    expression = f"GaussianNoise({literal(layer.number('stddev'))})"
    return _in_training(layer, expression, lambda site, module: site.each(f"{module}({{x}})"))


def _rate(layer: Layer) -> str:
    rate = layer.number("rate")
    if not 0 <= rate < 1:
        raise RefusedError(f"its rate is {rate}")
    return literal(rate)


def _in_training(layer: Layer, expression: str, write: Callable[[Site, str], Result]) -> Forward:
    """Return what writes calls of a module that acts in training only, unless the call itself says so."""
    module = cache(lambda: layer.module(expression))

    def forward(site: Site) -> Result:
        training = site.arguments.get("training", layer.training)
        if training is False:
            return site.value()
        if training is True:
            if not expression.startswith("nn.Dropout("):
                raise RefusedError("it is called with training=True")
            return site.each(f"F.dropout({{x}}, {_rate(layer)})")
        return write(site, module())

    return forward

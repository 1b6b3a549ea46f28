"""Translations of Keras's folder ``regularization``: dropouts and noises, identities in ``eval()``."""

from collections.abc import Callable
from functools import cache

from batchdot.porting.program.expressions import literal
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site


@translates("Dropout", "AlphaDropout")
def dropout(layer: Layer) -> Forward:
    """nn.Dropout or nn.AlphaDropout; a function where the noise is shared along axes."""
    rate, is_alpha = _rate(layer), layer.record.class_name == "AlphaDropout"
    shape = layer.config.get("noise_shape")
    if shape is not None:
        name = "shared_alpha_dropout" if is_alpha else "shared_dropout"
        return _by_function(layer, f"{name}({{x}}, {rate}, {literal(shape)}, {{training}})", in_order=True)
    if is_alpha:
        always = f"F.alpha_dropout({{x}}, {rate}, training=True)"
        return _by_module(layer, f"nn.AlphaDropout({rate})", always, Site.each)
    return _by_module(layer, f"nn.Dropout({rate})", f"F.dropout({{x}}, {rate})", Site.each)


@translates("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
def spatial_dropout(layer: Layer) -> Forward:
    """nn.Dropout1d, 2d or 3d, which drop whole channels."""
    is_first = layer.config.get("data_format") == "channels_first"
    name, rate = f"ropout{layer.record.class_name[-2]}d", _rate(layer)

    def write(site: Site, template: str) -> Result:
        x = site.x if is_first else site.first()
        return x.with_text(template.format(x=x))

    return _by_module(layer, f"nn.D{name}({rate})", f"F.d{name}({{x}}, {rate})", write)


@translates("GaussianNoise")
def gaussian_noise(layer: Layer) -> Forward:
    """Normal noise that is added."""
    return _by_function(layer, f"add_noise({{x}}, {literal(layer.number('stddev'))}, {{training}})")


@translates("GaussianDropout")
def gaussian_dropout(layer: Layer) -> Forward:
    """Normal noise around 1 as a factor."""
    return _by_function(layer, f"multiply_noise({{x}}, {_rate(layer)}, {{training}})")


def _rate(layer: Layer) -> str:
    rate = layer.number("rate")
    if not 0 <= rate < 1:
        raise RefusedError(f"its rate is {rate}")
    return literal(rate)


def _training(layer: Layer, site: Site) -> object:
    """Return True or False where a call, or that of the model around it, says so; else None."""
    said = site.arguments.get("training")
    return layer.training if said is None else said


def _by_module(layer: Layer, expression: str, always: str, write: Callable[[Site, str], Result]) -> Forward:
    """Return what writes calls of a module, or, where they say ``training=True``, of a function.

    Args:
        layer: the layer.
        expression: builds the module.
        always: the function as a template, with ``{x}`` in the place of the input.
        write: writes a template.
    """
    module = cache(lambda: layer.module(expression))

    def forward(site: Site) -> Result:
        training = _training(layer, site)
        if training is False:
            return site.value()
        return write(site, always if training is True else f"{module()}({{x}})")

    return forward


def _by_function(layer: Layer, template: str, *, in_order: bool = False) -> Forward:
    """Return what writes calls of a function that is told whether the model trains.

    Args:
        layer: the layer.
        template: an expression with ``{x}`` and ``{training}``.
        in_order: whether the function minds the order of axes.
    """

    def forward(site: Site) -> Result:
        training = _training(layer, site)
        if training is False:
            return site.value()
        value = site.x if in_order else site.value()
        said = "True" if training is True else "self.training"
        return value.with_text(template.format(x=value, training=said))

    return forward

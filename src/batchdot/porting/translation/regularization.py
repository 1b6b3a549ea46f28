"""Translations of Keras's folder ``regularization``: dropouts and noises, identities in ``eval()``."""

from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.registry import Forward, translates


@translates("Dropout")
def dropout(layer: Layer) -> Forward:
    """nn.Dropout."""
    module = layer.module(f"nn.Dropout({layer.number('rate'):g})")
    return lambda site: site.each(f"{module}({{x}})")

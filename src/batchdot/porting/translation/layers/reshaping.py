"""Translations of Keras's folder ``reshaping``: Flatten, Reshape, Permute, RepeatVector."""

import math

from batchdot.porting.program import Value
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site


@translates("Flatten")
def flatten(layer: Layer) -> Forward:
    """``x.flatten(1)``; of a model with channels first, in the order of channels last."""
    moves = layer.text("data_format") == "channels_first"

    def forward(site: Site) -> Result:
        x = site.x
        if x.rank == 1:
            return f"{x}.unsqueeze(1)"
        if moves and (x.rank or 0) > 2:
            return f"{x}.movedim(1, -1).flatten(1)"
        return x if x.rank == 2 else f"{x}.flatten(1)"

    return forward


@translates("Reshape")
def reshape(layer: Layer) -> Forward:
    """``x.reshape``, the batch apart."""
    sizes = layer.integers("target_shape")

    def forward(site: Site) -> Result:
        x, shape = site.x, site.output_shapes[0]
        _check_count(x, sizes)
        known = sizes if -1 not in sizes or shape is None else shape[1:]
        if None not in known and -1 not in known:
            return f"{x}.reshape(-1, {', '.join(map(str, known))})"
        flat = f"{x}.flatten(1)" if x.rank != 2 else str(x)  # which a batch of 0 allows
        return f"{flat}.unflatten(1, {sizes})"

    return forward


def _check_count(x: Value, sizes: tuple[int, ...]) -> None:
    """Raise RefusedError if samples of a tensor do not have the elements that a shape asks for."""
    given = (x.shape or (None,))[1:]
    if x.shape is None or None in given:
        return
    count = math.prod(size for size in given if size is not None)
    rest = math.prod(size for size in sizes if size != -1)
    if count % rest if -1 in sizes and rest else count != rest:
        raise RefusedError(f"it turns samples of shape {given} into {sizes}, which has other elements")


@translates("Permute")
def permute(layer: Layer) -> Forward:
    """``x.permute``, or ``x.mT`` of two axes."""
    dims = layer.integers("dims")
    if dims == tuple(range(1, len(dims) + 1)):
        return lambda site: site.value()
    if dims == (2, 1):
        return lambda site: f"{site.x}.mT"
    return lambda site: f"{site.x}.permute(0, {', '.join(map(str, dims))})"


@translates("RepeatVector")
def repeat_vector(layer: Layer) -> Forward:
    """``x.expand`` along a new axis of time, which copies nothing."""
    count = layer.integer("n")
    return lambda site: f"{site.x}.unsqueeze(1).expand(-1, {count}, -1)"

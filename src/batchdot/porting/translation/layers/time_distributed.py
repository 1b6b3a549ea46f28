"""Translation of TimeDistributed: the layer inside of it, with the steps of all sequences as one batch."""

from dataclasses import replace

from batchdot.porting.program import Value, channels_last
from batchdot.porting.record import Activation, LayerRecord, Shape
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

ANY_RANK = (
    *("Dense", "Embedding", "Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Rescaling"),
    *("Dropout", "GaussianNoise", "GaussianDropout", "ActivityRegularization", "Identity"),
    "LayerNormalization",
)
"""Layers that do to the last axis, or to each number, what they do whatever the axes in front."""


@translates("TimeDistributed")
def time_distributed(layer: Layer) -> Forward:
    """The layer itself where a further axis in front changes nothing; else the layer on (B * T, ...)."""
    if _takes_any_rank(layer.record.inner["layer"]):
        return layer.inner("layer", input_shapes=layer.input_shapes)
    inner = layer.inner("layer", input_shapes=tuple(map(per_step, layer.input_shapes)))

    def forward(site: Site) -> Result:
        x = site.named(site.value())
        steps, sizes = _folded(site, x)
        mask = site.mask()
        inside = replace(
            site,
            name=f"{site.name}_steps",
            arguments={"inputs": steps},
            masks={} if mask is None else {"inputs": mask.with_text(f"{mask}.flatten(0, 1)")},
            output_shapes=tuple(map(per_step, site.output_shapes)),
        )
        result = inner(inside)
        if isinstance(result, tuple):
            raise RefusedError("the layer inside of it returns several tensors")
        return _unfolded(site, inside, result if isinstance(result, Value) else Value(result), sizes)

    return forward


def _folded(site: Site, x: Value) -> tuple[Value, str]:
    """Return a tensor with batch and time as one axis, and the expression of their sizes.

    Behind another TimeDistributed that is what the layer in there returned, in the order of axes that it has.
    """
    sizes = str(site.body.known.get(f"{x}.shape[:2]", f"{x}.shape[:2]"))
    known = site.body.known.get(f"{x}.flatten(0, 1)")
    if known is not None:
        return known, sizes
    last = site.last(x)
    return Value(f"{last}.flatten(0, 1)", per_step(last.shape), last.kind), sizes


def _unfolded(site: Site, inside: Site, result: Value, sizes: str) -> Value:
    """Return the result with batch and time as two axes, for those who do not go on with it as it is."""
    shape = result.shape or inside.output_shapes[0]
    made = replace(result, shape=shape)
    steps = site.body.assign(made, inside.name)
    text = f"{channels_last(steps, site.body)}.unflatten(0, {sizes})"
    apart = site.named(Value(text, site.output_shapes[0], made.kind))
    site.body.known[f"{apart}.flatten(0, 1)"] = steps
    site.body.known[f"{apart}.shape[:2]"] = Value(sizes)
    return apart


def per_step(shape: Shape) -> Shape:
    """Return the shape of (B * T, ...) for that of (B, T, ...)."""
    return None if shape is None else (None, *shape[2:])


def _takes_any_rank(record: LayerRecord) -> bool:
    """Whether a layer does the same to (B, T, ...) as to the steps one by one."""
    config, activation = record.config, record.config.get("activation")
    if record.is_a("TimeDistributed"):
        return _takes_any_rank(record.inner["layer"])
    if not record.is_a(*ANY_RANK):
        return False
    if record.is_a("Dropout"):
        return config.get("noise_shape") is None
    if record.is_a("LayerNormalization"):
        return config["axis"] in (-1, (-1,))
    return not isinstance(activation, Activation) or activation.parameters.get("axis", -1) in (-1, (-1,))

"""Translations of layers that normalize by statistics of the batch, of a sample, or of the training data."""

from typing import TYPE_CHECKING

import numpy as np

from batchdot.porting.program import Array, Value
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.registry import Forward, translates
from batchdot.porting.translation.site import Site
from batchdot.porting.translation.space import keywords, number, result, tuple_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

RENORM = (
    "{name}: batch renormalization trains as plain batch normalization here; its outputs in eval() are Keras's."
)
BATCH_STATISTICS = (
    "{name}: Keras 1's BatchNormalization(mode=2) normalizes by the statistics of the batch in eval() too, so that"
    " a sample's output depends on the others; set track_running_stats=True to change that."
)
POWER_ITERATION = (
    "{name}: the kernel is the normalized one that was stored; to go on normalizing it while training, apply"
    " torch.nn.utils.parametrizations.spectral_norm."
)


def _affine(layer: Layer, count: int, scale: str = "gamma", offset: str = "beta") -> dict[str, Array]:
    """Return weight and bias of a PyTorch normalization; what Keras has not is one or zero, and not trained."""
    if not (layer.has(scale) or layer.has(offset)):
        return {}
    state = {}
    for key, role, fill in (("weight", scale, 1), ("bias", offset, 0)):
        state[key] = layer.array(role, convert=np.ravel) if layer.has(role) else layer.constant(np.full(count, fill))
    return state


def _positive(axis: int, rank: int) -> int:
    return axis % rank


@translates("BatchNormalization")
def batch_normalization(layer: Layer) -> Forward:
    """nn.BatchNorm1d to 3d where they train alike; see `_module` for the rest."""
    mode = layer.integer("mode")
    if mode == 1:
        return _sample_norm(layer)
    if layer.config["renorm"]:
        layer.note(RENORM.format(name=layer.name))
    if mode == 2:
        layer.note(BATCH_STATISTICS.format(name=layer.name))
    rank = None if layer.input_shape is None else len(layer.input_shape)
    axes = layer.integers("axis")
    if len(axes) > 1:
        return _several_axes(layer, axes)
    (axis,) = axes
    if rank is not None:
        axis = axis % rank - rank
    flat = rank is None or not 2 <= rank <= 5
    module = _batch_norm(layer, 1 if rank is None or flat else max(rank - 2, 1))
    if flat and axis != -1:
        raise RefusedError(f"its input has {rank} axes, and the axis is not the last")

    def forward(site: Site) -> Value:
        x = site.value()
        if flat:
            x = site.x
            return x.with_text(f"{module}({x}.flatten(0, -2)).view_as({x})")
        if axis == -1:
            x = site.first(x)
            return x.with_text(f"{module}({x})")
        x = site.x
        at = axis + rank
        return x.with_text(f"{module}({x})" if at == 1 else f"{module}({x}.transpose(1, {at})).transpose(1, {at})")

    return forward


def _batch_norm(layer: Layer, space: int) -> str:
    """Add the module: PyTorch's where it trains as the version of Keras that wrote the file did.

    PyTorch remembers the variance of a batch with Bessel's correction. So do Keras 2, and TensorFlow for images
    (its fused kernel); the others remember it without. A frozen layer normalizes by what it remembers from TensorFlow
    2.0 on; before, by the batch, which it did not remember.
    """
    frozen = not layer.trainable or layer.training is False
    rule = layer.text("running_variance")
    corrected = rule == "sample" or (rule == "sample_if_fused" and space == 2)
    count = int(np.prod(_statistics_shape(layer)))
    state = _affine(layer, count)
    momentum = 1 - layer.number("momentum")
    if layer.integer("mode") == 2:
        more = keywords(eps=number(layer.number("epsilon")), affine=None if state else "False")
        return layer.module(f"nn.BatchNorm{space}d({count}{more}, track_running_stats=False)", state)
    state |= {
        "running_mean": layer.array("moving_mean", convert=np.ravel),
        "running_var": layer.array("moving_variance", convert=np.ravel),
        "num_batches_tracked": layer.constant(np.array(0)),
    }
    name = f"nn.BatchNorm{space}d" if corrected else "BatchNorm"
    if frozen and (layer.flag("frozen_infers") or layer.training is False):
        name, momentum = "FrozenBatchNorm", 0.1
    elif frozen:
        name, momentum = f"nn.BatchNorm{space}d", 0.0
    more = keywords(
        eps=number(layer.number("epsilon")),
        momentum=None if number(momentum) == "0.1" else number(momentum),
        affine=None if "weight" in state else "False",
    )
    return layer.module(f"{name}({count}{more})", state)


def _statistics_shape(layer: Layer) -> tuple[int, ...]:
    roles = ("moving_mean", "gamma", "beta")
    return next(layer.shape(role) for role in roles if layer.has(role))


def _several_axes(layer: Layer, axes: tuple[int, ...]) -> Forward:
    """Normalize over all axes but several: those are flattened into one, behind the batch."""
    if layer.input_shape is None:
        raise RefusedError("its input's shape is not known")
    rank = len(layer.input_shape)
    kept = sorted(axis % rank for axis in axes)
    if 0 in kept:
        raise RefusedError("it normalizes each sample of a batch by itself")
    module = _batch_norm(layer, 1)
    order = (0, *kept, *(axis for axis in range(1, rank) if axis not in kept))
    back = tuple(int(axis) for axis in np.argsort(order))
    sizes = tuple(layer.input_shape[axis] for axis in kept)
    rest = rank - 1 - len(kept)

    def forward(site: Site) -> Value:
        x = site.x
        moved = str(x) if order == back == tuple(range(rank)) else f"{x}.permute{tuple_text(order)}"
        text = f"{module}({moved}.flatten(1, {len(kept)}){'.flatten(2)' if rest > 1 else ''})"
        if moved == str(x) and rest == 0:
            return x.with_text(f"{text}.view_as({x})")
        if rest > 1:
            raise RefusedError("it keeps several axes of an image")
        text = f"{text}.unflatten(1, {tuple_text([size or -1 for size in sizes])})"
        return x.with_text(text if moved == str(x) else f"{text}.permute{tuple_text(back)}")

    return forward


def _sample_norm(layer: Layer) -> Forward:
    count = int(np.prod(_statistics_shape(layer)))
    module = layer.module(f"SampleNorm({count}, eps={number(layer.number('epsilon'))})", _affine(layer, count))
    return lambda site: site.x.with_text(f"{module}({site.x})")


@translates("LayerNormalization")
def layer_normalization(layer: Layer) -> Forward:
    """nn.LayerNorm over the last axes; other axes are moved there and back."""
    if layer.flag("rms_scaling"):
        return _deviation_scaling(layer)
    shape = layer.shape("gamma") if layer.has("gamma") else layer.shape("beta") if layer.has("beta") else None
    return _over_axes(layer, shape, "nn.LayerNorm", "beta")


def _over_axes(layer: Layer, shape: tuple[int, ...] | None, name: str, offset: str) -> Forward:
    axes = layer.integers("axis")
    rank = None if layer.input_shape is None else len(layer.input_shape)
    if rank is not None:
        axes = tuple(sorted(axis % rank - rank for axis in axes))
    elif any(axis >= 0 for axis in axes):
        raise RefusedError("its input's shape is not known")
    if shape is None:
        known = tuple(layer.input_shape[axis] for axis in axes) if layer.input_shape else (None,)
        shape = tuple(size for size in known if size is not None)
        if len(shape) < len(known):
            raise RefusedError("it normalizes over an axis of unknown size")
    state = {}
    if layer.has("gamma") or layer.has("beta"):
        state["weight"] = layer.array("gamma") if layer.has("gamma") else layer.constant(np.ones(shape))
    if layer.has("beta"):
        state["bias"] = layer.array("beta")
    more = keywords(
        eps=number(layer.number("epsilon")),
        elementwise_affine=None if state else "False",
        bias="False" if state and "bias" not in state else None,
    )
    size = str(shape[0]) if len(shape) == 1 else tuple_text(shape)
    module = layer.module(f"{name}({size}{more})", state)
    last = tuple(range(-len(axes), 0))

    def forward(site: Site) -> Value:
        x = site.x
        if axes == last:
            return x.with_text(f"{module}({x})")
        if len(axes) == 1:
            (axis,) = axes
            move = ".mT" if axis == -2 else f".transpose({axis}, -1)"
            return x.with_text(f"{module}({x}{move}){move}")
        return x.with_text(f"{module}({x}.movedim({axes}, {last})).movedim({last}, {axes})")

    return forward


def _deviation_scaling(layer: Layer) -> Forward:
    """Keras 3's rms_scaling=True divides by the standard deviation, though it subtracts no mean."""
    axes = tuple(layer.integers("axis"))
    gamma = layer.parameter(layer.array("gamma"), layer.shape("gamma"), "weight") if layer.has("gamma") else ""
    dim = str(axes[0]) if len(axes) == 1 else tuple_text(axes)
    if gamma and (len(axes) > 1 or layer.input_shape is None or axes[0] % len(layer.input_shape) != len(layer.input_shape) - 1):
        raise RefusedError("it scales by the deviation over other axes than the last")

    def forward(site: Site) -> Value:
        x = site.x
        scaled = f"{x} * torch.rsqrt({x}.var({dim}, correction=0, keepdim=True) + {number(layer.number('epsilon'))})"
        return x.with_text(f"({scaled} * {gamma})" if gamma else f"({scaled})")

    return forward


@translates("RMSNormalization")
def rms_normalization(layer: Layer) -> Forward:
    """nn.RMSNorm."""
    axes = layer.integers("axis")
    shape = layer.shape("scale")
    module = layer.module(
        f"nn.RMSNorm({shape[0] if len(shape) == 1 else tuple_text(shape)}, eps={layer.number('epsilon')!r})",
        {"weight": layer.array("scale")},
    )
    if axes != tuple(range(-len(axes), 0)):
        rank = None if layer.input_shape is None else len(layer.input_shape)
        if rank is None or sorted(axis % rank for axis in axes) != list(range(rank - len(axes), rank)):
            raise RefusedError("it normalizes over other axes than the last")
    return lambda site: site.x.with_text(f"{module}({site.x})")


@translates("GroupNormalization")
def group_normalization(layer: Layer) -> Forward:
    """nn.GroupNorm, of channels behind the batch."""
    axis, groups = layer.integer("axis"), layer.integer("groups")
    shape = layer.input_shape
    sizes = [layer.shape(role)[0] for role in ("gamma", "beta") if layer.has(role)]
    count = sizes[0] if sizes else None if shape is None else shape[axis]
    if count is None:
        raise RefusedError("the number of channels of its input is not known")
    state = _affine(layer, count)
    more = keywords(eps=number(layer.number("epsilon")), affine=None if state else "False")
    module = layer.module(f"nn.GroupNorm({count if groups == -1 else groups}, {count}{more})", state)
    is_last = axis == -1 or (shape is not None and axis % len(shape) == len(shape) - 1)

    def forward(site: Site) -> Value:
        if is_last:
            x = site.first()
            return x.with_text(f"{module}({x})")
        x = site.x
        at = axis % (x.rank or 4)
        return x.with_text(f"{module}({x})" if at == 1 else f"{module}({x}.transpose(1, {at})).transpose(1, {at})")

    return forward


@translates("UnitNormalization")
def unit_normalization(layer: Layer) -> Forward:
    """F.normalize, along the axis wherever it stands."""
    axes = layer.integers("axis")
    least = number(layer.number("epsilon"))

    def forward(site: Site) -> Value:
        x = site.value()
        if len(axes) == 1:
            eps = "" if least == "1e-12" else f", eps={least}"
            axis = x.axis(axes[0])
            dim = axis if x.rank is None or axis % x.rank != x.rank - 1 else -1
            return x.with_text(f"F.normalize({x}, dim={dim}{eps})")
        dim = tuple_text([x.axis(axis) for axis in axes])
        return x.with_text(f"({x} / torch.linalg.vector_norm({x}, dim={dim}, keepdim=True).clamp_min({least}))")

    return forward


@translates("SpectralNormalization")
def spectral_normalization(layer: Layer) -> Forward:
    """The layer inside, whose stored kernel is the normalized one."""
    layer.note(POWER_ITERATION.format(name=layer.name))
    inside = layer.inner("layer")
    return lambda site: site.run(inside, site.value())

"""Translations of layers that normalize by statistics of the batch, of a sample, or of the training data."""

import numpy as np

from batchdot.porting.program import Array, Value
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.layers.space import keywords, number, tuple_text
from batchdot.porting.translation.registry import Forward, translates
from batchdot.porting.translation.site import Site

RENORM = "{name}: batch renormalization trains as plain batch normalization; eval() is not concerned."
BATCH_STATISTICS = (
    "{name}: mode 2 of Keras 1's BatchNormalization normalizes by the statistics of the batch in eval() too:"
    " a sample's output depends on the others; that of nn.BatchNorm with running statistics does not."
)
POWER_ITERATION = (
    "{name}: the kernel is the normalized one that was stored; to go on normalizing it while training, apply"
    " torch.nn.utils.parametrizations.spectral_norm."
)
NO_SHAPE = "its input's shape is not known"


def _affine(layer: Layer, shape: int | tuple[int, ...]) -> dict[str, Array]:
    """Return weight and bias of a normalization; what Keras has not is 1 or 0, and does not learn."""
    if not (layer.has("gamma") or layer.has("beta")):
        return {}
    state = {}
    for key, role, fill in (("weight", "gamma", 1.0), ("bias", "beta", 0.0)):
        has = layer.has(role)
        state[key] = layer.array(role, convert=np.ravel) if has else layer.constant(np.full(shape, fill))
    return state


def _rank(layer: Layer) -> int | None:
    return None if layer.input_shape is None else len(layer.input_shape)


def _behind_batch(x: Value, module: str, axis: int) -> Value:
    """Return a tensor under a module that wants axis 1 to be the one that Keras has at ``axis``."""
    if axis == 1:
        return x.with_text(f"{module}({x})")
    swap = f".transpose(1, {axis})"
    return x.with_text(f"{module}({x}{swap}){swap}")


@translates("BatchNormalization")
def batch_normalization(layer: Layer) -> Forward:
    """nn.BatchNorm1d to 3d where they train alike; see `_batch_norm` for the rest."""
    if layer.integer("mode") == 1:
        return _sample_norm(layer)
    if layer.integer("mode") == 2:
        layer.note(BATCH_STATISTICS.format(name=layer.name))
    if layer.config["renorm"]:
        layer.note(RENORM.format(name=layer.name))
    axes, rank = layer.integers("axis"), _rank(layer)
    if len(axes) > 1:
        return _several_axes(layer, axes)
    if rank is None or rank > 5:
        return _flattened(layer, axes[0], rank)
    axis = axes[0] % rank
    module = _batch_norm(layer, max(rank - 2, 1))

    def forward(site: Site) -> Value:
        if axis == rank - 1:
            x = site.first()
            return x.with_text(f"{module}({x})")
        return _behind_batch(site.x, module, axis)

    return forward


def _flattened(layer: Layer, axis: int, rank: int | None) -> Forward:
    """Normalize the last axis of a tensor that has too many for PyTorch, or nobody knows how many."""
    if axis not in (-1, None if rank is None else rank - 1):
        raise RefusedError(NO_SHAPE if rank is None else f"its input has {rank} axes")
    module = _batch_norm(layer, 1)
    return lambda site: site.x.with_text(f"{module}({site.x}.flatten(0, -2)).view_as({site.x})")


def _batch_norm(layer: Layer, space: int) -> str:
    """Add the module: PyTorch's where it trains as the version of Keras that wrote the file did.

    PyTorch remembers the variance of a batch with Bessel's correction. So do Keras 2 and TensorFlow's fused
    kernel (for images); the others remember it without. A frozen layer normalizes by what it remembers,
    from TensorFlow 2.0 on; before, it normalized by the batch and remembered nothing.
    """
    count = _features(layer)
    state = _affine(layer, count)
    eps, affine = number(layer.number("epsilon")), None if state else "False"
    if layer.integer("mode") == 2:
        more = keywords(eps=eps, affine=affine, track_running_stats="False")
        return layer.module(f"nn.BatchNorm{space}d({count}{more})", state)
    state |= {
        "running_mean": layer.array("moving_mean", convert=np.ravel),
        "running_var": layer.array("moving_variance", convert=np.ravel),
        "num_batches_tracked": layer.constant(np.array(0)),
    }
    name, momentum = _training_of(layer, space)
    return layer.module(f"{name}({count}{keywords(eps=eps, momentum=momentum, affine=affine)})", state)


def _training_of(layer: Layer, space: int) -> tuple[str, str | None]:
    """Return the class that trains as Keras does, and its momentum."""
    if layer.training is False or (layer.flag("frozen_infers") and not layer.trainable):
        return "FrozenBatchNorm", None
    rule, momentum = layer.text("running_variance"), 1 - layer.number("momentum")
    if not layer.trainable:
        rule, momentum = "sample", 0.0
    is_corrected = rule == "sample" or (rule == "sample_if_fused" and space == 2)
    name = f"nn.BatchNorm{space}d" if is_corrected else "BatchNorm"
    return name, None if number(momentum) == "0.1" else number(momentum)


def _features(layer: Layer) -> int:
    roles = (role for role in ("moving_mean", "gamma", "beta") if layer.has(role))
    return int(np.prod(layer.shape(next(roles, "moving_mean"))))


def _several_axes(layer: Layer, axes: tuple[int, ...]) -> Forward:
    """Normalize over all axes but several: these are brought behind the batch and flattened into one."""
    rank = _rank(layer)
    if rank is None:
        raise RefusedError(NO_SHAPE)
    kept = sorted(axis % rank for axis in axes)
    if kept[0] == 0:
        raise RefusedError("it normalizes every sample of the batch by itself")
    module = _batch_norm(layer, 1)
    order = (0, *kept, *(axis for axis in range(1, rank) if axis not in kept))
    back = tuple(int(axis) for axis in np.argsort(order))
    rest = rank - 1 - len(kept)

    def forward(site: Site) -> Value:
        x = moved = site.x
        if order != back or order != tuple(range(rank)):
            moved = site.named(Value(f"{x}.permute{tuple_text(order)}"), "moved")
        flat = f"{moved}.flatten(1, {len(kept)})" + (".flatten(2)" if rest > 1 else "")
        text = f"{module}({flat}).view_as({moved})"
        return x.with_text(text if moved is x else f"{text}.permute{tuple_text(back)}")

    return forward


def _sample_norm(layer: Layer) -> Forward:
    count = _features(layer)
    eps = number(layer.number("epsilon"))
    module = layer.module(f"SampleNorm({count}, eps={eps})", _affine(layer, count))
    return lambda site: site.x.with_text(f"{module}({site.x})")


@translates("LayerNormalization")
def layer_normalization(layer: Layer) -> Forward:
    """nn.LayerNorm over the last axes; other axes are moved there and back."""
    if layer.flag("rms_scaling"):
        return _deviation_scaling(layer)
    axes = _from_the_end(layer)
    shape = _normalized_shape(layer, axes, "gamma", "beta")
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
    return _over_last(axes, layer.module(f"nn.LayerNorm({_sizes(shape)}{more})", state))


@translates("RMSNormalization")
def rms_normalization(layer: Layer) -> Forward:
    """nn.RMSNorm."""
    axes = _from_the_end(layer)
    shape = _normalized_shape(layer, axes, "scale")
    arguments = f"{_sizes(shape)}, eps={number(layer.number('epsilon'))}"
    return _over_last(axes, layer.module(f"nn.RMSNorm({arguments})", {"weight": layer.array("scale")}))


def _sizes(shape: tuple[int, ...]) -> str:
    return str(shape[0]) if len(shape) == 1 else tuple_text(shape)


def _from_the_end(layer: Layer) -> tuple[int, ...]:
    """Return the axes that a layer normalizes over, in order, counted from the end."""
    axes, rank = layer.integers("axis"), _rank(layer)
    if rank is not None:
        return tuple(sorted(axis % rank - rank for axis in axes))
    if any(axis >= 0 for axis in axes):
        raise RefusedError(NO_SHAPE)
    return tuple(sorted(axes))


def _normalized_shape(layer: Layer, axes: tuple[int, ...], *roles: str) -> tuple[int, ...]:
    """Return the sizes of the axes that a layer normalizes over."""
    for role in roles:
        if layer.has(role):
            return layer.shape(role)
    sizes = [layer.input_shape[axis] if layer.input_shape else None for axis in axes]
    known = tuple(size for size in sizes if size is not None)
    if len(known) < len(sizes):
        raise RefusedError("it normalizes over an axis of unknown size")
    return known


def _over_last(axes: tuple[int, ...], module: str) -> Forward:
    """Return the call of a module that normalizes the last axes, moved there where they are others."""
    last = tuple(range(-len(axes), 0))

    def forward(site: Site) -> Value:
        x = site.x
        if axes == last:
            return x.with_text(f"{module}({x})")
        if len(axes) == 1:
            swap = ".mT" if axes == (-2,) else f".transpose({axes[0]}, -1)"
            return x.with_text(f"{module}({x}{swap}){swap}")
        return x.with_text(f"{module}({x}.movedim({axes}, {last})).movedim({last}, {axes})")

    return forward


def _deviation_scaling(layer: Layer) -> Forward:
    """Keras 3's rms_scaling=True: it divides by the standard deviation, though it subtracts no mean."""
    axes = _from_the_end(layer)
    if axes != (-1,):
        raise RefusedError("it scales by the deviation along other axes than the last")
    gamma = (
        layer.parameter(layer.array("gamma"), layer.shape("gamma"), "weight") if layer.has("gamma") else ""
    )
    eps = number(layer.number("epsilon"))

    def forward(site: Site) -> Value:
        x = site.x
        scaled = f"{x} * torch.rsqrt({x}.var(-1, correction=0, keepdim=True) + {eps})"
        return x.with_text(f"{scaled} * {gamma}" if gamma else scaled)

    return forward


@translates("GroupNormalization")
def group_normalization(layer: Layer) -> Forward:
    """nn.GroupNorm, of channels behind the batch."""
    axis, groups, rank = layer.integer("axis"), layer.integer("groups"), _rank(layer)
    (channels,) = _normalized_shape(layer, (axis,), "gamma", "beta")
    state = _affine(layer, channels)
    more = keywords(eps=number(layer.number("epsilon")), affine=None if state else "False")
    module = layer.module(f"nn.GroupNorm({channels if groups == -1 else groups}, {channels}{more})", state)
    if rank is None and axis != -1:
        raise RefusedError(NO_SHAPE)

    def forward(site: Site) -> Value:
        if axis in (-1, None if rank is None else rank - 1):
            x = site.first()
            return x.with_text(f"{module}({x})")
        return _behind_batch(site.x, module, axis % (rank or 1))

    return forward


@translates("UnitNormalization")
def unit_normalization(layer: Layer) -> Forward:
    """F.normalize, along the axis wherever it stands."""
    axes = layer.integers("axis")
    least = number(layer.number("epsilon"))

    def forward(site: Site) -> Value:
        x = site.value()
        if len(axes) == 1:
            dim = x.axis(axes[0])
            dim = -1 if x.rank is not None and dim % x.rank == x.rank - 1 else dim
            return x.with_text(f"F.normalize({x}, dim={dim}{'' if least == '1e-12' else f', eps={least}'})")
        dims = tuple_text([x.axis(axis) for axis in axes])
        norm = f"torch.linalg.vector_norm({x}, dim={dims}, keepdim=True)"
        return x.with_text(f"{x} / {norm}.clamp_min({least})")

    return forward


@translates("SpectralNormalization")
def spectral_normalization(layer: Layer) -> Forward:
    """The layer inside, whose stored kernel is the normalized one."""
    layer.note(POWER_ITERATION.format(name=layer.name))
    inside = layer.inner("layer", input_shapes=layer.input_shapes)
    return lambda site: site.run(inside, site.value())

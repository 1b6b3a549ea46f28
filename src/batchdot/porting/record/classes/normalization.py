"""Specifications of the layers in Keras's folder ``normalization``."""

from collections.abc import Mapping

from batchdot.porting.record import fields
from batchdot.porting.record.classes.spec import Config, Slot, Spec, trained, unknown_shape
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field
from batchdot.porting.record.item import Item
from batchdot.porting.record.values import Shape, Value

EPSILON = Field(fields.number, 1e-3)
CENTER = {"center": Field(fields.flag, True), "scale": Field(fields.flag, True)}


def _along_axes(config: Config) -> tuple[str, ...]:
    """The shape of what a layer has for each index along its axes."""
    return tuple(f"axis {axis}" for axis in _axes(config))


def _axes(config: Config) -> tuple[int, ...]:
    axes = config["axis"]
    return tuple(axis for axis in (axes if isinstance(axes, tuple) else (axes,)) if isinstance(axis, int))


def _axis_sizes(config: Config, shapes: tuple[Shape, ...]) -> Mapping[str, int | None]:
    shape = shapes[0] if shapes else None
    if shape is None:
        return {}
    return {f"axis {axis}": shape[axis] for axis in _axes(config) if -len(shape) <= axis < len(shape)}


def _gamma_beta(config: Config, shape: tuple[str, ...] | None) -> tuple[Slot, ...]:
    named = (("scale", "gamma"), ("center", "beta"))
    return tuple(Slot(role, shape) for key, role in named if config[key])


def _batch(config: Config) -> tuple[Slot, ...]:
    """Over several axes, weights have the rank of the input."""
    shape = _along_axes(config) if len(_axes(config)) == 1 else None
    learned = _gamma_beta(config, shape)
    if config["mode"] == 1:
        return learned
    count = _renorm(config) if config["renorm"] else 0
    return (
        *learned,
        Slot("moving_mean", shape, trainable=False, suffixes=("running_mean",)),
        Slot("moving_variance", shape, trainable=False, suffixes=("running_std",)),
        *(Slot(f"renorm.{number}", None, trainable=False, suffixes=("*",)) for number in range(count)),
    )


def _renorm(config: Config) -> int:
    return 4 if config["renorm"] == "TensorFlow 1" else 3


def _finish_batch(config: dict[str, Value], era: Era) -> dict[str, Value]:
    """Say what versions do differently with one config: frozen layers, the variance that is remembered."""
    if config["renorm"]:
        config["renorm"] = "TensorFlow 1" if era.before(keras2=(9,), tf=(1, 13)) else "TensorFlow 2"
    frozen = era.is_keras3 or (era.family == "tf" and era.version >= (2, 0))
    variance = {"keras1": "population", "keras2": "sample", "tf": "sample_if_fused", "keras3": "population"}
    return {**config, "frozen_infers": frozen, "running_variance": variance[era.family]}


def _finish_unit(config: dict[str, Value], era: Era) -> dict[str, Value]:
    """Say how short a vector is divided by at least: Keras 3 bounds the norm, TensorFlow its square."""
    return {**config, "epsilon": 1e-12 if era.is_keras3 else 1e-6}


def _group(config: Config) -> tuple[Slot, ...]:
    return _gamma_beta(config, _along_axes(config))


def _layer(config: Config) -> tuple[Slot, ...]:
    return tuple(slot for slot in _group(config) if not (config["rms_scaling"] and slot.role == "beta"))


def _groups(item: Item, era: Era) -> Value:
    """At least one group, or -1 for one of each channel."""
    return -1 if item.value == -1 else item.integer(1)


def _axis_or_axes(item: Item, era: Era) -> Value:
    found = fields.axes(item, era)
    return found[0] if isinstance(found, tuple) and len(found) == 1 else found


_TRAINED = trained("gamma", "beta")

SPECS = (
    Spec(
        "BatchNormalization",
        {
            "axis": Field(_axis_or_axes, -1),
            "momentum": Field(fields.number, 0.99),
            "epsilon": EPSILON,
            **CENTER,
            "mode": Field(fields.natural, 0),
            "renorm": Field(fields.flag, False),
            **_TRAINED,
        },
        slots=_batch,
        symbols=_axis_sizes,
        old=("BatchNormalizationV1", "BatchNormalizationV2", "SyncBatchNormalization"),
        finish=_finish_batch,
        drops=frozenset(
            {
                "fused",
                "virtual_batch_size",
                "adjustment",
                "renorm_clipping",
                "renorm_momentum",
                "synchronized",
            }
        ),
    ),
    Spec(
        "LayerNormalization",
        {
            "axis": Field(fields.axes, (-1,)),
            "epsilon": EPSILON,
            **CENTER,
            "rms_scaling": Field(fields.flag, False),
            **_TRAINED,
        },
        slots=_layer,
        symbols=_axis_sizes,
    ),
    Spec(
        "GroupNormalization",
        {
            "groups": Field(_groups, 32),
            "axis": Field(fields.axis, -1),
            "epsilon": EPSILON,
            **CENTER,
            **_TRAINED,
        },
        slots=_group,
        symbols=_axis_sizes,
    ),
    Spec("UnitNormalization", {"axis": Field(fields.axes, (-1,))}, finish=_finish_unit),
    Spec(
        "RMSNormalization",
        {"axis": Field(fields.axes, (-1,)), "epsilon": Field(fields.number, 1e-6)},
        slots=lambda config: (Slot("scale", _along_axes(config)),),
        symbols=_axis_sizes,
    ),
    Spec(
        "SpectralNormalization",
        {"power_iterations": Field(fields.positive, 1)},
        slots=lambda config: (Slot("vector_u", None, trainable=False, suffixes=("sn_u",)),),
        infer=unknown_shape,
        children=("layer",),
        mask="pass",
    ),
)

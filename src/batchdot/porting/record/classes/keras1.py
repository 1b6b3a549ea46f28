"""Specifications of the layers that only Keras 1 had."""

from batchdot.porting.record import fields
from batchdot.porting.record.classes.spec import (
    ACTIVATION,
    USE_BIAS,
    Config,
    Slot,
    Spec,
    last_units,
    trained,
    whole,
)
from batchdot.porting.record.fields import Field


def _highway(config: Config) -> tuple[Slot, ...]:
    biases = (Slot("bias", ("in",), suffixes=("b",)), Slot("bias_carry", ("in",), suffixes=("b_carry",)))
    return (
        Slot("kernel", ("in", "in"), suffixes=("W",)),
        Slot("kernel_carry", ("in", "in"), suffixes=("W_carry",)),
        *(biases if config["use_bias"] else ()),
    )


def _maxout(config: Config) -> tuple[Slot, ...]:
    units, count = whole(config, "units"), whole(config, "count")
    kernel = Slot("kernel", (count, "in", units), suffixes=("W",))
    return (kernel, Slot("bias", (count, units), suffixes=("b",))) if config["use_bias"] else (kernel,)


SPECS = (
    Spec(
        "Highway",
        {"activation": ACTIVATION, "use_bias": USE_BIAS, **trained("kernel", "bias")},
        slots=_highway,
        drops=frozenset({"transform_bias"}),
        mask="stop",
    ),
    Spec(
        "MaxoutDense",
        {
            "units": Field(fields.positive),
            "count": Field(fields.positive, 4, ("nb_feature",)),
            "use_bias": USE_BIAS,
            **trained("kernel", "bias"),
        },
        slots=_maxout,
        infer=last_units,
        mask="stop",
    ),
    Spec(
        "ParametricSoftplus",
        {"shared_axes": Field(fields.optional(fields.axes), None)},
        slots=lambda config: (
            Slot("alpha", None, suffixes=("alphas",)),
            Slot("beta", None, suffixes=("betas",)),
        ),
        drops=frozenset({"alpha_init", "beta_init"}),
    ),
    Spec(
        "SReLU",
        {"shared_axes": Field(fields.optional(fields.axes), None)},
        slots=lambda config: tuple(Slot(name, None) for name in ("t_left", "a_left", "t_right", "a_right")),
        drops=frozenset({"t_left_init", "a_left_init", "t_right_init", "a_right_init"}),
    ),
)

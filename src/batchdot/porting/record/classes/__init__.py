"""Classes of layers that the reader knows, one file for each of Keras's folders, and one for Keras 1."""

from collections.abc import Mapping

from batchdot.porting.errors import quote
from batchdot.porting.record.classes import (
    attention,
    convolution,
    core,
    keras1,
    merging,
    normalization,
    pooling,
    preprocessing,
    recurrent,
    reshaping,
)
from batchdot.porting.record.classes.spec import Config, Slot, Spec
from batchdot.porting.record.era import Era
from batchdot.porting.record.item import Item
from batchdot.porting.record.values import FrozenMap, Value

_FOLDERS = (
    core,
    convolution,
    pooling,
    reshaping,
    normalization,
    preprocessing,
    recurrent,
    attention,
    merging,
    keras1,
)

SPECS: Mapping[str, Spec] = {
    name: spec for folder in _FOLDERS for spec in folder.SPECS for name in (spec.name, *spec.old)
}
"""Every class by each of its names."""

MEANINGLESS = frozenset(
    [
        "name",
        "trainable",
        "dtype",
        "batch_input_shape",
        "batch_shape",
        "input_dtype",
        "input_dim",
        "input_length",
        "input_shape",
        "seed",
        "rng_type",
        "init",
        "inner_init",
        "forget_bias_init",
        "autocast",
        "quantization_config",
        "shared_object_id",
        "build_config",
        "registered_name",
    ]
)
"""Keys of every class that mean nothing to what is ported, or are read elsewhere."""

__all__ = ["SPECS", "Config", "Slot", "Spec", "parse_config"]


def parse_config(class_name: str, config: Item, era: Era) -> tuple[Config, str]:
    """Return a layer's arguments, complete, and what stands in the way of porting it ("" where nothing).

    Raises:
        ModelFileError: an argument is of a wrong type or missing.
    """
    spec = SPECS[class_name]
    values: dict[str, Value] = {key: field.read(key, config, era) for key, field in spec.fields.items()}
    if spec.finish is not None:
        values = spec.finish(values, era)
    return FrozenMap(values), _unknown_key(spec, config)


def _unknown_key(spec: Spec, config: Item) -> str:
    """Name an argument that no version of the class is known to have; one that is off does not count."""
    if "*" in spec.drops or spec.problem:
        return ""
    for key, value in config.mapping().items():
        if key in spec.keys or key in MEANINGLESS or key.endswith("_initializer"):
            continue
        if value not in (None, False, 0, "", [], {}):
            return f"its argument {quote(key)} is not known to the class {spec.name}"
    return ""

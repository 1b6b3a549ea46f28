"""Translate classes and arguments of Keras 1 to their Keras 2 names."""

from typing import Final

from batchdot.porting.archive import Json
from batchdot.porting.record.item import Item

CLASSES: Final = {
    "TimeDistributedDense": "Dense",
    "Deconvolution2D": "Conv2DTranspose",
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "SeparableConvolution2D": "SeparableConv2D",
    "AtrousConv1D": "Conv1D",
    "AtrousConv2D": "Conv2D",
    "Deconv2D": "Conv2DTranspose",
}

KEYS: Final = {
    "nb_filter": "filters",
    "filter_length": "kernel_size",
    "subsample": "strides",
    "subsample_length": "strides",
    "border_mode": "padding",
    "bias": "use_bias",
    "atrous_rate": "dilation_rate",
    "pool_length": "pool_size",
    "stride": "strides",
    "length": "size",
    "dim_ordering": "data_format",
    "keep_dims": "keepdims",
}

ORDERINGS: Final = {"tf": "channels_last", "th": "channels_first", "default": None}

MERGES: Final = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
    "dot": "Dot",
    "cos": "Dot",
}


def upgrade(class_name: str, config: Item) -> tuple[str, Item]:
    """Return a layer of Keras 1 as Keras 2 would write it.

    Raises:
        ModelFileError: an argument is of a wrong type.
    """
    if class_name == "Merge":
        return _merge(config)
    values: dict[str, Json] = {}
    for key, value in config.mapping().items():
        values[KEYS.get(key, key)] = value
    if "dim_ordering" in config.mapping():
        ordering = config.get("dim_ordering")
        if ordering.text() not in ORDERINGS:
            raise ordering.wrong("tf, th or default")
        values["data_format"] = ORDERINGS[ordering.text()]
    for keys in (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3")):
        if keys[0] in values:
            values["kernel_size"] = [config.get(key).integer(1) for key in keys]
            for key in keys:
                values.pop(key)
    if class_name != "Embedding" and "output_dim" in values:
        values["units"] = values.pop("output_dim")
    if values.get("batch_input_shape") is None and "input_dim" in values and class_name != "Embedding":
        values.pop("input_dim")
    for key in ("kernel_size", "strides", "dilation_rate", "pool_size"):
        if class_name.endswith("1D") and key in values:
            values[key] = [config.get(_old(config, key)).integer(1)]
    return CLASSES.get(class_name, class_name), Item(values, "", config)


def _old(config: Item, key: str) -> str:
    return next((old for old, new in KEYS.items() if new == key and config.has(old)), key)


def _merge(config: Item) -> tuple[str, Item]:
    """Return Keras 1's Merge as the layer that does what its mode says."""
    mode = config.get("mode")
    if config.get("mode_type").value not in (None, "raw") or not isinstance(mode.value, str):
        return "Lambda", config
    if mode.value not in MERGES:
        raise mode.wrong(", ".join(MERGES))
    values: dict[str, Json] = {"name": config.get("name").value}
    if mode.value == "concat":
        values["axis"] = config.get("concat_axis").integer() if config.has("concat_axis") else -1
    if mode.value in ("dot", "cos"):
        values["axes"] = config.get("dot_axes").value if config.has("dot_axes") else -1
        values["mode"] = "dot" if mode.value == "dot" else "cosine of Keras 1"
    return MERGES[mode.text()], Item(values, "", config)

"""Fill in what a saved model leaves out, from its other parts: data formats of Keras 1, lost tensors."""

from dataclasses import replace

from batchdot.porting.record.era import Era
from batchdot.porting.record.values import FrozenMap, LayerRecord, ModelRecord, Value

SILENT = ("ZeroPadding2D", "ZeroPadding3D", "Cropping2D", "Cropping3D", "UpSampling2D", "UpSampling3D")
"""Layers whose data format Keras 1 does not save."""


def fix(model: ModelRecord, era: Era, notes: list[str]) -> ModelRecord:
    """Return a model with what the rest of it tells filled in, and note what stays open."""
    if era.family == "keras1":
        model = _data_formats(model, notes)
        if any("kernel_size" in layer.config for layer in model.all_layers()):
            notes.append("Keras 1 does not say its backend: kernels are read as TensorFlow stores them.")
    if era.before(keras2=(9,), tf=(1, 14)) and era.family != "keras1":
        _lost_tensors(model, notes)
    if (
        era.family == "tf"
        and era.version >= (2, 9)
        and any(layer.is_a("Attention") for layer in model.all_layers())
    ):
        notes.append("This version does not save causal=True of Attention; it is read as False.")
    if era.is_guess:
        notes.append("The file does not say exactly which version wrote it.")
    if any(layer.config.get("stateful") is True for layer in model.all_layers()):
        notes.append("A stateful layer begins every call with states of zero here.")
    return _without_settings(model)


def fill_inputs(model: ModelRecord, notes: list[str]) -> ModelRecord:
    """Return a Sequential whose file lost its input's shape with the shape that its first weights tell."""
    first = model.layers[0] if model.layers else None
    if model.kind != "sequential" or first is None or first.config.get("batch_shape", 0) is not None:
        return model
    for layer in model.layers[1:]:
        weight = layer.weights.get("kernel", layer.weights.get("embeddings"))
        if not layer.is_a(*ELEMENTWISE) and weight is None:
            return model
        if weight is None:
            continue
        free = FREE_AXES.get(layer.class_name)
        if free is None:
            return model
        last = () if layer.is_a("Embedding") else (weight.shape[-2],)
        shape: tuple[int | None, ...] = (None, *(None,) * free, *last)
        notes.append(f"The file lost the shape of the input; {shape} follows from the weights.")
        filled = replace(first, config=FrozenMap({**first.config, "batch_shape": shape}))
        return replace(model, layers=(filled, *model.layers[1:]))
    return model


FREE_AXES = {
    "Dense": 0,
    "Embedding": 1,
    "LSTM": 1,
    "GRU": 1,
    "SimpleRNN": 1,
    "Conv1D": 1,
    "Conv2D": 2,
    "Conv3D": 3,
}
"""Axes between the batch and the channels that a first layer takes, in the usual case."""

ELEMENTWISE = (
    "Activation",
    "Dropout",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "Masking",
    "GaussianNoise",
    "Identity",
    "Rescaling",
)


def _data_formats(model: ModelRecord, notes: list[str]) -> ModelRecord:
    """Give padding, cropping and upsampling of Keras 1 the data format of the layers around them."""
    formats = {
        str(layer.config["data_format"])
        for layer in model.all_layers()
        if "data_format" in layer.config
        and not layer.is_a(*SILENT)
        and layer.class_name.endswith(("2D", "3D"))
    }
    silent = [layer for layer in model.all_layers() if layer.is_a(*SILENT)]
    if not silent:
        return model
    if formats != {"channels_first"}:
        if len(formats) > 1:
            notes.append(
                "Keras 1 does not save the data format of padding layers; it is read as channels_last."
            )
        return model
    return _with_format(model)


def _with_format(model: ModelRecord) -> ModelRecord:
    def changed(layer: LayerRecord) -> LayerRecord:
        config: dict[str, Value] = dict(layer.config)
        if layer.is_a(*SILENT):
            config["data_format"] = "channels_first"
        inner = {key: changed(inside) for key, inside in layer.inner.items()}
        nested = None if layer.model is None else _with_format(layer.model)
        return replace(layer, config=FrozenMap(config), inner=FrozenMap(inner), model=nested)

    return replace(model, layers=tuple(changed(layer) for layer in model.layers))


def _lost_tensors(model: ModelRecord, notes: list[str]) -> None:
    """Note inputs that nothing uses: these versions drop tensors that were keyword arguments."""
    used = {ref.layer for call in model.calls for ref in call.tensors()} | {
        ref.layer for ref in model.output_refs
    }
    unused = [ref.layer for ref in model.input_refs if ref.layer not in used]
    notes += [
        f"Nothing uses the input {name!r}: this version drops tensors passed by keyword (a mask, a state)."
        for name in unused
    ]


def _without_settings(model: ModelRecord) -> ModelRecord:
    """Clear configs of operations, whose settings are arguments of their calls by now."""

    def changed(layer: LayerRecord) -> LayerRecord:
        if layer.kind == "operation":
            return replace(layer, config=FrozenMap())
        if not layer.inner and layer.model is None:
            return layer
        nested = None if layer.model is None else _without_settings(layer.model)
        inner = {key: changed(inside) for key, inside in layer.inner.items()}
        return replace(layer, inner=FrozenMap(inner), model=nested)

    return replace(model, layers=tuple(changed(layer) for layer in model.layers))

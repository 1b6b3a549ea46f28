"""Name the PyTorch counterpart of a Keras layer in a word or two, without importing torch."""

from math import prod

from batchdot.porting.record import Activation, LayerRecord

MODULES = {
    **{f"Conv{rank}D": f"nn.Conv{rank}d" for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": f"nn.ConvTranspose{rank}d" for rank in (1, 2, 3)},
    **{f"DepthwiseConv{rank}D": f"nn.Conv{rank}d, grouped" for rank in (1, 2)},
    **{f"SeparableConv{rank}D": f"two nn.Conv{rank}d" for rank in (1, 2)},
    **{f"MaxPooling{rank}D": f"nn.MaxPool{rank}d" for rank in (1, 2, 3)},
    **{f"AveragePooling{rank}D": f"nn.AvgPool{rank}d" for rank in (1, 2, 3)},
    **{f"AdaptiveMaxPooling{rank}D": f"nn.AdaptiveMaxPool{rank}d" for rank in (1, 2, 3)},
    **{f"AdaptiveAveragePooling{rank}D": f"nn.AdaptiveAvgPool{rank}d" for rank in (1, 2, 3)},
    **{f"GlobalMaxPooling{rank}D": "amax" for rank in (1, 2, 3)},
    **{f"GlobalAveragePooling{rank}D": "mean" for rank in (1, 2, 3)},
    **{f"ZeroPadding{rank}D": "F.pad" for rank in (1, 2, 3)},
    **{f"Cropping{rank}D": "a slice" for rank in (1, 2, 3)},
    **{f"UpSampling{rank}D": "F.interpolate" for rank in (1, 2, 3)},
    **{f"SpatialDropout{rank}D": f"nn.Dropout{rank}d" for rank in (1, 2, 3)},
    **{f"LocallyConnected{rank}D": "a small class" for rank in (1, 2)},
    **{f"ConvLSTM{rank}D": "a small class" for rank in (1, 2, 3)},
    "InputLayer": "an argument", "Dense": "nn.Linear", "EinsumDense": "torch.einsum",
    "Embedding": "nn.Embedding", "ReLU": "F.relu", "LeakyReLU": "F.leaky_relu", "ELU": "F.elu",
    "PReLU": "torch.where", "Softmax": "softmax", "ThresholdedReLU": "F.threshold",
    "Dropout": "nn.Dropout", "AlphaDropout": "nn.AlphaDropout", "GaussianDropout": "noise while training",
    "GaussianNoise": "noise while training", "ActivityRegularization": "nothing", "Identity": "nothing",
    "Masking": "a mask", "Flatten": "flatten", "Reshape": "reshape", "Permute": "permute",
    "RepeatVector": "expand", "Add": "+", "Subtract": "-", "Multiply": "*", "Average": "mean",
    "Maximum": "torch.maximum", "Minimum": "torch.minimum", "Concatenate": "torch.cat",
    "Dot": "a dot product", "LayerNormalization": "nn.LayerNorm", "GroupNormalization": "nn.GroupNorm",
    "UnitNormalization": "F.normalize", "RMSNormalization": "nn.RMSNorm",
    "Normalization": "(x - mean) / std", "Rescaling": "x * scale + offset",
    "CategoryEncoding": "F.one_hot", "Discretization": "torch.bucketize", "Resizing": "F.interpolate",
    "CenterCrop": "a slice", "Attention": "softmax(q @ k.mT) @ v",
    "AdditiveAttention": "softmax(scores) @ v", "GroupedQueryAttention": "a small class",
    "Highway": "two nn.Linear", "MaxoutDense": "a small class", "ParametricSoftplus": "F.softplus",
    "SReLU": "a small class", "SpectralNormalization": "its layer", "CuDNNLSTM": "nn.LSTM",
    "CuDNNGRU": "nn.GRU",
}  # fmt: skip


def becomes(layer: LayerRecord) -> str:
    """Return what a layer will become, for a table.

    >>> from batchdot.porting.record import FrozenMap
    >>> becomes(LayerRecord("d", "layer", "Dense", FrozenMap({"units": 1})))
    'nn.Linear'
    """
    if layer.problem:
        return "needs a replacement"
    if layer.model is not None:
        return "a module"
    if layer.kind == "operation":
        return f"torch: {layer.class_name}"
    config = layer.config
    if layer.is_a("LSTM", "GRU", "LSTMCell", "GRUCell"):
        return f"nn.{layer.class_name.removesuffix('Cell')}" if _is_plain(layer) else "a small class"
    if layer.is_a("SimpleRNN", "SimpleRNNCell"):
        activation = layer.config.get("activation")
        return "nn.RNN" if activation in (Activation("tanh"), Activation("relu")) else "a small class"
    if layer.is_a("RNN", "StackedRNNCells") and layer.inner:
        return ", ".join(dict.fromkeys(map(becomes, layer.inner.values())))
    if layer.is_a("BatchNormalization"):
        return "nn.BatchNorm" if config.get("mode") == 0 else "a small class"
    if layer.is_a("Bidirectional", "TimeDistributed"):
        inside = next(iter(layer.inner.values()), None)
        words = becomes(inside) if inside is not None else "its layer"
        return f"{words}, both ways" if layer.is_a("Bidirectional") else words
    if layer.is_a("Activation"):
        activation = config["activation"]
        return activation.name if isinstance(activation, Activation) else "a function"
    if layer.is_a("MultiHeadAttention"):
        return "nn.MultiheadAttention" if _shares_features_out(layer) else "a small class"
    if layer.is_a("RandomCrop"):
        return "needs a replacement"
    if layer.class_name.startswith("Random"):
        return "nothing in eval()"
    return MODULES.get(layer.class_name, "a small class")


def _is_plain(layer: LayerRecord) -> bool:
    """Whether the gates of a recurrent layer are those of PyTorch."""
    names = [getattr(layer.config.get(key), "name", "") for key in ("activation", "recurrent_activation")]
    return names == ["tanh", "sigmoid"] and layer.config.get("reset_after", True) is True


def _shares_features_out(layer: LayerRecord) -> bool:
    """Whether all heads together have as many features as the query; a mask may still need a class."""
    key, value = layer.config.get("key_dim"), layer.config.get("value_dim")
    kernel = layer.weights.get("query.kernel")
    features = kernel is not None and kernel.shape[0] == prod(kernel.shape[1:])
    return features and value in (None, key) and layer.config.get("output_shape") is None

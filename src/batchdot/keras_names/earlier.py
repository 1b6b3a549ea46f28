"""Names of Keras 1 and 2 that later versions do not have: modules that moved, and what to write instead."""

from batchdot.keras_names.answer import Answer, answers

PLACES: dict[str, str] = {
    **dict.fromkeys(
        (
            *("layers.advanced_activations", "layers.convolutional", "layers.convolutional_recurrent"),
            "layers.core",
            *("layers.embeddings", "layers.local", "layers.merge", "layers.noise", "layers.normalization"),
            *("layers.pooling", "layers.recurrent", "layers.wrappers"),
        ),
        "layers",
    ),
    "engine": "",
    **dict.fromkeys(("engine.base_layer", "engine.input_layer", "engine.topology"), "layers"),
    **dict.fromkeys(("engine.sequential", "engine.training"), "models"),
    **dict.fromkeys(
        (
            *("utils.data_utils", "utils.generic_utils", "utils.io_utils", "utils.layer_utils"),
            *("utils.np_utils", "utils.vis_utils", "utils.visualize_util"),
        ),
        "utils",
    ),
    "backend.tensorflow_backend": "backend",
    "backend.theano_backend": "backend",
    "initializations": "initializers",
    "objectives": "losses",
}
"""Modules that earlier versions had, and the modules of later ones that have their names."""

_RECURRENT = (
    "Write `layers.TorchModuleWrapper({})(x)`, which returns the sequence of shape (B, steps, units) and the "
    "last state."
)
_DOT = (
    'Write `layers.dot([x, y], axes=1)` for `merge([x, y], mode="dot", dot_axes=1)`, with `normalize=True` '
    'for `mode="cos"`; the other modes are `layers.add`, `multiply`, `concatenate`, `average` and `maximum`.'
)

_PAD = "numpy.array([([0] * maxlen + list(ids))[-maxlen:] for ids in sequences])"

EARLIER: list[Answer] = [
    *answers("layers", "Keras 2 replaced it by a function for each mode", _DOT, "merge"),
    *answers(
        "layers",
        "Keras 2 replaced it by a layer for each mode",
        'Write `layers.Dot(1)([x, y])` for `Merge(mode="dot", dot_axes=1)`, with `normalize=True` for '
        '`mode="cos"`; the other modes are `layers.Add`, `Multiply`, `Concatenate`, `Average` and `Maximum`.',
        "Merge",
    ),
    *answers(
        "layers",
        "PyTorch has the module",
        _RECURRENT,
        {
            "CuDNNGRU": "torch.nn.GRU(size, units, batch_first=True)",
            "CuDNNLSTM": "torch.nn.LSTM(size, units, batch_first=True)",
        },
    ),
    *answers(
        "layers",
        "Keras 2 removed it",
        "Write `{}`.",
        {
            "Highway": "x + transform * (layers.Dense(size)(x) - x)",
            "MaxoutDense": "layers.Reshape((features, units))(layers.Dense(features * units)(x)).amax(1)",
            "TimeDistributedDense": "layers.Dense(units)(x)",
        },
    ),
    *answers(
        "layers",
        "PyTorch has the module",
        "Write `layers.TorchModuleWrapper({})(x)`; it takes the channels first, as `layers.Permute` puts "
        "them.",
        {
            "AtrousConvolution1D": "torch.nn.Conv1d(channels, filters, kernel_size, dilation=rate)",
            "AtrousConvolution2D": "torch.nn.Conv2d(channels, filters, kernel_size, dilation=rate)",
            "Deconvolution2D": "torch.nn.ConvTranspose2d(channels, filters, kernel_size)",
        },
    ),
    *answers("models", "Keras 1.0 removed it", "Write `Model(inputs, outputs)`.", "Graph"),
    *answers(
        "Model",
        "`predict` returns the outputs",
        "Write `{}`.",
        {
            "predict_classes": "model.predict(x).argmax(-1)",
            "predict_proba": "model.predict(x)",
        },
    ),
    *answers(
        "Model",
        "training is a loop over PyTorch's optimizers",
        "Keep it in a variable of the loop: `{}`.",
        {
            "history": "history.append(loss.item())",
            "loss": "loss = loss_function(model(x), y)",
            "optimizer": "optimizer = torch.optim.Adam(model.parameters())",
            "stop_training": "stop_training = True",
        },
    ),
    *answers(
        "regularizers",
        "Keras 2 has the same class for weights and outputs",
        "Write `{}`.",
        {
            "activity_l1": "regularizers.l1(0.01)",
            "activity_l1l2": "regularizers.l1_l2(0.01, 0.01)",
            "activity_l2": "regularizers.l2(0.01)",
            "l1l2": "regularizers.l1_l2(0.01, 0.01)",
        },
    ),
    *answers(
        "initializers",
        "Keras 2 renamed it",
        "Write `{}`.",
        {
            "normal": "initializers.RandomNormal(0.0, 0.05)",
            "uniform": "initializers.RandomUniform(-0.05, 0.05)",
        },
    ),
    *answers(
        "backend",
        "it has another name, or is a line of PyTorch",
        "Write `{}`.",
        {
            "identity": "x.clone()",
            "image_dim_ordering": "backend.image_data_format()",
            "set_image_dim_ordering": 'backend.set_image_data_format("channels_last")',
            "logsumexp": "torch.logsumexp(x, -1)",
            "is_tensor": "torch.is_tensor(x)",
            "slice": "x[start:stop]",
        },
    ),
    *answers(
        "backend",
        "it belongs to TensorFlow's sessions and graphs",
        "Leave it out; PyTorch runs each line at once.",
        "get_session set_session tf",
    ),
    *answers(
        "preprocessing",
        "data is prepared by PyTorch's data sets",
        "Write `{}`.",
        {
            "sequence": _PAD,
            "sequence.pad_sequences": _PAD,
            "timeseries_dataset_from_array": "x.unfold(0, length, 1)",
        },
    ),
    *answers(
        "preprocessing",
        "data is prepared by PyTorch's data sets",
        "Write it in the `__getitem__` of a `torch.utils.data.Dataset`.",
        "image image.ImageDataGenerator image.img_to_array image.load_img sequence.TimeseriesGenerator",
    ),
    *answers(
        "preprocessing",
        "it is a few lines of Python",
        "Write `{}`.",
        {
            "sequence.make_sampling_table": "numpy.minimum(1, numpy.sqrt(threshold / frequencies))",
            "sequence.skipgrams": (
                "[(i, j) for k, i in enumerate(ids) "
                "for j in ids[max(0, k - window):k] + ids[k + 1:k + 1 + window]]"
            ),
            "text": "collections.Counter(text.lower().split())",
            "text.Tokenizer": "collections.Counter(text.lower().split())",
            "text.one_hot": "[hash(word) % size for word in text.lower().split()]",
            "text.text_to_word_sequence": "text.lower().split()",
        },
    ),
]
"""Answers to names that only Keras 1 and 2 have."""

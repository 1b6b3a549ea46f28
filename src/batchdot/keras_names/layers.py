"""Layers of Keras that are not here."""

from batchdot.keras_names.answer import Answer, answers, each_rank

_PYTORCH = "PyTorch has the module"
_WRAP = "Write `layers.TorchModuleWrapper({})(x)`."
_CHANNELS_FIRST = (
    "Write `layers.TorchModuleWrapper({})(x)`; it takes the channels first, as `layers.Permute` puts them."
)
_RECURRENT = (
    "Write `layers.TorchModuleWrapper({})(x)`, which returns the sequence of shape (B, steps, units) and the "
    "last state."
)
_CELL = "Write `{}` in the `call` of a subclass of `layers.Layer`, in a loop over the steps."

LAYERS: list[Answer] = [
    *answers(
        "layers",
        _PYTORCH,
        _WRAP,
        {
            "AlphaDropout": "torch.nn.AlphaDropout(rate)",
            "ELU": "torch.nn.ELU(alpha)",
            "Identity": "torch.nn.Identity()",
            "LayerNormalization": "torch.nn.LayerNorm(size, eps=1e-3)",
            "LeakyReLU": "torch.nn.LeakyReLU(0.3)",
            "RMSNormalization": "torch.nn.RMSNorm(size, eps=1e-6)",
            "ReLU": "torch.nn.ReLU()",
            "SpectralNormalization": "torch.nn.utils.parametrizations.spectral_norm(module)",
            "ThresholdedReLU": "torch.nn.Threshold(theta, 0.0)",
        },
    ),
    *answers(
        "layers",
        _PYTORCH,
        _RECURRENT,
        {
            "Bidirectional": "torch.nn.LSTM(size, units, batch_first=True, bidirectional=True)",
            "GRU": "torch.nn.GRU(size, units, batch_first=True)",
            "LSTM": "torch.nn.LSTM(size, units, batch_first=True)",
            "SimpleRNN": "torch.nn.RNN(size, units, batch_first=True)",
            "StackedRNNCells": "torch.nn.LSTM(size, units, num_layers=2, batch_first=True)",
        },
    ),
    *answers(
        "layers",
        "PyTorch has the cell",
        _CELL,
        {
            "AbstractRNNCell": "torch.nn.RNNCell(size, units)",
            "GRUCell": "torch.nn.GRUCell(size, units)",
            "LSTMCell": "torch.nn.LSTMCell(size, units)",
            "RNN": "torch.nn.LSTMCell(size, units)",
            "SimpleRNNCell": "torch.nn.RNNCell(size, units)",
        },
    ),
    *answers(
        "layers",
        _PYTORCH,
        _CHANNELS_FIRST,
        {
            **each_rank("ConvND", "torch.nn.ConvNd(channels, filters, kernel_size)"),
            **each_rank("ConvolutionND", "torch.nn.ConvNd(channels, filters, kernel_size)"),
            **each_rank("ConvNDTranspose", "torch.nn.ConvTransposeNd(channels, filters, kernel_size)"),
            **each_rank("ConvolutionNDTranspose", "torch.nn.ConvTransposeNd(channels, filters, kernel_size)"),
            **each_rank(
                "DepthwiseConvND", "torch.nn.ConvNd(channels, filters, kernel_size, groups=channels)", (1, 2)
            ),
            **each_rank("MaxPoolND", "torch.nn.MaxPoolNd(pool_size)"),
            **each_rank("MaxPoolingND", "torch.nn.MaxPoolNd(pool_size)"),
            **each_rank("AvgPoolND", "torch.nn.AvgPoolNd(pool_size)"),
            **each_rank("AveragePoolingND", "torch.nn.AvgPoolNd(pool_size)"),
            **each_rank("AdaptiveMaxPoolingND", "torch.nn.AdaptiveMaxPoolNd(output_size)"),
            **each_rank("AdaptiveAveragePoolingND", "torch.nn.AdaptiveAvgPoolNd(output_size)"),
            **each_rank("ZeroPaddingND", "torch.nn.ZeroPadNd(padding)"),
            **each_rank("SpatialDropoutND", "torch.nn.DropoutNd(rate)"),
            **each_rank("UpSamplingND", "torch.nn.Upsample(scale_factor=size)"),
            "BatchNormalization": "torch.nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)",
            "GroupNormalization": "torch.nn.GroupNorm(groups, channels, eps=1e-3)",
            "PReLU": "torch.nn.PReLU(channels)",
        },
    ),
    *answers(
        "layers",
        "PyTorch has its two convolutions",
        "Write `layers.TorchModuleWrapper(torch.nn.Sequential({}))(x)`; it takes the channels first, as "
        "`layers.Permute` puts them.",
        {
            **each_rank(
                "SeparableConvND",
                "torch.nn.ConvNd(channels, channels, kernel_size, groups=channels), "
                "torch.nn.ConvNd(channels, filters, 1)",
                (1, 2),
            ),
            **each_rank(
                "SeparableConvolutionND",
                "torch.nn.ConvNd(channels, channels, kernel_size, groups=channels), "
                "torch.nn.ConvNd(channels, filters, 1)",
                (1, 2),
            ),
        },
    ),
    *answers(
        "layers",
        "it is one line on a symbolic tensor",
        "Write `{}`.",
        {
            "Attention": "layers.Dot((2, 1))([layers.Softmax()(layers.Dot(2)([query, value])), value])",
            "AdditiveAttention": (
                "torch.softmax(torch.tanh(query[:, :, None] + key[:, None]).sum(-1), -1) @ value"
            ),
            "Cropping1D": "x[:, first:last]",
            "Cropping2D": "x[:, top:bottom, left:right]",
            "Cropping3D": "x[:, front:back, top:bottom, left:right]",
            "EinsumDense": 'torch.einsum("abc,cd->abd", x, kernel)',
            **dict.fromkeys(("GlobalMaxPool1D", "GlobalMaxPooling1D"), "x.amax(1)"),
            **dict.fromkeys(("GlobalMaxPool2D", "GlobalMaxPooling2D"), "x.amax((1, 2))"),
            **dict.fromkeys(("GlobalMaxPool3D", "GlobalMaxPooling3D"), "x.amax((1, 2, 3))"),
            **dict.fromkeys(("GlobalAvgPool1D", "GlobalAveragePooling1D"), "x.mean(1)"),
            **dict.fromkeys(("GlobalAvgPool2D", "GlobalAveragePooling2D"), "x.mean((1, 2))"),
            **dict.fromkeys(("GlobalAvgPool3D", "GlobalAveragePooling3D"), "x.mean((1, 2, 3))"),
            "Normalization": "(x - mean) / std",
            "Rescaling": "x * scale + offset",
            "UnitNormalization": "torch.nn.functional.normalize(x, dim=-1)",
            "TimeDistributed": "layer(x)",
            "CategoryEncoding": "backend.one_hot(x, num_tokens)",
            "Discretization": "torch.bucketize(x, boundaries, right=True)",
            "ReversibleEmbedding": "x @ embedding.weights[0].T",
        },
    ),
    *answers(
        "layers",
        "it is a few lines",
        "Write a subclass of `layers.Layer` whose `call` returns `{}`.",
        {
            "ActivityRegularization": "inputs",
            "GaussianDropout": "inputs * (1 + std * torch.randn_like(inputs)) if self.training else inputs",
            "GaussianNoise": "inputs + std * torch.randn_like(inputs) if self.training else inputs",
            **each_rank("LocallyConnectedND", "(inputs.unfold(1, size, 1) * self.kernel).sum(-1)", (1, 2)),
        },
    ),
    *answers(
        "layers",
        "PyTorch has the module, with other arguments",
        "Write a subclass of `layers.Layer` that holds a `{}`.",
        {
            "MultiHeadAttention": "torch.nn.MultiheadAttention(size, heads, batch_first=True)",
            "GroupQueryAttention": "torch.nn.MultiheadAttention(size, heads, batch_first=True)",
            **each_rank("ConvLSTMND", "torch.nn.ConvNd(channels + filters, 4 * filters, kernel_size)"),
            "MelSpectrogram": "torch.stft(x, n_fft, return_complex=True)",
            "STFTSpectrogram": "torch.stft(x, n_fft, return_complex=True)",
        },
    ),
    *answers(
        "layers",
        "images and texts are prepared by the data set here, not by the model",
        "Write it in the `__getitem__` of a `torch.utils.data.Dataset`; torchvision.transforms has images'.",
        "AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix DenseFeatures "
        "Equalization HashedCrossing Hashing IntegerLookup MaxNumBoundingBoxes MixUp Pipeline RandAugment "
        "RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop "
        "RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight "
        "RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation "
        "RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom Resizing Solarization "
        "StringLookup TextVectorization experimental",
    ),
    *answers(
        "layers",
        "it runs what only JAX or TensorFlow can run",
        "Write the function in PyTorch and make a layer of it by `layers.Lambda(function)`.",
        "FlaxLayer JaxLayer TFSMLayer",
    ),
    *answers(
        "layers",
        "`layers.Layer` has what it is for",
        "Write a subclass of `layers.Layer` that checks `inputs.shape` in its `call`, or holds the layer.",
        "InputSpec Wrapper",
    ),
]

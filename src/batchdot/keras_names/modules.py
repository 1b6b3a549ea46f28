"""Other modules of Keras and names at its top that are not here."""

from batchdot.keras_names.answer import Answer, answers

_ARCHITECTURES = {
    "ConvNeXtTiny": "torchvision.models.convnext_tiny()",
    "ConvNeXtSmall": "torchvision.models.convnext_small()",
    "ConvNeXtBase": "torchvision.models.convnext_base()",
    "ConvNeXtLarge": "torchvision.models.convnext_large()",
    "DenseNet121": "torchvision.models.densenet121()",
    "DenseNet169": "torchvision.models.densenet169()",
    "DenseNet201": "torchvision.models.densenet201()",
    **{f"EfficientNetB{n}": f"torchvision.models.efficientnet_b{n}()" for n in range(8)},
    "EfficientNetV2S": "torchvision.models.efficientnet_v2_s()",
    "EfficientNetV2M": "torchvision.models.efficientnet_v2_m()",
    "EfficientNetV2L": "torchvision.models.efficientnet_v2_l()",
    "InceptionV3": "torchvision.models.inception_v3()",
    "MobileNetV2": "torchvision.models.mobilenet_v2()",
    "MobileNetV3Large": "torchvision.models.mobilenet_v3_large()",
    "MobileNetV3Small": "torchvision.models.mobilenet_v3_small()",
    "ResNet50": "torchvision.models.resnet50()",
    "ResNet101": "torchvision.models.resnet101()",
    "ResNet152": "torchvision.models.resnet152()",
    "VGG16": "torchvision.models.vgg16()",
    "VGG19": "torchvision.models.vgg19()",
}
_OTHER_ARCHITECTURES = (
    "ConvNeXtXLarge EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 InceptionResNetV2 "
    "MobileNet NASNetLarge NASNetMobile RegNetX002 RegNetX004 RegNetX006 RegNetX008 RegNetX016 RegNetX032 "
    "RegNetX040 RegNetX064 RegNetX080 RegNetX120 RegNetX160 RegNetX320 RegNetY002 RegNetY004 RegNetY006 "
    "RegNetY008 RegNetY016 RegNetY032 RegNetY040 RegNetY064 RegNetY080 RegNetY120 RegNetY160 RegNetY320 "
    "ResNet50V2 ResNet101V2 ResNet152V2 ResNetRS50 ResNetRS101 ResNetRS152 ResNetRS200 ResNetRS270 "
    "ResNetRS350 ResNetRS420 Xception convnext densenet efficientnet efficientnet_v2 imagenet_utils "
    "inception_resnet_v2 inception_v3 mobilenet mobilenet_v2 mobilenet_v3 nasnet regnet resnet resnet50 "
    "resnet_rs resnet_v2 vgg16 vgg19 xception"
)
_NETWORK = "it is a network of convolutions, and no dot product"

_UTILS = {
    "to_categorical": "numpy.eye(num_classes)[y]",
    "to_ordinal": "numpy.arange(num_classes - 1) < y[:, None]",
    "normalize": "torch.nn.functional.normalize(x, dim=-1)",
    "set_random_seed": "torch.manual_seed(seed)",
    "pad_sequences": "numpy.array([([0] * maxlen + list(ids))[-maxlen:] for ids in sequences])",
    "get_file": "torch.hub.download_url_to_file(url, path)",
    "split_dataset": "torch.utils.data.random_split(data, [0.8, 0.2])",
    "Progbar": "tqdm.tqdm(loader)",
    "Sequence": "torch.utils.data.Dataset()",
    "PyDataset": "torch.utils.data.Dataset()",
    "GeneratorEnqueuer": "torch.utils.data.DataLoader(data, num_workers=2)",
    "OrderedEnqueuer": "torch.utils.data.DataLoader(data, num_workers=2)",
    "SequenceEnqueuer": "torch.utils.data.DataLoader(data, num_workers=2)",
    "timeseries_dataset_from_array": "x.unfold(0, length, 1)",
    "img_to_array": "numpy.asarray(image, dtype='float32')",
    "array_to_img": "PIL.Image.fromarray(array)",
    "load_img": "PIL.Image.open(path)",
    "save_img": "image.save(path)",
    "plot_model": "model.summary()",
    "model_to_dot": "model.summary()",
    "clear_session": "backend.clear_session()",
    "is_keras_tensor": "backend.is_keras_tensor(x)",
    "standardize_dtype": "backend.standardize_dtype(dtype)",
    "custom_object_scope": "from batchdot.registry import custom_object_scope",
    "CustomObjectScope": "from batchdot.registry import custom_object_scope",
    "serialize_keras_object": "layers.serialize(layer)",
    "deserialize_keras_object": "layers.deserialize(config)",
    "pack_x_y_sample_weight": "(x, y, weight)",
    "unpack_x_y_sample_weight": "x, y, weight = data",
    "get_source_inputs": "model.inputs",
}

MODULES: list[Answer] = [
    Answer(
        "applications",
        "they are networks of convolutions, and no dot products",
        "Write `torchvision.models.resnet50()`, or save the model in Keras and port its file with "
        "`batchdot.porting.load(path)`.",
    ),
    *answers("applications", _NETWORK, "Write `{}`.", _ARCHITECTURES),
    *answers(
        "applications",
        _NETWORK,
        "Save it in Keras and port its file with `batchdot.porting.load(path)`.",
        _OTHER_ARCHITECTURES,
    ),
    Answer(
        "datasets",
        "they are downloads, and no computation",
        "Write `torchvision.datasets.MNIST(folder, download=True)`.",
    ),
    *answers(
        "datasets",
        "it is a download, and no computation",
        "Write `{}`.",
        {
            "mnist": "torchvision.datasets.MNIST(folder, download=True)",
            "fashion_mnist": "torchvision.datasets.FashionMNIST(folder, download=True)",
            "cifar10": "torchvision.datasets.CIFAR10(folder, download=True)",
            "cifar100": "torchvision.datasets.CIFAR100(folder, download=True)",
            "california_housing": "sklearn.datasets.fetch_california_housing()",
            "boston_housing": 'sklearn.datasets.fetch_openml("boston", version=1)',
            "imdb": 'datasets.load_dataset("imdb")',
            "reuters": 'sklearn.datasets.fetch_openml("reuters")',
        },
    ),
    Answer(
        "utils",
        "PyTorch, numpy and Python have what it does",
        "Write `numpy.eye(num_classes)[y]` for `utils.to_categorical`, and `torch.manual_seed(seed)` for "
        "`utils.set_random_seed`.",
    ),
    *answers("utils", "it is a line", "Write `{}`.", _UTILS),
    *answers(
        "utils",
        "objects are found by the names in `custom_objects`",
        "Write `models.model_from_json(text, custom_objects={'Mine': Mine})`.",
        "get_custom_objects get_registered_name get_registered_object register_keras_serializable",
    ),
    *answers(
        "utils",
        "data is prepared by PyTorch's data sets",
        "Write a `torch.utils.data.Dataset`.",
        "FeatureSpace Config StepsPerExecutionTuner SidecarEvaluator TimedThread "
        "audio_dataset_from_directory bounding_boxes disable_interactive_logging "
        "enable_interactive_logging experimental image_dataset_from_directory "
        "is_interactive_logging_enabled legacy text_dataset_from_directory "
        "warmstart_embedding_matrix",
    ),
    Answer(
        "preprocessing",
        "data is prepared by PyTorch's data sets",
        "Write `torch.utils.data.DataLoader(dataset, batch_size=32)`.",
    ),
    Answer("ops", "its functions are PyTorch's", "Write `torch.sum(x, 1)` for `ops.sum(x, axis=1)`."),
    Answer("random", "PyTorch has it", "Write `torch.randn(shape)` for `random.normal(shape)`."),
    Answer(
        "mixed_precision",
        "PyTorch has it, around a call",
        'Write `with torch.autocast("cuda", torch.float16): model(x)`.',
    ),
    *answers(
        "",
        "a layer has one dtype for its weights",
        'Write `layers.Dense(8, dtype="float64")`, and `torch.autocast` for mixed precision.',
        "DTypePolicy FloatDTypePolicy dtype_policies",
    ),
    *answers(
        "",
        "PyTorch has it",
        "Write `{}`.",
        {
            "Loss": "torch.nn.Module()",
            "Metric": "torch.nn.Module()",
            "Optimizer": "torch.optim.Optimizer(parameters, defaults)",
            "Variable": "torch.nn.Parameter(tensor)",
            "RematScope": "torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)",
            "remat": "torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)",
            "StatelessScope": "torch.func.functional_call(model, state, (x,))",
            "SymbolicScope": "torch.device('meta')",
            "device": "torch.device('cuda')",
            "distribution": "torch.distributed.tensor.distribute_tensor(x, mesh, placements)",
            "dtensor": "torch.distributed.tensor.distribute_tensor(x, mesh, placements)",
            "tree": "torch.utils._pytree.tree_map(function, values)",
            "export": "torch.export.export(model, (x,))",
            "quantizers": "torch.ao.quantization.quantize_dynamic(model)",
            "Quantizer": "torch.ao.quantization.quantize_dynamic(model)",
            "name_scope": "backend.name_scope(name)",
            "version": "batchdot.__version__",
            "Function": "Model(inputs, outputs)",
            "Operation": "layers.Lambda(function)",
            "KerasTensor": "Input(shape)",
            "Initializer": "initializers.Initializer()",
            "Regularizer": "regularizers.Regularizer()",
            "distillation": "torch.nn.KLDivLoss()(student, teacher)",
            "visualization": "torchvision.utils.draw_bounding_boxes(image, boxes)",
            "wrappers": "sklearn.base.BaseEstimator()",
        },
    ),
    *answers(
        "",
        "`layers.Layer` has what it is for",
        "Write a subclass of `layers.Layer` that checks `inputs.shape` in its `call`.",
        "InputSpec",
    ),
    Answer(
        "saving",
        "a torch.nn.Module is saved by its state",
        "Write `torch.save(model.state_dict(), path)`, and `models.load_model(path)` for what Keras saved.",
    ),
    *answers(
        "saving",
        "objects are found by the names in `custom_objects`",
        "Leave it out, and write `models.model_from_json(text, custom_objects={'Mine': Mine})`.",
        "get_custom_objects get_registered_name get_registered_object register_keras_serializable",
    ),
    *answers(
        "saving",
        "it has another place here",
        "Write `{}`.",
        {
            "CustomObjectScope": "from batchdot.registry import custom_object_scope",
            "custom_object_scope": "from batchdot.registry import custom_object_scope",
            "deserialize_keras_object": "layers.deserialize(config)",
            "load_model": "models.load_model(path)",
            "load_weights": "model.load_weights(path)",
            "save_model": "torch.save(model.state_dict(), path)",
            "save_weights": "torch.save(model.state_dict(), path)",
            "serialize_keras_object": "layers.serialize(layer)",
        },
    ),
    *answers(
        "",
        "it belongs to TensorFlow or to another version of Keras",
        "Leave it out, or run that version of Keras.",
        "estimator experimental legacy protobuf src",
    ),
    *answers(
        "activations",
        "PyTorch has it",
        "Write `{}`.",
        {
            "celu": "torch.nn.functional.celu(x)",
            "glu": "torch.nn.functional.glu(x)",
            "hard_shrink": "torch.nn.functional.hardshrink(x)",
            "hard_silu": "torch.nn.functional.hardswish(x)",
            "hard_swish": "torch.nn.functional.hardswish(x)",
            "hard_tanh": "torch.nn.functional.hardtanh(x)",
            "log_sigmoid": "torch.nn.functional.logsigmoid(x)",
            "soft_shrink": "torch.nn.functional.softshrink(x)",
            "sparse_plus": "torch.where(x < 1, (x + 1).clamp_min(0).square() / 4, x)",
            "sparse_sigmoid": "((x + 1) / 2).clamp(0, 1)",
            "sparsemax": "torch.softmax(x, -1)",
            "squareplus": "(x + (x.square() + 4).sqrt()) / 2",
            "tanh_shrink": "torch.nn.functional.tanhshrink(x)",
            "threshold": "torch.nn.functional.threshold(x, threshold, default_value)",
        },
    ),
    *answers(
        "initializers",
        "it has another name here",
        "Write `{}`.",
        {
            "IdentityInitializer": "initializers.Identity()",
            "OrthogonalInitializer": "initializers.Orthogonal()",
            "STFT": "torch.stft(x, n_fft, return_complex=True)",
            "STFTInitializer": "torch.stft(x, n_fft, return_complex=True)",
            "stft": "torch.stft(x, n_fft, return_complex=True)",
        },
    ),
    *answers(
        "constraints",
        "it is for convolutions",
        "Write a subclass of `constraints.Constraint`.",
        "RadialConstraint radial_constraint",
    ),
]

"""Optimizers, losses, metrics and callbacks of Keras, which are PyTorch's, or lines of a training loop."""

from batchdot.keras_names.answer import Answer, answers

_LOSSES = {
    "BinaryCrossentropy": "torch.nn.BCELoss()(output, target)",
    "CategoricalCrossentropy": "torch.nn.CrossEntropyLoss()(logits, target)",
    "SparseCategoricalCrossentropy": "torch.nn.CrossEntropyLoss()(logits, target)",
    "MeanSquaredError": "torch.nn.MSELoss()(output, target)",
    "MeanAbsoluteError": "torch.nn.L1Loss()(output, target)",
    "MeanAbsolutePercentageError": "100 * ((output - target) / target).abs().mean()",
    "MeanSquaredLogarithmicError": "torch.nn.MSELoss()(output.log1p(), target.log1p())",
    "Huber": "torch.nn.HuberLoss()(output, target)",
    "LogCosh": "(output - target).cosh().log().mean()",
    "Poisson": "torch.nn.PoissonNLLLoss(log_input=False)(output, target)",
    "KLDivergence": 'torch.nn.KLDivLoss(reduction="batchmean")(output.log(), target)',
    "CosineSimilarity": "-torch.nn.functional.cosine_similarity(output, target).mean()",
    "Hinge": "(1 - target * output).clamp_min(0).mean()",
    "SquaredHinge": "(1 - target * output).clamp_min(0).square().mean()",
    "CategoricalHinge": (
        "(((1 - target) * output).amax(-1) - (target * output).sum(-1) + 1).clamp_min(0).mean()"
    ),
    "BinaryFocalCrossentropy": "backend.binary_focal_crossentropy(target, output).mean()",
    "CategoricalFocalCrossentropy": "backend.categorical_focal_crossentropy(target, output).mean()",
    "CategoricalGeneralizedCrossEntropy": "((1 - (target * output).sum(-1) ** q) / q).mean()",
    "CTC": "torch.nn.CTCLoss()(log_probabilities, target, input_lengths, target_lengths)",
    "Circle": "torch.nn.functional.triplet_margin_loss(anchor, positive, negative)",
    "Dice": "1 - 2 * (output * target).sum() / (output.sum() + target.sum())",
    "Tversky": ("1 - (output * target).sum() / (alpha * output.sum() + beta * target.sum())"),
}
_FUNCTIONS = {
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "categorical_generalized_cross_entropy": "CategoricalGeneralizedCrossEntropy",
    "categorical_hinge": "CategoricalHinge",
    "circle": "Circle",
    "cosine_similarity": "CosineSimilarity",
    "ctc": "CTC",
    "dice": "Dice",
    "hinge": "Hinge",
    "huber": "Huber",
    "kl_divergence": "KLDivergence",
    "kld": "KLDivergence",
    "KLD": "KLDivergence",
    "kullback_leibler_divergence": "KLDivergence",
    "log_cosh": "LogCosh",
    "logcosh": "LogCosh",
    "mae": "MeanAbsoluteError",
    "MAE": "MeanAbsoluteError",
    "mape": "MeanAbsolutePercentageError",
    "MAPE": "MeanAbsolutePercentageError",
    "mean_absolute_error": "MeanAbsoluteError",
    "mean_absolute_percentage_error": "MeanAbsolutePercentageError",
    "mean_squared_error": "MeanSquaredError",
    "mean_squared_logarithmic_error": "MeanSquaredLogarithmicError",
    "mse": "MeanSquaredError",
    "MSE": "MeanSquaredError",
    "msle": "MeanSquaredLogarithmicError",
    "MSLE": "MeanSquaredLogarithmicError",
    "poisson": "Poisson",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
    "squared_hinge": "SquaredHinge",
    "tversky": "Tversky",
}
_ALL_LOSSES = _LOSSES | {name: _LOSSES[same] for name, same in _FUNCTIONS.items()}

_NO_METRICS = frozenset(
    [
        "BinaryFocalCrossentropy",
        "CTC",
        "CategoricalFocalCrossentropy",
        "CategoricalGeneralizedCrossEntropy",
        "Circle",
        "Dice",
        "Huber",
        "LogCosh",
        "Tversky",
        "categorical_generalized_cross_entropy",
        "circle",
        "cosine_similarity",
        "ctc",
        "dice",
        "tversky",
    ]
)
"""Losses that Keras does not have among its metrics."""

_TOP_K = "(scores.topk(k).indices == target[:, None]).any(-1).float().mean()"
_METRICS = {
    "Accuracy": "(output == target).float().mean()",
    "BinaryAccuracy": "((output > 0.5) == target).float().mean()",
    "binary_accuracy": "((output > 0.5) == target).float().mean()",
    "CategoricalAccuracy": "(output.argmax(-1) == target.argmax(-1)).float().mean()",
    "categorical_accuracy": "(output.argmax(-1) == target.argmax(-1)).float().mean()",
    "SparseCategoricalAccuracy": "(output.argmax(-1) == target).float().mean()",
    "sparse_categorical_accuracy": "(output.argmax(-1) == target).float().mean()",
    "TopKCategoricalAccuracy": _TOP_K,
    "top_k_categorical_accuracy": _TOP_K,
    "SparseTopKCategoricalAccuracy": _TOP_K,
    "sparse_top_k_categorical_accuracy": _TOP_K,
    "TruePositives": "((output > 0.5) & (target == 1)).sum()",
    "TrueNegatives": "((output <= 0.5) & (target == 0)).sum()",
    "FalsePositives": "((output > 0.5) & (target == 0)).sum()",
    "FalseNegatives": "((output <= 0.5) & (target == 1)).sum()",
    "Precision": "target[output > 0.5].float().mean()",
    "Recall": "(output[target == 1] > 0.5).float().mean()",
    "Mean": "values.mean()",
    "MeanTensor": "values.mean(0)",
    "Sum": "values.sum()",
    "MeanRelativeError": "((output - target).abs() / normalizer).mean()",
    "RootMeanSquaredError": "(output - target).square().mean().sqrt()",
    "LogCoshError": "(output - target).cosh().log().mean()",
    "R2Score": "1 - (output - target).square().sum() / (target - target.mean()).square().sum()",
    "PearsonCorrelation": "torch.corrcoef(torch.stack([output, target]))[0, 1]",
    "pearson_correlation": "torch.corrcoef(torch.stack([output, target]))[0, 1]",
}
_BY_SKLEARN = (
    "AUC BinaryIoU ConcordanceCorrelation F1Score FBetaScore IoU MeanIoU OneHotIoU OneHotMeanIoU "
    "PrecisionAtRecall RecallAtPrecision SensitivityAtSpecificity SpecificityAtSensitivity "
    "concordance_correlation"
)

_OPTIMIZERS = {
    "Adadelta": "torch.optim.Adadelta(model.parameters(), lr=0.001, rho=0.95, eps=1e-7)",
    "Adafactor": "torch.optim.Adafactor(model.parameters())",
    "Adagrad": "torch.optim.Adagrad(model.parameters(), lr=0.001, initial_accumulator_value=0.1)",
    "Adam": "torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7)",
    "AdamW": "torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.004, eps=1e-7)",
    "Adamax": "torch.optim.Adamax(model.parameters(), lr=0.001, eps=1e-7)",
    "Muon": "torch.optim.Muon(matrices)",
    "Nadam": "torch.optim.NAdam(model.parameters(), lr=0.001, eps=1e-7)",
    "RMSprop": "torch.optim.RMSprop(model.parameters(), lr=0.001, alpha=0.9, eps=1e-7)",
    "SGD": "torch.optim.SGD(model.parameters(), lr=0.01)",
    "LossScaleOptimizer": "torch.amp.GradScaler()",
    "MultiOptimizer": "torch.optim.Adam(groups)",
    "Optimizer": "torch.optim.Optimizer(model.parameters(), defaults)",
    "schedules": "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)",
}

_CALLBACKS = {
    "BackupAndRestore": "torch.save((model.state_dict(), optimizer.state_dict()), path)",
    "CSVLogger": "csv.writer(file).writerow([epoch, loss])",
    "EarlyStopping": "if loss > best: break",
    "History": "history.append(loss)",
    "LearningRateScheduler": "torch.optim.lr_scheduler.LambdaLR(optimizer, function).step()",
    "ModelCheckpoint": "torch.save(model.state_dict(), path)",
    "OrbaxCheckpoint": "torch.save(model.state_dict(), path)",
    "ProgbarLogger": "tqdm.tqdm(loader)",
    "ReduceLROnPlateau": "torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer).step(loss)",
    "SwapEMAWeights": "torch.optim.swa_utils.AveragedModel(model)",
    "TensorBoard": "writer.add_scalar('loss', loss, step)",
    "TerminateOnNaN": "assert loss.isfinite()",
}

_LOOPED = "training is a loop over PyTorch's optimizers"

TRAINING: list[Answer] = [
    Answer(
        "optimizers",
        "PyTorch has them, in torch.optim",
        "Write `torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7)` for `optimizers.Adam()`.",
    ),
    *answers("optimizers", "PyTorch has it", "Write `{}`.", _OPTIMIZERS),
    *answers(
        "optimizers",
        "PyTorch has others",
        "Write `torch.optim.AdamW(model.parameters())`.",
        "Ftrl Lamb Lion OptimizerMap ScheduleFreeAdamW experimental legacy deserialize get serialize",
    ),
    Answer(
        "losses",
        "a loss is a function of two tensors",
        "Write `torch.nn.MSELoss()(output, target)` for `losses.MeanSquaredError()(target, output)`.",
    ),
    *answers("losses", "a loss is a function of two tensors", "Write `{}`.", _ALL_LOSSES),
    *answers(
        "losses",
        "a loss is a function of two tensors",
        "Write a function, `def loss(output, target): return (output - target).square().mean()`.",
        "Loss Reduction deserialize get serialize",
    ),
    Answer(
        "metrics",
        "a metric is a number that the training loop computes",
        "Write `(output.argmax(-1) == target).float().mean()` for accuracy.",
    ),
    *answers(
        "metrics",
        "a metric is a number that the training loop computes",
        "Write `{}`.",
        {name: code for name, code in _ALL_LOSSES.items() if name not in _NO_METRICS} | _METRICS,
    ),
    *answers(
        "metrics",
        "scikit-learn has it",
        "Write it with `sklearn.metrics`, on the arrays of `model.predict(x)`.",
        _BY_SKLEARN,
    ),
    *answers(
        "metrics",
        "a metric is a number that the training loop computes",
        "Write a function of two tensors.",
        "Metric MeanMetricWrapper experimental deserialize get serialize",
    ),
    Answer(
        "callbacks", _LOOPED, "Write what they do as lines of the loop, `torch.save` for ModelCheckpoint."
    ),
    *answers("callbacks", _LOOPED, "Write `{}` in the loop.", _CALLBACKS),
    *answers(
        "callbacks",
        _LOOPED,
        "Write what it does as lines of the loop.",
        "BaseLogger Callback CallbackList LambdaCallback RemoteMonitor SidecarEvaluatorModelExport "
        "experimental",
    ),
]

"""What names that are here do not do, compared with Keras."""

RESTRICTIONS: dict[str, str] = {
    "Input": "dense only: `sparse`, `ragged` and `tensor` of numbers are refused",
    "layers.Input": "dense only: `sparse`, `ragged` and `tensor` of numbers are refused",
    "layers.InputLayer": "dense only: `sparse`, `ragged` and `optional` are refused",
    "layers.Lambda": "a config holds a function by its name; bytecode is not run",
    "Model": "no `fit`: training is a loop over PyTorch's optimizers",
    "Sequential": "no `fit`: training is a loop over PyTorch's optimizers",
    "models.Model": "no `fit`: training is a loop over PyTorch's optimizers",
    "models.Sequential": "no `fit`: training is a loop over PyTorch's optimizers",
    "Model.compile": "torch.nn.Module's: it takes the arguments of torch.compile",
    "Model.predict": "without `callbacks`; `workers` and the like have no effect",
    "backend.shape": "a tuple, with None for an unknown size, instead of a tensor",
    "backend.learning_phase": "an error outside the call of a layer, unless `set_learning_phase` was called",
    "backend.in_train_phase": "an error outside the call of a layer, unless `set_learning_phase` was called",
    "backend.mean": "the mean of integers is a float",
    "backend.placeholder": "dense only: `sparse` and `ragged` are refused",
    "backend.function": "without `updates`",
    "backend.name_scope": "does nothing",
}
"""A clause for each name that is here with a restriction; all other names are here without one."""

"""Methods of Keras's models and functions of keras.models that are not here."""

from batchdot.keras_names.answer import Answer, answers

_LOOP = (
    "Write `for x, y in loader: optimizer.zero_grad(); loss_function(model(x), y).backward(); "
    "optimizer.step()`, with `optimizer = torch.optim.Adam(model.parameters())`; who wants fit has Keras 3 "
    "with KERAS_BACKEND=torch."
)
_TRAINED = "training is a loop over PyTorch's optimizers"
_KEEP = "Write `torch.save(model.state_dict(), path)`, and `model.load_state_dict(torch.load(path))`"

MODELS: list[Answer] = [
    *answers("Model", _TRAINED, _LOOP, "fit fit_generator"),
    *answers(
        "Model",
        _TRAINED,
        "Write `loss = loss_function(model(x), y); loss.backward(); optimizer.step()`.",
        "train_on_batch train_step make_train_function compute_loss stateless_compute_loss",
    ),
    *answers(
        "Model",
        "losses and metrics are functions of tensors",
        "Write `loss_function(torch.from_numpy(model.predict(x)), y)`.",
        "evaluate evaluate_generator test_on_batch test_step make_test_function compute_metrics "
        "get_metrics_result metrics metrics_names metrics_variables reset_metrics add_metric",
    ),
    *answers(
        "Model",
        "`predict` takes arrays, loaders and generators",
        "Write `model.predict(x)`.",
        "predict_generator predict_on_batch predict_step make_predict_function",
    ),
    *answers(
        "Model",
        "a torch.nn.Module is saved by its state",
        f"{_KEEP}; `model.to_json()` has the layers.",
        "save save_weights save_own_variables load_own_variables save_spec get_state_tree "
        "set_state_tree finalize_state",
    ),
    *answers(
        "Model",
        "torch.export has it",
        "Write `torch.export.export(model.eval(), (inputs,))`.",
        "export",
    ),
    *answers("Model", "JSON has replaced YAML in Keras", "Write `model.to_json()`.", "to_yaml"),
    *answers(
        "Model",
        "there is nothing that `compile` would have set",
        "Leave it out, or write `model.compile()` for torch.compile.",
        "compile_from_config get_compile_config run_eagerly jit_compile steps_per_execution "
        "autotune_steps_per_execution distribute_strategy distribute_reduction_method",
    ),
    *answers(
        "Model",
        "a torch.nn.Module has one dtype for its weights",
        "Write `model.dtype`, and `torch.autocast` for mixed precision.",
        "compute_dtype variable_dtype dtype_policy input_dtype",
    ),
    *answers(
        "Model",
        "PyTorch has it under another name",
        "Write `{}`.",
        {
            "submodules": "list(model.modules())",
            "torch_params": "dict(model.named_parameters())",
            "get_weight_paths": "list(model.state_dict())",
            "path": "model.name",
            "stateless_call": "torch.func.functional_call(model, state, (x,))",
            "symbolic_call": "model(x)",
            "rematerialized_call": "torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False)",
            "compute_output_signature": "model.compute_output_shape(input_shape)",
            "state_updates": "model.updates",
            "reset_states": "model.load_state_dict(state)",
            "stateful": "state = module(x, state)",
            "dynamic": "model.is_training(None)",
            "name_scope": "backend.name_scope(name)",
            "with_name_scope": "backend.name_scope(name)",
            "build_from_config": "model.build(input_shape)",
            "get_build_config": "model.input_shape",
        },
    ),
    *answers(
        "Model",
        "torch.ao has it",
        "Write `torch.ao.quantization.quantize_dynamic(model)`.",
        "quantize quantized_build quantized_call quantization_mode get_quantization_layer_structure",
    ),
    *answers("models", "a torch.nn.Module is saved by its state", f"{_KEEP}.", "save_model"),
    *answers("models", "Python has it", "Write `copy.deepcopy(model)`.", "clone_model"),
    *answers(
        "models",
        "JSON has replaced YAML in Keras",
        "Write `models.model_from_json(text)`.",
        "model_from_yaml",
    ),
    *answers("models", "it is a model of one layer", "Write `layers.Dense(1)`.", "experimental"),
]

COMPILE = Answer("Model.compile for an optimizer and a loss", _TRAINED, _LOOP)

COMPILE_ARGUMENTS = frozenset(
    [
        "auto_scale_loss",
        "distribute",
        "jit_compile",
        "loss",
        "loss_weights",
        "metrics",
        "optimizer",
        "pss_evaluation_shards",
        "run_eagerly",
        "sample_weight_mode",
        "steps_per_execution",
        "target_tensors",
        "weighted_metrics",
    ]
)
"""What Keras's ``Model.compile`` takes; torch.compile takes none of these."""

"""What has to hold for every layer: a layer is a `LayerCase`, a property is a check that takes one.

`CHECKS` need no Keras. `KERAS_CHECKS` compare with what Keras answers, recorded or live (`keras_record`).
tests/layers/test_suite.py runs every check that applies to a case.
"""

import copy
import json
import pickle
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.graphs import count_graphs
from tests.support.keras_record import KerasSays
from tests.support.live_keras import keras, tf, tf_keras
from torch import Tensor, nn

import batchdot
from batchdot import layers

IDS = 7
"""Integers in inputs are below this."""

MERGING = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")
"""Layers that take a list of inputs, of one input as well."""

# What Keras 3 calls otherwise or does not have.
NOT_IN_KERAS_3 = {"Embedding": {"input_length"}, "Softmax": {"robust_masking"}, "Dense": {"input_dim"}}

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class LayerCase:
    """A layer with its arguments, and the inputs on which it is tried.

    Attributes:
        name: The class in `batchdot.layers`, and in Keras's.
        arguments: What it is made with.
        shapes: Of the inputs, with a batch of 2.
        kind: "float"; "int", integers below `IDS`; "float ids", floats that an Embedding rounds to ids;
            "masked", floats of which some steps are all 0 and some all 2.
        in_keras: Whether it is compared with Keras.
        custom: What its config names that no registry knows.
    """

    name: str
    arguments: dict[str, Any]
    shapes: Shapes
    kind: str = "float"
    in_keras: bool = True
    custom: dict[str, Any] = field(default_factory=dict)

    @property
    def question(self) -> tuple[Any, ...]:
        """What a question to Keras is told."""
        return self.name, self.arguments, self.shapes, self.kind

    @property
    def is_empty(self) -> bool:
        return 0 in self.shapes[0]

    def make(self) -> Any:
        """Return the layer, named as the first of its class, in evaluation mode."""
        batchdot.backend.clear_session()
        return getattr(layers, self.name)(**self.arguments).eval()

    def inputs(self, batch: int = 2, dtype: torch.dtype | None = None) -> Any:
        """Return tensors, in a list where the layer takes one."""
        shapes = tuple((batch, *shape[1:]) for shape in self.shapes)
        arrays = [torch.from_numpy(array) for array in make_arrays(shapes, self.kind)]
        return as_given(self.name, [array if dtype is None else array.to(dtype) for array in arrays])

    def built(self) -> tuple[Any, Any]:
        """Return the layer, built and with weights that depend on their shapes alone; and inputs."""
        layer, x = self.make(), self.inputs(self.shapes[0][0])
        layer(x)
        layer.set_weights(weights_for(layer))
        return layer, x


def make_arrays(shapes: Shapes, kind: str) -> list[np.ndarray]:
    """Return the same arrays for the same shapes, always."""
    rng = np.random.default_rng(0)
    if kind == "int":
        return [rng.integers(0, IDS, shape) for shape in shapes]
    if kind == "float ids":
        return [rng.uniform(0, IDS, shape).astype("float32") for shape in shapes]
    if kind == "masked":
        arrays = [rng.integers(0, 3, shape).astype("float32") for shape in shapes]
        for array in arrays:
            array[:1] = 0.0
            array[1:2, :2] = 2.0
        return arrays
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


def weights_for(layer: Any) -> list[np.ndarray]:
    """Return the same arrays for weights of the same shapes, here and in Keras."""
    rng = np.random.default_rng(1)
    return [rng.standard_normal(w.shape).astype(w.dtype) for w in layer.get_weights()]


def as_given(name: str, values: list[Any]) -> Any:
    return values if name in MERGING else values[0]


def as_list(x: Any) -> list[Any]:
    return x if isinstance(x, list) else [x]


# What a layer owes PyTorch and itself.


def check_calls_are_alike(case: LayerCase) -> None:
    """The first call, which builds, gives what the later ones give; a list of losses does not grow."""
    layer, x = case.make(), case.inputs()
    first = layer(x)
    losses = len(layer.losses)
    assert layer.built
    for _ in range(3):
        assert torch.equal(layer(x), first)
        assert len(layer.losses) == losses


def check_compile(case: LayerCase) -> None:
    """One graph for any batch, and one more for the first size."""
    layer, _ = case.built()
    assert count_graphs(layer, [(case.inputs(size),) for size in (5, 12, 7, 19)]) <= 2


def check_export(case: LayerCase) -> None:
    layer = case.make()
    layer(case.inputs())
    more = torch.export.AdditionalInputs()  # says which sizes change
    more.add((case.inputs(9),))
    program = torch.export.export(layer, (case.inputs(4),), dynamic_shapes=more, strict=False)
    for size in (4, 9):
        x = case.inputs(size)
        torch.testing.assert_close(program.module()(x), layer(x))


def check_copies(case: LayerCase) -> None:
    layer, x = case.built()
    wanted = layer(x)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert again.name == layer.name
        assert torch.equal(again(x), wanted)
        assert not {w.data_ptr() for w in layer.weights} & {w.data_ptr() for w in again.weights}


def check_state(case: LayerCase) -> None:
    """A state is loaded before the first call and after it, and a module around the layer has it."""
    layer, x = case.built()
    wanted, state = layer(x), layer.state_dict()
    fresh = case.make()
    fresh.load_state_dict(state)
    assert torch.equal(fresh(x), wanted)
    assert list(fresh.state_dict()) == list(state)
    later = case.make()
    later(x)
    later.load_state_dict(state)
    assert torch.equal(later(x), wanted)
    assert set(nn.ModuleDict({"inner": layer}).state_dict()) == {f"inner.{key}" for key in state}


def check_dtypes(case: LayerCase) -> None:
    """Inputs keep their dtype, but for weights, which decide as in Keras; `to` moves them."""
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        layer = case.make()
        x = case.inputs(dtype=dtype if case.kind in ("float", "masked") else None)
        out = layer(x)
        if layer.weights:
            assert out.dtype == torch.float32
            assert layer.to(dtype)(x).dtype == dtype
        else:
            assert out.dtype == as_list(x)[0].dtype
        assert layer(x).dtype == layer(x).dtype


def check_config(case: LayerCase) -> None:
    """A layer made of a config, of one that was JSON, of an entry: the same config and the same values."""
    layer, x = case.built()
    config, entry = layer.get_config(), layers.serialize(layer)
    with batchdot.registry.custom_object_scope(case.custom):
        again = [
            type(layer).from_config(config),
            type(layer).from_config(json.loads(json.dumps(config))),
            layers.deserialize(entry),
            layers.deserialize(json.loads(json.dumps(entry))),
        ]
    for other in again:
        assert json.dumps(other.get_config()) == json.dumps(config)
        other.eval()(x)
        other.set_weights(weights_for(other))
        assert torch.equal(other(x), layer(x))


def static_shapes(case: LayerCase) -> Iterator[Any]:
    """Yield the shapes of inputs with nothing unknown, with an unknown batch, with an unknown second size."""
    for unknown in ((), (0,), (0, 1)):
        if case.name == "Dense" and any(len(shape) <= max(unknown, default=0) + 1 for shape in case.shapes):
            continue  # whose last size makes its weights
        yield [tuple(None if i in unknown else n for i, n in enumerate(shape)) for shape in case.shapes]


def symbolic(case: LayerCase, module: Any, shapes: Any) -> Any:
    """Return Inputs of a library that is called keras."""
    dtype = "int64" if case.kind == "int" else "float32"
    return as_given(case.name, [module.Input(batch_shape=shape, dtype=dtype) for shape in shapes])


def fits(shape: Any, known: Any) -> bool:
    return len(shape) == len(known) and all(a in (None, b) for a, b in zip(shape, known, strict=True))


def check_symbolic_call(case: LayerCase) -> None:
    """A symbolic call has the shape and dtype of an eager one, and a model of it the values."""
    for shapes in static_shapes(case):
        layer, x = case.built()
        wanted = layer(x)
        out = layer(symbolic(case, batchdot, shapes))
        assert fits(out.shape, wanted.shape)
        assert out.dtype == wanted.dtype
        assert layer.output_shape == layer.compute_output_shape(as_given(case.name, shapes)) == out.shape
        assert layer.input_shape in (shapes, shapes[0])
        assert torch.equal(batchdot.Model(layer.input, out).eval()(x), wanted)


def check_empty_batch(case: LayerCase) -> None:
    layer, x = case.built()
    wanted, out = layer(x), layer(case.inputs(0))
    assert (out.shape, out.dtype) == ((0, *wanted.shape[1:]), wanted.dtype)
    fresh = case.make()
    assert fresh(case.inputs(0)).shape == out.shape  # as the call that builds


def check_gradients(case: LayerCase) -> None:
    """Of inputs and weights, against finite differences."""
    layer, _ = case.built()
    layer.double()
    leaves = [x.requires_grad_() for x in as_list(case.inputs(dtype=torch.float64))]
    trained = {name: weight for name, weight in layer.named_parameters() if weight.requires_grad}
    weights = [weight.detach().clone().requires_grad_() for weight in trained.values()]

    def function(*values: Tensor) -> Any:
        x, state = list(values[: len(leaves)]), dict(zip(trained, values[len(leaves) :], strict=True))
        return torch.func.functional_call(layer, state, (as_given(case.name, x),))

    # The full mode takes as many calls as there are numbers.
    fast = sum(value.numel() for value in (*leaves, *weights)) > 200
    assert torch.autograd.gradcheck(function, (*leaves, *weights), fast_mode=fast)


def check_hooks(case: LayerCase) -> None:
    layer, x = case.built()
    fired: list[str] = []
    handles = [
        layer.register_forward_pre_hook(lambda *_: fired.append("pre")),
        layer.register_forward_hook(lambda *_: fired.append("forward")),
    ]
    layer(x), layer(x)
    for handle in handles:
        handle.remove()
    layer(x)
    assert fired == ["pre", "forward"] * 2


def check_masks(case: LayerCase) -> None:
    """A symbolic output has the mask that `compute_mask` gives, over its leading axes."""
    layer = case.make()
    inputs = [batchdot.Input(batch_shape=(None, *shape[1:])) for shape in case.shapes]
    masked = as_given(case.name, [layers.Masking()(x) for x in inputs])
    out = layer(masked)
    x = case.inputs()
    masks = as_given(case.name, [layers.Masking().compute_mask(value) for value in as_list(x)])
    wanted = layer.compute_mask(x, masks)
    assert (out.mask is None) == (wanted is None)
    if wanted is not None:
        assert fits(out.mask.shape, wanted.shape)
        assert fits(out.mask.shape, layer(x).shape[: wanted.ndim])


def is_differentiable(case: LayerCase) -> bool:
    return case.kind == "float" and not case.is_empty


CHECKS: dict[Callable[[LayerCase], None], Callable[[LayerCase], bool]] = {
    check_calls_are_alike: lambda case: True,
    check_export: lambda case: not case.is_empty and "activity_regularizer" not in case.arguments,
    check_copies: lambda case: True,
    check_state: lambda case: True,
    check_dtypes: lambda case: True,
    check_config: lambda case: True,
    check_symbolic_call: lambda case: not case.is_empty,
    check_empty_batch: lambda case: True,
    check_gradients: is_differentiable,
    check_hooks: lambda case: True,
    check_masks: lambda case: case.kind == "masked",
    check_compile: lambda case: not case.is_empty,
}
"""What is checked, and of which cases."""


# What Keras answers about a case.


def keras_layer(name: str, arguments: dict[str, Any], shapes: Shapes, kind: str) -> dict[str, Any]:
    """Return what a layer of tf_keras is, and gives for the inputs and weights of the case."""
    tf_keras.backend.clear_session()
    layer = getattr(tf_keras.layers, name)(**arguments)
    arrays = make_arrays(shapes, kind)
    layer(as_given(name, [tf.constant(array) for array in arrays]))
    layer.set_weights(weights_for(layer))
    variables = [tf.Variable(array) for array in arrays]
    with tf.GradientTape() as tape:
        out = layer(as_given(name, [tf.convert_to_tensor(variable) for variable in variables]))
        loss = tf.reduce_sum(out * out)
    gradients = []
    if kind == "float" and 0 not in shapes[0]:
        gradients = tape.gradient(loss, [*variables, *layer.trainable_weights])
    return {
        "name": layer.name,
        "weights": [tuple(weight.shape) for weight in layer.weights],
        "trainable": len(layer.trainable_weights),
        "params": layer.count_params(),
        "supports_masking": layer.supports_masking,
        "config": layer.get_config(),
        "losses": [float(value) for value in layer.losses],
        "output": out.numpy(),
        "gradients": [gradient.numpy() for gradient in gradients],
    }


def keras_symbolic(name: str, arguments: dict[str, Any], shapes: Shapes, kind: str) -> list[Any]:
    """Return shape and dtype of symbolic outputs of tf_keras for `static_shapes`, None where it refuses."""
    case, found = LayerCase(name, arguments, shapes, kind), []
    for statics in static_shapes(case):
        tf_keras.backend.clear_session()
        layer = getattr(tf_keras.layers, name)(**arguments)
        try:
            out = layer(symbolic(case, tf_keras, statics))
        except ValueError:  # its Dot refuses an unknown size beside a known one
            found.append(None)
            continue
        # An Embedding forgets its input_length in a symbolic call, and knows it in compute_output_shape.
        told = "input_length" in arguments
        shape = layer.compute_output_shape(as_given(name, statics)) if told else out.shape
        found.append((tuple(shape), out.dtype.name))
    return found


def masks_for(count: int, given: str) -> list[Any]:
    masks: list[Any] = [np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]], bool), np.ones((2, 5), bool)][:count]
    masks[-1][0, 0] = False
    return masks if given == "all" else [masks[0], *[None] * (count - 1)]


def keras_masks(name: str, arguments: dict[str, Any], shapes: Shapes, kind: str, given: str) -> Any:
    """Return the mask that tf_keras computes, None, or the type of its error."""
    tf_keras.backend.clear_session()
    layer = getattr(tf_keras.layers, name)(**arguments)
    masks = [None if mask is None else tf.constant(mask) for mask in masks_for(len(shapes), given)]
    arrays = as_given(name, [tf.constant(array) for array in make_arrays(shapes, kind)])
    layer(arrays)
    if not layer.supports_masking:
        return None
    try:
        mask = layer.compute_mask(arrays, as_given(name, masks))
    except Exception as error:
        return type(error).__name__
    return None if mask is None else mask.numpy()


def keras_3_layer(name: str, arguments: dict[str, Any], shapes: Shapes, kind: str) -> dict[str, Any]:
    """Return what a layer of Keras 3 is written as, and gives for floating-point inputs."""
    keras.backend.clear_session()
    known = {key: value for key, value in arguments.items() if key not in NOT_IN_KERAS_3.get(name, ())}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of input_shape
        layer = getattr(keras.layers, name)(**known)
    answer = {"name": layer.name, "entry": json.loads(json.dumps(keras.layers.serialize(layer)))}
    if kind == "float" and 0 not in shapes[0]:
        x = as_given(name, [keras.ops.convert_to_tensor(array) for array in make_arrays(shapes, kind)])
        layer(x)
        layer.set_weights(weights_for(layer))
        answer["output"] = layer(x).detach().numpy()
    return answer


def keras_reads(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of the layer that tf_keras makes of a config."""
    layer = getattr(tf_keras.layers, name).from_config(config)
    return json.loads(json.dumps(layer.get_config()))


# What a layer owes Keras.


def check_values(case: LayerCase, keras_says: KerasSays) -> None:
    """Values, losses, weights and counts, in the first calls and in those after them."""
    wanted = keras_says(keras_layer, *case.question)
    layer, x = case.built()
    assert layer.name == wanted["name"]
    assert [tuple(weight.shape) for weight in layer.weights] == wanted["weights"]
    assert len(layer.trainable_weights) == wanted["trainable"]
    assert layer.count_params() == wanted["params"]
    assert layer.supports_masking == wanted["supports_masking"]
    for _ in range(3):
        out = layer(x).detach().numpy()
        assert (out.shape, out.dtype) == (wanted["output"].shape, wanted["output"].dtype)
        np.testing.assert_allclose(out, wanted["output"], rtol=2e-6, atol=2e-6)
        losses = [float(loss.detach()) for loss in layer.losses]
        np.testing.assert_allclose(losses, wanted["losses"], rtol=1e-5)


def check_keras_gradients(case: LayerCase, keras_says: KerasSays) -> None:
    wanted = keras_says(keras_layer, *case.question)["gradients"]
    layer, _ = case.built()
    leaves = [x.requires_grad_() for x in as_list(case.inputs())]
    out = layer(as_given(case.name, leaves))
    got = torch.autograd.grad((out * out).sum(), [*leaves, *layer.trainable_weights])
    for mine, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-5, atol=2e-5)


def check_keras_config(case: LayerCase, keras_says: KerasSays) -> None:
    """The config is that of tf_keras, key by key and in its order, and tf_keras reads it."""
    wanted = keras_says(keras_layer, *case.question)["config"]
    config = case.make().get_config()
    assert config == wanted
    assert list(config) == list(wanted)
    written = json.loads(json.dumps(config))
    assert keras_says(keras_reads, case.name, written) == written


def check_keras_shapes(case: LayerCase, keras_says: KerasSays) -> None:
    wanted = keras_says(keras_symbolic, *case.question)
    for shapes, answer in zip(static_shapes(case), wanted, strict=True):
        out = case.make()(symbolic(case, batchdot, shapes))
        if answer is not None:
            assert (out.shape, str(out.dtype)) == (answer[0], f"torch.{answer[1]}")


def check_keras_masks(case: LayerCase, keras_says: KerasSays) -> None:
    for given in ("all", "first"):
        wanted = keras_says(keras_masks, *case.question, given)
        layer, x = case.built()
        masks = [
            None if mask is None else torch.from_numpy(mask) for mask in masks_for(len(case.shapes), given)
        ]
        got = layer.compute_mask(x, as_given(case.name, masks))
        if wanted is None:
            assert got is None
        elif not isinstance(wanted, str):  # a mask beside None makes tf_keras fail
            np.testing.assert_array_equal(got.numpy(), wanted)


def check_keras_3(case: LayerCase, keras_says: KerasSays) -> None:
    """What Keras 3 wrote is read, with its arguments, and gives its values."""
    wanted = keras_says(keras_3_layer, *case.question)
    batchdot.backend.clear_session()
    layer = layers.deserialize(wanted["entry"]).eval()
    assert layer.name == wanted["name"]
    assert not layer.autocast
    theirs, mine = wanted["entry"]["config"], json.loads(json.dumps(layer.get_config()))
    for key in set(theirs) & set(mine) - {"dtype"}:
        if not isinstance(theirs[key], dict):
            assert mine[key] == theirs[key], key
    if "output" in wanted:
        x = case.inputs()
        layer(x)
        layer.set_weights(weights_for(layer))
        np.testing.assert_allclose(layer(x).detach().numpy(), wanted["output"], rtol=1e-5, atol=1e-5)


KERAS_CHECKS: dict[Callable[[LayerCase, KerasSays], None], Callable[[LayerCase], bool]] = {
    check_values: lambda case: case.in_keras,
    check_keras_gradients: lambda case: case.in_keras and is_differentiable(case),
    check_keras_config: lambda case: case.in_keras,
    check_keras_shapes: lambda case: case.in_keras and not case.is_empty,
    check_keras_masks: lambda case: case.in_keras and case.kind == "masked" and case.shapes[0][1:2] == (5,),
    check_keras_3: lambda case: case.in_keras,
}
"""What is checked against Keras, and of which cases."""


SLOW = (check_compile, check_export)
"""Checks that the default run makes on the first case of a layer and of the ranks of its inputs."""


def pairs(checks: dict[Any, Callable[[LayerCase], bool]], cases: list[LayerCase]) -> list[Any]:
    """Return every check with every case to which it applies, as parameters of a test."""
    params, seen = [], set()
    for check, applies in checks.items():
        for number, case in enumerate(cases):
            alike = check, case.name, *map(len, case.shapes)
            if applies(case):
                slow = check in SLOW and alike in seen
                seen.add(alike)
                name = f"{check.__name__.removeprefix('check_')}-{case.name}-{number}"
                params.append(pytest.param(check, case, marks=[pytest.mark.slow] * slow, id=name))
    return params

"""The layers as torch.nn.Modules: compile, export, states, copies, dtypes, training."""

import copy
import pickle
from typing import Any

import pytest
import torch
from tests.support.graphs import count_graphs
from torch import Tensor, nn

import batchdot
from batchdot import layers

TWENTY = [5 + 7 * number % 20 for number in range(20)]
"""Sizes of batches."""


def square(x: Tensor) -> Tensor:
    return x * x


def floats(*shapes: tuple[int, ...]) -> Any:
    made = [torch.randn(shape) for shape in shapes]
    return made if len(made) > 1 else made[0]


def ids(*shape: int) -> Tensor:
    return torch.randint(0, 7, shape)


# A layer, and an input for a batch size.
ROWS: list[tuple[str, Any, Any]] = [
    ("Dense", lambda: layers.Dense(4, activation="relu"), lambda n: floats((n, 3))),
    ("Dense of rank 3", lambda: layers.Dense(4, use_bias=False), lambda n: floats((n, 5, 3))),
    ("Dense of integers", lambda: layers.Dense(4), lambda n: ids(n, 3)),
    ("Activation", lambda: layers.Activation("tanh"), lambda n: floats((n, 3))),
    ("Embedding", lambda: layers.Embedding(7, 4, mask_zero=True), lambda n: ids(n, 3)),
    ("Flatten", lambda: layers.Flatten(), lambda n: floats((n, 3, 4))),
    ("Flatten channels", lambda: layers.Flatten("channels_first"), lambda n: floats((n, 3, 4, 5))),
    ("Reshape", lambda: layers.Reshape((-1, 2)), lambda n: floats((n, 3, 4))),
    ("Permute", lambda: layers.Permute((2, 1)), lambda n: floats((n, 3, 4))),
    ("RepeatVector", lambda: layers.RepeatVector(3), lambda n: floats((n, 4))),
    ("Concatenate", lambda: layers.Concatenate(), lambda n: floats((n, 3), (n, 4))),
    ("Add", lambda: layers.Add(), lambda n: floats((n, 3), (n, 3))),
    ("Add of ranks", lambda: layers.Add(), lambda n: floats((n, 3), (n, 4, 3))),
    ("Subtract", lambda: layers.Subtract(), lambda n: floats((n, 3), (n, 1))),
    ("Multiply", lambda: layers.Multiply(), lambda n: floats((n, 3), (n, 3), (n, 3))),
    ("Average", lambda: layers.Average(), lambda n: floats((n, 3), (n, 3))),
    ("Maximum", lambda: layers.Maximum(), lambda n: floats((n, 3), (n, 3))),
    ("Minimum", lambda: layers.Minimum(), lambda n: floats((n, 3), (n, 3))),
    ("Dropout", lambda: layers.Dropout(0.5).eval(), lambda n: floats((n, 3))),
    ("Lambda", lambda: layers.Lambda(square), lambda n: floats((n, 3))),
    ("Masking", lambda: layers.Masking(), lambda n: floats((n, 5, 3))),
    ("Softmax", lambda: layers.Softmax(), lambda n: floats((n, 3))),
]
each = pytest.mark.parametrize(("make", "inputs"), [pytest.param(*r[1:], id=r[0]) for r in ROWS])


@each
def test_compiles_to_two_graphs_at_most(make: Any, inputs: Any) -> None:
    layer = make()
    layer(inputs(2))
    assert count_graphs(layer, [(inputs(size),) for size in TWENTY]) <= 2


@pytest.mark.parametrize("make", [layers.Dot, layers.Concatenate, layers.Add])
def test_compiles_before_its_first_call(make: Any) -> None:
    calls = [(floats((size, 4), (size, 4)),) for size in TWENTY]
    assert count_graphs(make(1) if make is layers.Dot else make(), calls) <= 2


@each
def test_exports(make: Any, inputs: Any) -> None:
    layer = make()
    layer(inputs(2))
    x = inputs(4)
    sizes = {0: torch.export.Dim("batch", min=2, max=64)}
    dynamic = (([sizes for _ in x] if isinstance(x, list) else sizes,),)  # forward takes *args
    program = torch.export.export(layer, (x,), dynamic_shapes=dynamic, strict=False)
    for size in (4, 9):
        x = inputs(size)
        torch.testing.assert_close(program.module()(x), layer(x))


@each
def test_copies_pickles_and_states(make: Any, inputs: Any) -> None:
    layer, x = make(), inputs(2)
    wanted = layer(x)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x), wanted)
    fresh = make()
    fresh.load_state_dict(layer.state_dict())  # before its first call
    assert torch.equal(fresh(x), wanted)
    assert list(fresh.state_dict()) == list(layer.state_dict())


@each
def test_takes_part_in_a_module(make: Any, inputs: Any) -> None:
    layer = make()
    holder = nn.ModuleDict({"inner": layer})
    layer(inputs(2))
    assert {f"inner.{key}" for key in layer.state_dict()} == set(holder.state_dict())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@each
def test_dtypes_are_kept(make: Any, inputs: Any, dtype: torch.dtype) -> None:
    layer, x = make(), inputs(2)
    first = x[0] if isinstance(x, list) else x
    if not first.is_floating_point():
        pytest.skip("ids")
    cast = [value.to(dtype) for value in x] if isinstance(x, list) else x.to(dtype)
    layer(cast)
    wanted = torch.float32 if layer.weights else dtype  # weights decide, as in Keras
    assert layer(cast).dtype == wanted
    if layer.weights:
        layer.to(dtype)
        assert layer(cast).dtype == dtype


def test_a_dtype_given_is_that_of_weights_and_output() -> None:
    for name in ("float64", "bfloat16"):
        kind = getattr(torch, name)
        assert layers.Dense(2, dtype=name)(torch.ones(1, 3)).dtype == kind
        assert layers.Embedding(7, 2, dtype=name)(torch.tensor([[3]])).dtype == kind
        assert layers.Add(dtype=name)([torch.ones(1), torch.ones(1)]).dtype == kind
    big = layers.Embedding(4000, 1, dtype="float16")(torch.tensor([[2049.0]]))
    assert big.shape == (1, 1, 1)  # ids are not rounded to the dtype of the table
    assert (
        layers.Embedding.from_config(layers.Embedding(3, 2, dtype="float32").get_config()).dtype == "float32"
    )


def test_weights_stay_float32_while_inputs_are_cast() -> None:
    layer = layers.Dense(2)
    x = torch.ones(1, 3, dtype=torch.float64)
    assert layer(x).dtype == torch.float32
    assert layer(x).dtype == torch.float32


def test_a_parametrized_kernel_is_used() -> None:
    layer = layers.Dense(2, kernel_initializer="ones")
    x = torch.ones(1, 3)
    layer(x)
    nn.utils.parametrize.register_parametrization(layer, "kernel", nn.ReLU())
    with torch.no_grad():
        layer.parametrizations.kernel.original.neg_()
    assert layer(x).tolist() == [[0.0, 0.0]]


def test_functional_call_replaces_the_weights() -> None:
    layer = layers.Embedding(3, 2)
    x = torch.tensor([[1]])
    layer(x)
    out = torch.func.functional_call(layer, {"embeddings": torch.ones(3, 2)}, (x,))
    assert out.tolist() == [[[1.0, 1.0]]]


class TestDropout:
    def test_drops_a_share_and_keeps_the_mean(self) -> None:
        torch.manual_seed(0)
        for layer in (layers.Dropout(0.3), layers.Dropout(0.3, seed=5), layers.Dropout(0.3, (None, None))):
            out = layer(torch.ones(200, 500), training=True)
            assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
            assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
            assert out.mean().item() == pytest.approx(1, abs=0.02)

    def test_who_says_whether_it_trains(self) -> None:
        layer, x = layers.Dropout(0.9), torch.ones(1000)
        assert not torch.equal(layer(x), x)  # a module trains until eval()
        assert torch.equal(layer(x, training=False), x)
        assert torch.equal(layer(x, False), x)
        layer.eval()
        assert torch.equal(layer(x), x)
        assert not torch.equal(layer(x, training=True), x)

    def test_a_model_tells_its_dropout(self) -> None:
        start = batchdot.Input((1000,))
        model = batchdot.Model(start, layers.Dropout(0.9)(start))
        x = torch.ones(1, 1000)
        assert torch.equal(model(x, training=False), x)
        assert not torch.equal(model.eval()(x, training=True), x)
        assert torch.equal(model(x), x)

    def test_a_seed_gives_the_same_choices_to_every_layer(self) -> None:
        x = torch.ones(100)
        one, other = layers.Dropout(0.5, seed=3), layers.Dropout(0.5, seed=3)
        first = one(x)
        assert torch.equal(first, other(x))
        assert not torch.equal(first, one(x))
        assert torch.equal(copy.deepcopy(one)(x), one(x))
        third = layers.Dropout(0.5, seed=3)
        third(batchdot.Input((4,)))
        assert torch.equal(third(x), first)  # inference draws nothing

    def test_noise_shape_makes_one_choice_along_an_axis(self) -> None:
        out = layers.Dropout(0.5, noise_shape=(None, 1, 3))(torch.ones(20, 5, 3))
        assert torch.equal(out, out[:, :1].expand(20, 5, 3))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.complex64])
    def test_keeps_the_dtype(self, dtype: torch.dtype) -> None:
        x = torch.ones(4, dtype=dtype)
        for layer in (layers.Dropout(0.5), layers.Dropout(0.5, seed=1)):
            assert layer(x, training=True).dtype == dtype

    def test_compiles_while_training(self) -> None:
        torch.compiler.reset()
        layer = layers.Dropout(0.5)
        compiled = torch.compile(layer, fullgraph=True, backend="eager")
        assert set(compiled(torch.ones(1000)).unique().tolist()) == {0.0, 2.0}


class TestLambda:
    def test_gets_what_it_asks_for(self) -> None:
        def scale(x: Tensor, factor: float, training: bool | None = None, mask: Any = None) -> Tensor:
            return x * factor * (2 if training else 1) * (1 if mask is None else mask)

        layer, x = layers.Lambda(scale, arguments={"factor": 3.0}), torch.ones(2)
        assert layer(x, training=False).tolist() == [3.0, 3.0]
        assert layer(x, training=True).tolist() == [6.0, 6.0]
        assert layer.eval()(x, mask=torch.tensor([0.0, 1.0])).tolist() == [0.0, 3.0]

    def test_output_shape_is_what_it_is_told(self) -> None:
        x = batchdot.Input((None, 3))
        assert layers.Lambda(square)(x).shape == (None, None, 3)
        assert layers.Lambda(square, output_shape=(5, 3))(x).shape == (None, 5, 3)
        assert layers.Lambda(square, output_shape=lambda s: s)(x).shape == (None, None, 3)
        assert layers.Lambda(lambda x: x.sum(-1)).compute_output_shape((None, 4, 3)) == (None, 4)

    def test_masks(self) -> None:
        ids_ = batchdot.Input((5,), dtype="int64")
        embedded = layers.Embedding(7, 3, mask_zero=True)(ids_)
        assert layers.Lambda(square)(embedded).mask is None
        assert layers.Lambda(square, mask=lambda x, m: m)(embedded).mask.shape == (None, 5)

    def test_a_config_names_the_function(self) -> None:
        layer = layers.Lambda(square, output_shape=(3,), name="own")
        config = layer.get_config()
        assert config["function"] == "square"
        assert config["function_type"] == "function"
        with batchdot.registry.custom_object_scope({"square": square}):
            again = layers.Lambda.from_config(config)
        assert again(torch.tensor([3.0])).item() == 9
        assert again.get_config() == config
        known = layers.Lambda(batchdot.backend.l2_normalize, arguments={"axis": -1})
        out = layers.deserialize(layers.serialize(known))(torch.tensor([[3.0, 4.0]]))
        assert out.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]

    def test_bytecode_is_not_run(self) -> None:
        config = {"name": "own", "function": ["4wAAAA==", None, None], "function_type": "lambda"}
        with pytest.raises(ValueError, match="Lambda layer 'own' was written as bytecode, which is not run"):
            layers.Lambda.from_config(config)
        entry = {"class_name": "Lambda", "config": config}
        layer = layers.deserialize(entry, custom_objects={"own": square})
        assert layer(torch.tensor([3.0])).item() == 9
        keras_3 = {"name": "own", "function": {"class_name": "__lambda__", "config": {"code": "4wAAAA=="}}}
        with pytest.raises(ValueError, match="bytecode"):
            layers.Lambda.from_config(keras_3)

    def test_nothing_is_imported_for_a_config(self) -> None:
        config = {"name": "own", "function": "system", "function_type": "function", "module": "os"}
        with pytest.raises(ValueError, match="Unknown function of Lambda layer 'own' 'system'"):
            layers.Lambda.from_config(config)

    def test_a_python_lambda_has_no_config_and_a_repr(self) -> None:
        layer = layers.Lambda(lambda x: x, name="own")
        with pytest.raises(NotImplementedError, match="Layer own cannot be written as a config"):
            layer.get_config()
        assert repr(layer) == "Lambda(name='own', function=<lambda>)"


def test_a_tower_exports_with_a_dynamic_batch() -> None:
    users, items = batchdot.Input((1,), dtype="int64"), batchdot.Input((1,), dtype="int64")
    flat = layers.Flatten()
    towers = [
        layers.Dense(8, activation="relu")(flat(layers.Embedding(7, 4)(side))) for side in (users, items)
    ]
    model = batchdot.Model([users, items], layers.Dot(1, normalize=True)(towers)).eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    inputs, sides = [ids(4, 1), ids(4, 1)], (([{0: batch}, {0: batch}],),)  # forward takes *args
    program = torch.export.export(model, (inputs,), dynamic_shapes=sides, strict=False)
    for size in (2, 9):
        x = [ids(size, 1), ids(size, 1)]
        torch.testing.assert_close(program.module()(x), model(x))


def test_floatx_is_the_dtype_of_what_names_none() -> None:
    batchdot.backend.set_floatx("float64")
    try:
        layer = layers.Dense(2)
        assert layer.dtype == "float64"
        assert layer([[1.0, 2.0]]).dtype == torch.float64
        assert batchdot.Input((2,)).dtype == torch.float64
        assert not layers.Dense.from_config(layer.get_config()).autocast
        assert layers.Dense.from_config(layers.Dense(2, dtype="float32").get_config()).dtype == "float32"
    finally:
        batchdot.backend.set_floatx("float32")

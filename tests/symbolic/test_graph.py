"""Graphs: symbolic tensors, what models say when they are made and asked, and how they run."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import expecttest
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import batchdot as keras
from batchdot import Dot, Input, Layer, Model, batch_dot, dot
from batchdot.layers import Concatenate, Dense, Dropout, Embedding, Flatten, InputLayer
from batchdot.layers.base.naming import clear_names
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor


@pytest.fixture(autouse=True)
def _fresh_names() -> Iterator[None]:
    clear_names()
    yield
    clear_names()


def refused(kind: type[Exception], text: str, function: Any, *args: Any, **kwargs: Any) -> None:
    """Check that a call raises exactly this."""
    with pytest.raises(kind) as caught:
        function(*args, **kwargs)
    assert type(caught.value) is kind
    assert str(caught.value) == text


def real(*sizes: int) -> Tensor:
    return torch.arange(1.0, 1 + np.prod(sizes)).reshape(sizes)


# Symbolic tensors.


def test_an_input_is_a_symbolic_tensor() -> None:
    x = Input((3, None), batch_size=5, dtype="int64", name="ids")
    assert is_keras_tensor(x)
    assert keras.backend.is_keras_tensor(x)
    assert (x.shape, x.dtype, x.name, x.ndim) == ((5, 3, None), torch.int64, "ids", 3)
    assert repr(x) == "<KerasTensor name=ids shape=(5, 3, None) dtype=int64>"
    assert x._keras_history == (x.node.layer, 0, 0)
    assert isinstance(x.node.layer, InputLayer)
    assert Input(batch_shape=(None, 3)).shape == (None, 3)
    assert Input(batch_input_shape=(2, 3)).shape == (2, 3)
    assert Input(shape=4).shape == (None, 4)
    assert Input(()).shape == (None,)
    assert Input(tensor=x) is x


REFUSED_INPUTS = [
    ({}, ValueError, "An Input needs a shape; without the batch axis, as in Input(shape=(32,))."),
    (
        {"shape": (3, "a")},
        ValueError,
        "The shape of an Input holds sizes, None where unknown. Received: (3, 'a')",
    ),
    ({"shape": (-3,)}, ValueError, "The shape of an Input holds sizes, None where unknown. Received: (-3,)"),
    ({"shape": (3,), "colour": 1}, TypeError, "Input has no argument 'colour'."),
    ({"tensor": torch.ones(1)}, ValueError, "Input(tensor=...) takes a symbolic tensor."),
    (
        {"shape": (3,), "sparse": True},
        ValueError,
        "An Input is dense and always given: sparse, ragged and optional are not supported.",
    ),
]


@pytest.mark.parametrize(("arguments", "kind", "text"), REFUSED_INPUTS)
def test_an_input_that_cannot_be_is_refused(arguments: Any, kind: Any, text: str) -> None:
    refused(kind, text, Input, **arguments)


SENTENCES = [
    (bool, "A symbolic tensor holds no numbers, so it is neither true nor false."),
    (len, "A symbolic tensor has no length; its shape says what is known."),
    (iter, "A symbolic tensor cannot be iterated over; index it instead."),
    (list, "A symbolic tensor cannot be iterated over; index it instead."),
    (np.asarray, "A symbolic tensor holds no numbers to make an array of."),
]


@pytest.mark.parametrize(("function", "text"), SENTENCES)
def test_a_symbolic_tensor_refuses_what_needs_numbers(function: Any, text: str) -> None:
    refused(TypeError, text, function, Input((3,)))


OPERATORS = {
    "x + y": lambda x, y: x + y,
    "x - 1": lambda x, y: x - 1,
    "1 - x": lambda x, y: 1 - x,
    "2 * x": lambda x, y: 2 * x,
    "x / y": lambda x, y: x / y,
    "1 / x": lambda x, y: 1 / x,
    "x ** 2": lambda x, y: x**2,
    "2 ** x": lambda x, y: 2**x,
    "-x": lambda x, y: -x,
    "abs(x - y)": lambda x, y: abs(x - y),
    "x // 2": lambda x, y: x // 2,
    "x % 3": lambda x, y: x % 3,
    "x > y": lambda x, y: x > y,
    "x <= 2": lambda x, y: x <= 2,
    "x @ w": lambda x, y: x @ torch.ones(4, 2),
    "w @ x": lambda x, y: torch.ones(2, 3) @ x,
    "x[:, 0]": lambda x, y: x[:, 0],
    "x[:, -1:, 1]": lambda x, y: x[:, -1:, 1],
    "x[..., None]": lambda x, y: x[..., None],
    "x[:, None] * y[:, :, None]": lambda x, y: x[:, None] * y[:, :, None],
    "x[:, [0, 2]]": lambda x, y: x[:, [0, 2]],
    "batch_dot(x, y, 2)": lambda x, y: batch_dot(x, y, 2),
    "batch_dot(x, y, (2, 2), normalize=True)": lambda x, y: batch_dot(x, y, (2, 2), normalize=True),
    "batch_dot(x, y, 2, batch_dims=2)": lambda x, y: batch_dot(x, y, 2, batch_dims=2),
    "batch_dot(x, tensor, 2)": lambda x, y: batch_dot(x, torch.ones(5, 6, 4), 2),
    "dot(x, w)": lambda x, y: dot(x, torch.ones(4, 6)),
    "backend.dot(w, x)": lambda x, y: keras.backend.dot(torch.ones(2, 3), x),
    "Dot(2)([x, y])": lambda x, y: Dot(2)([x, y]),
    "Dot(2)(x, y)": lambda x, y: Dot(2)(x, y),
    "layers.dot([x, y], -1)": lambda x, y: keras.layers.dot([x, y], -1),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_symbolic_operations_run_on_tensors(name: str) -> None:
    compute = OPERATORS[name]
    x, y = torch.randn(5, 3, 4) + 3, torch.randn(5, 3, 4) + 3
    wanted = compute(x, y)
    for batch in (None, 5):
        clear_names()
        x_in, y_in = Input((3, 4), batch), Input((3, 4), batch)
        out = compute(x_in, y_in)
        model = Model([x_in, y_in], out)
        assert out.dtype == wanted.dtype
        known = batch is not None or "tensor" in name
        assert out.shape == tuple([None if size == 5 and not known else size for size in wanted.shape])
        assert torch.equal(model([x, y]), wanted)
        if "tensor" not in name and "w" not in name:  # JSON holds no tensors
            again = keras.models.model_from_json(model.to_json())
            assert torch.equal(again([x, y]), wanted)


DOT_SHAPES = [
    (2, (None, 3, 4), (None, 5, 4), (None, 3, 5)),
    (2, (None, None, 4), (7, 5, None), (7, None, 5)),
    (-1, (None, 4), (None, 5, 4), (None, 5)),
    (1, (None, None), (None, 3), (None, 1)),
    ((3, 2), (None, 5, 1, 4), (None, 1, 4), (None, 5, 1, 1)),
]


@pytest.mark.parametrize(("axes", "x_shape", "y_shape", "wanted"), DOT_SHAPES)
def test_unknown_sizes_stay_unknown(axes: Any, x_shape: Any, y_shape: Any, wanted: Any) -> None:
    x, y = KerasTensor(x_shape), KerasTensor(y_shape)
    assert batch_dot(x, y, axes).shape == wanted
    assert Dot(axes)([x, y]).shape == wanted
    assert Dot(axes).compute_output_shape([x_shape, y_shape]) == wanted


DTYPES = [
    ("float32", "float64", False, torch.float64),
    ("int32", "int64", False, torch.int64),
    ("int32", "float16", False, torch.float16),
    ("int32", "int32", True, torch.float32),
    ("float16", "float16", True, torch.float16),
    ("complex64", "float32", False, torch.complex64),
]


@pytest.mark.parametrize(("x_dtype", "y_dtype", "normalize", "wanted"), DTYPES)
def test_dtypes_are_inferred(x_dtype: str, y_dtype: str, normalize: bool, wanted: torch.dtype) -> None:
    x, y = Input((3,), dtype=x_dtype), Input((3,), dtype=y_dtype)
    out = Dot(1, normalize)([x, y])
    assert out.dtype == wanted
    tensors = [torch.ones(2, 3, dtype=t.dtype) for t in (x, y)]
    assert Model([x, y], out)(tensors).dtype == wanted


def test_symbolic_calls_refuse_what_real_calls_refuse() -> None:
    x, y = Input((3, 4)), Input((3, 5))
    for function in (lambda a, b: batch_dot(a, b, 2), lambda a, b: Dot(2)([a, b])):
        with pytest.raises(ValueError, match=r"4.*5"):
            function(x, y)
        with pytest.raises(ValueError, match=r"4.*5"):
            function(real(2, 3, 4), real(2, 3, 5))


# Making a model.


def test_model_not_connected_to_inputs_raises() -> None:
    x, y = Input((3,)), Input((3,))
    out = Dot(1)([x, y])
    says = (
        "Graph disconnected: the model needs the value of <KerasTensor name=input_2 shape=(None, 3) "
        "dtype=float32>, from layer input_2, which is not among its inputs."
    )
    refused(ValueError, says, Model, x, out)


@pytest.mark.parametrize("what", ["inputs", "outputs"])
def test_model_of_other_than_symbolic_tensors_raises(what: str) -> None:
    x = Input((3,))
    for wrong, text in (
        (torch.ones(1), "tensor([1.])"),
        (KerasTensor((2, 3)), "<KerasTensor shape=(2, 3) dtype=float32>"),
    ):
        says = f"The {what} of a model are symbolic tensors that come from Input. Received: {text}"
        arguments = {"inputs": x, "outputs": x} | {what: wrong}
        refused(ValueError, says, Model, **arguments)


def test_names_in_a_model_are_unique() -> None:
    x = Input((3,))
    out = Dot(1, name="n")([Dense(1, name="n")(x), Dense(1)(x)])
    says = 'The name "n" is used 2 times in the model. All layer names should be unique.'
    refused(ValueError, says, Model, x, out)


def make_two() -> Model:
    x, y = Input((3,), name="x"), Input((3,), name="y")
    return Model([x, y], Dot(1, name="dot")([x, y]), name="two")


REFUSED_CALLS = [
    ([torch.ones(2, 3)], "Model two has 2 inputs. Received: 1."),
    ([torch.ones(2, 3)] * 3, "Model two has 2 inputs. Received: 3."),
    (torch.ones(2, 3), "Model two has 2 inputs. Received: 1."),
    ({"x": torch.ones(2, 3)}, "Model two has no value for its inputs ['y']."),
    (
        [torch.ones(2, 3), torch.ones(2, 3, 2)],
        "Input 1 of model two has shape (2, 3, 2) instead of (None, 3).",
    ),
]


@pytest.mark.parametrize(("inputs", "text"), REFUSED_CALLS)
def test_a_call_that_does_not_fit_is_refused(inputs: Any, text: str) -> None:
    refused(ValueError, text, make_two(), inputs)


def test_inputs_come_as_a_list_a_tuple_a_dict_or_one_by_one() -> None:
    model, x, y = make_two(), real(2, 3), real(2, 3) + 1
    wanted = (x * y).sum(1, keepdim=True)
    for args in ([[x, y]], [(x, y)], [{"y": y, "x": x}], [x, y], [[x.numpy(), y.tolist()]]):
        assert torch.equal(model(*args), wanted)


def test_structures_of_inputs_and_outputs_are_kept() -> None:
    x, y = Input((3,), name="x"), Input((3,), name="y")
    out = Dot(1)([x, y])
    model = Model({"first": x, "second": y}, {"dot": out, "both": [x, (y,)]})
    given = model({"second": real(2, 3), "first": 2 * real(2, 3)})
    assert list(given) == ["dot", "both"]
    assert torch.equal(given["both"][0], 2 * real(2, 3))
    assert isinstance(given["both"][1], tuple)
    assert isinstance(Model([x, y], [out])([real(2, 3), real(2, 3)]), list)
    assert isinstance(Model([x, y], out)([real(2, 3), real(2, 3)]), Tensor)


# Asking a model.


def test_layers_are_found_by_name_and_by_index() -> None:
    model = make_two()
    assert [layer.name for layer in model.layers] == ["x", "y", "dot"]
    assert model.get_layer("dot") is model.get_layer(index=2) is model.get_layer(index=-1)
    refused(ValueError, "No such layer: z. Existing layers are: ['x', 'y', 'dot'].", model.get_layer, "z")
    says = "Was asked to retrieve layer at index 3 but model only has 3 layers."
    refused(ValueError, says, model.get_layer, index=3)
    says = "Provide either a layer name or layer index to `get_layer`."
    refused(ValueError, says, model.get_layer)
    refused(ValueError, says, model.get_layer, "x", 0)


def test_a_model_answers_for_its_own_inputs_and_outputs() -> None:
    model = make_two()
    assert [tensor.name for tensor in model.input] == ["x", "y"]
    assert model.output is model.get_layer("dot").output
    assert (model.input_shape, model.output_shape) == ([(None, 3), (None, 3)], (None, 1))
    assert (model.input_names, model.output_names) == (["x", "y"], ["dot"])
    a, b = Input((3,)), Input((3,))
    again = model([a, b])
    assert model.inbound_nodes[0].output_tensors is again
    assert model.output is not again
    assert model.get_output_at(0) is again


def test_compute_output_shape() -> None:
    model = make_two()
    assert model.compute_output_shape([(None, 3), (None, 3)]) == (None, 1)
    assert model.compute_output_shape([(7, 3), (None, 3)]) == (7, 1)
    assert Dense(4).compute_output_shape((None, 2, 3)) == (None, 2, 4)
    x = Input((None, 4))
    pairs = Model(x, [Dot(2)([x, x]), x])
    assert pairs.compute_output_shape((2, 5, 4)) == [(2, 5, 5), (2, 5, 4)]


class TestSummary(expecttest.TestCase):
    def test_summary(self) -> None:
        clear_names()
        user, item = Input((1,), name="user"), Input((1,), name="item")
        table = Embedding(1000, 32, name="a_table_with_quite_a_long_name_indeed")
        tower = Model(user, Flatten()(table(user)), name="tower")
        other = Dense(32, trainable=False, name="other")(Flatten()(Embedding(20, 8)(item)))
        model = Model([user, item], Dot(1, normalize=True)([tower(user), other]), name="match")
        lines: list[str] = []
        model.summary(print_fn=lines.append)
        self.assertExpectedInline(
            "\n".join(lines),
            """\
Model: "match"
────────────────────────────────────────────────────────────────────────────────────────────────
Layer (type)                       Output shape             Weights    Connected to
────────────────────────────────────────────────────────────────────────────────────────────────
item (InputLayer)                  (None, 1)                0
embedding (Embedding)              (None, 1, 8)             160        item
user (InputLayer)                  (None, 1)                0
flatten_1 (Flatten)                (None, 8)                0          embedding
tower (Functional)                 (None, 32)               32,000     user
other (Dense)                      (None, 32)               288        flatten_1
dot (Dot)                          (None, 1)                0          tower
                                                                       other
────────────────────────────────────────────────────────────────────────────────────────────────
Total weights: 32,448 (126.75 KiB)
Trained weights: 32,160 (125.62 KiB)
Not trained weights: 288 (1.12 KiB)
────────────────────────────────────────────────────────────────────────────────────────────────""",
        )


def test_summary_prints_and_fits_the_line(capsys: Any) -> None:
    make_two().summary(line_length=60)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == 'Model: "two"'
    assert max(map(len, printed)) <= 60
    x = Input((3,))
    lines: list[str] = []
    Model(x, Dense(4)(x)).summary(print_fn=lines.append)
    assert "Total weights: 16 (64 bytes)" in lines


# predict.


def make_dropout() -> Model:
    x, y = Input((3,)), Input((3,))
    return Model([x, y], [Dot(1)([Dropout(0.5)(x), y]), x])


@pytest.mark.parametrize("count", [1, 31, 32, 33, 100])
def test_predict_goes_in_batches_and_returns_arrays(count: int) -> None:
    model, sizes = make_dropout(), []
    model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0][0])))
    x, y = torch.randn(count, 3), torch.randn(count, 3)
    for batch_size in (32, 7):
        sizes.clear()
        first, second = model.predict([x.numpy(), y], batch_size=batch_size)
        assert sizes == [min(batch_size, count - start) for start in range(0, count, batch_size)]
        assert isinstance(first, np.ndarray)
        np.testing.assert_allclose(first, (x * y).sum(1, keepdim=True).numpy(), rtol=1e-5, atol=1e-6)
        assert np.array_equal(second, x.numpy())
    single = make_two().predict({"x": x, "y": y})
    assert isinstance(single, np.ndarray)
    assert single.shape == (count, 1)


def test_predict_restores_the_mode_of_each_layer() -> None:
    model = make_dropout()
    fixed = next(layer for layer in model.layers if isinstance(layer, Dropout)).eval()
    model.predict([real(2, 3), real(2, 3)])
    assert model.training
    assert not fixed.training
    model.eval().predict([real(2, 3), real(2, 3)])
    assert not model.training


def test_predict_shows_progress_only_when_asked(capsys: Any) -> None:
    model = make_two()
    model.predict([real(2, 3), real(2, 3)])
    model.predict([real(2, 3), real(2, 3)], verbose="auto")
    assert capsys.readouterr() == ("", "")
    model.predict([real(2, 3), real(2, 3)], verbose=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert "two: 100%" in err


def test_predict_refuses_what_does_not_fit() -> None:
    model = make_two()
    says = "The inputs of predict have different batch sizes: [2, 3]."
    refused(ValueError, says, model.predict, [real(2, 3), real(3, 3)])
    refused(ValueError, "batch_size is at least 1. Received: 0", model.predict, [real(2, 3)] * 2, 0)


def test_predict_of_nothing_is_nothing() -> None:
    assert make_two().predict([np.ones((0, 3)), np.ones((0, 3))]).shape == (0, 1)


def test_predict_in_a_dtype_that_numpy_lacks() -> None:
    x = Input((2,), dtype="bfloat16")
    assert Model(x, x + x).predict(np.ones((1, 2))).tolist() == [[2.0, 2.0]]


# Graphs of every form.


@pytest.fixture
def shallow() -> Iterator[None]:
    """Python's own limit on recursion, which torch raises once it has compiled something."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.slow
@pytest.mark.usefixtures("shallow")
def test_a_graph_of_two_thousand_layers() -> None:
    x = Input((2,))
    hidden = x
    for _ in range(2000):
        hidden = hidden + 1
    model = Model(x, hidden)
    assert model(torch.zeros(1, 2)).tolist() == [[2000.0, 2000.0]]
    again = keras.models.model_from_json(model.to_json())
    assert again(torch.zeros(1, 2)).tolist() == [[2000.0, 2000.0]]
    assert len(model.layers) == 2001
    assert model.losses == []
    assert model.predict(np.zeros((1, 2))).tolist() == [[2000.0, 2000.0]]


def test_a_model_is_used_again_with_its_weights() -> None:
    x = Input((3,))
    tower = Model(x, Dense(2, name="dense")(x), name="tower")
    a, b = Input((3,)), Input((3,))
    siamese = Model([a, b], Dot(1)([tower(a), tower(b)]))
    assert len(siamese.weights) == len(tower.weights) == 2
    assert [node.output_shapes for node in tower.inbound_nodes] == [(None, 2)] * 2
    ones = [np.ones((3, 2)), np.zeros(2)]
    tower.set_weights(ones)
    assert siamese([real(1, 3), real(1, 3)]).tolist() == [[72.0]]
    assert tower(real(1, 3)).tolist() == [[6.0, 6.0]]
    middle = Model(siamese.inputs, tower.get_output_at(1))
    assert middle([real(1, 3), 2 * real(1, 3)]).tolist() == [[12.0, 12.0]]


def test_a_model_may_begin_in_the_middle() -> None:
    x = Input((3,))
    hidden = Dense(2, name="hidden")(x)
    out = Dense(1, name="out")(hidden)
    model = Model(hidden, out)
    assert [layer.name for layer in model.layers][-1] == "out"
    assert model(torch.ones(4, 2)).shape == (4, 1)
    assert len(model.get_layer("out").weights) == 2


def test_layers_run_in_an_order_that_each_has_its_inputs() -> None:
    order: list[str] = []

    class Note(Layer):
        def call(self, inputs: Any) -> Any:
            if not inputs.is_meta:
                order.append(self.name)
            return inputs

    x = Input((3,))
    deep = Note(name="c")(Note(name="b")(Note(name="a")(x)))
    model = Model(x, Dot(1)([Note(name="d")(x), deep]))
    order.clear()
    model(real(2, 3))
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("a") < order.index("b") < order.index("c")


def test_several_outputs_of_a_layer_are_told_apart() -> None:
    class Split(Layer):
        def call(self, inputs: Any) -> Any:
            return {"sum": inputs.sum(-1), "parts": [inputs[:, :1], inputs[:, 1:]]}

    x = Input((3,))
    parts = Split()(x)
    model = Model(x, [parts["parts"][1], parts["sum"]])
    right, total = model(real(2, 3))
    assert right.tolist() == [[2.0, 3.0], [5.0, 6.0]]
    assert total.tolist() == [6.0, 15.0]
    assert parts["parts"][1]._keras_history.tensor_index == 2
    again = keras.models.model_from_json(model.to_json(), {"Split": Split})
    assert again(real(2, 3))[0].tolist() == [[2.0, 3.0], [5.0, 6.0]]


def test_identity_layer_has_its_own_output() -> None:
    x = Input((3,))
    flat = Flatten()(x)
    assert flat is not x
    assert flat.node.layer.name == "flatten"
    assert x.node.layer.name == "input_1"


def test_a_model_that_defines_call_is_a_model_too() -> None:
    class Matcher(Model):
        def __init__(self) -> None:
            super().__init__()
            self.tower = Dense(2, kernel_regularizer="l2")
            self.dot = Dot(1)

        def call(self, inputs: Any, training: Any = None) -> Any:
            out = self.dot([self.tower(inputs[0]), self.tower(inputs[1])])
            return out * 0 if training else out

    model = Matcher()
    wanted = model.eval()([real(4, 3), real(4, 3)])
    assert wanted.shape == (4, 1)
    assert torch.equal(model([real(4, 3), real(4, 3)], training=True), wanted * 0)
    assert [layer.name for layer in model.layers] == ["dense", "dot"]
    assert (len(model.weights), len(model.losses), model.count_params()) == (2, 1, 8)
    np.testing.assert_array_equal(model.predict([real(4, 3), real(4, 3)]), wanted.detach().numpy())
    refused(
        NotImplementedError,
        "Matcher defines `call`, and has to define `get_config`.",
        model.get_config,
    )
    refused(
        NotImplementedError,
        "Model has neither inputs and outputs nor a `call` of its own.",
        Model(),
        real(1, 1),
    )


def test_a_model_stands_in_modules_of_torch() -> None:
    x = Input((3,))
    model = nn.Sequential(nn.Linear(5, 3), Model(x, Dense(2)(x)), nn.ReLU())
    assert model(real(4, 5)).shape == (4, 2)
    assert [name for name, _ in model.named_parameters()] == [
        *["0.weight", "0.bias", "1.dense.kernel", "1.dense.bias"]
    ]


# Configs that cannot be read.


def config_of_two() -> dict[str, Any]:
    return json.loads(make_two().to_json())


def test_json_that_is_no_model_is_refused() -> None:
    says = "Cannot read a model from what is not JSON: Expecting value: line 1 column 1 (char 0)."
    refused(ValueError, says, keras.models.model_from_json, "oops")
    says = "The config of a model is a dictionary of `class_name` and `config`."
    refused(ValueError, says, keras.models.model_from_json, "[1, 2]")
    refused(ValueError, says, keras.models.model_from_config, None)


def test_an_unknown_layer_is_refused_by_name() -> None:
    config = config_of_two()
    config["config"]["layers"][2] |= {"class_name": "Dott"}
    with pytest.raises(
        ValueError, match=r"^Unknown layer 'Dott', did you mean 'Dot'\? Known are: .*Dense"
    ) as caught:
        keras.models.model_from_config(config)
    assert "\n" not in str(caught.value)


def test_an_unknown_keyword_is_refused_with_the_layer() -> None:
    config = config_of_two()
    config["config"]["layers"][2]["config"]["colour"] = "red"
    says = (
        "Cannot make the layer 'Dot' of {'name': 'dot', 'trainable': True, 'dtype': 'float32', 'axes': 1, "
        "'normalize': False, 'colour': 'red'}: Dot has no argument 'colour'."
    )
    refused(TypeError, says, keras.models.model_from_config, config)


def test_unfit_value_error_names_layer() -> None:
    config = config_of_two()
    config["config"]["layers"][2]["config"]["axes"] = [1, 2, 3]
    says = (
        "Cannot make layer 'dot' (Dot): Invalid format for argument `axes`: it should contain two elements. "
        "Received: axes=[1, 2, 3]"
    )
    refused(ValueError, says, keras.models.model_from_config, config)


def test_a_call_of_what_is_not_there_is_refused() -> None:
    config = config_of_two()
    config["config"]["layers"][2]["inbound_nodes"][0][0][0] = "nope"
    says = "The config of a model refers to layer 'nope', which it does not have."
    refused(ValueError, says, keras.models.model_from_config, config)


def test_calls_in_a_circle_are_refused() -> None:
    config = config_of_two()
    config["config"]["layers"][2]["inbound_nodes"][0][0][0] = "dot"
    says = "The config of model 'two' has calls without inputs: ['dot']."
    refused(ValueError, says, keras.models.model_from_config, config)


def test_a_config_that_lacks_a_part_is_refused() -> None:
    for missing in ("input_layers", "output_layers"):
        config = config_of_two()
        del config["config"][missing]
        says = f"The config of model 'two' lacks {missing!r}."
        refused(ValueError, says, keras.models.model_from_config, config)
    config = config_of_two()
    del config["config"]["layers"][2]["inbound_nodes"]
    says = "The config of model 'two' lacks 'inbound_nodes'."
    refused(ValueError, says, keras.models.model_from_config, config)


def test_a_tensor_in_a_graph_cannot_be_written() -> None:
    x = Input((3,))
    model = Model(x, x + torch.ones(3))
    assert model(torch.zeros(1, 3)).tolist() == [[1.0] * 3]
    says = "Layer op_add works with a tensor of its own, which a config cannot hold."
    refused(ValueError, says, model.to_json)


def test_custom_objects_are_found() -> None:
    class Twice(Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    x = Input((3,))
    model = Model(x, Twice()(x))
    with pytest.raises(ValueError, match="Unknown layer 'Twice'"):
        keras.models.model_from_json(model.to_json())
    again = keras.models.model_from_json(model.to_json(), custom_objects={"Twice": Twice})
    assert torch.equal(again(real(2, 3)), 2 * real(2, 3))


def test_layer_needing_values_raises_at_symbolic_call() -> None:
    class Needs(Layer):
        def call(self, inputs: Any) -> Any:
            return inputs[:, : int(inputs.sum())]

    with pytest.raises(
        ValueError, match=r"^Layer needs cannot be called on an input of shape \(None, 3\): "
    ) as caught:
        Needs()(Input((3,)))
    assert "\n" not in str(caught.value)


def test_concatenate_keeps_order_of_shared_calls() -> None:
    x = Input((3,))
    scale = Dense(1, use_bias=False)
    model = Model(x, Concatenate()([scale(x * k) for k in range(5)]))
    scale.set_weights([np.ones((3, 1))])
    assert model(torch.ones(1, 3)).tolist() == [[0.0, 3.0, 6.0, 9.0, 12.0]]


def test_a_model_of_one_input_counts_what_it_is_given() -> None:
    x = Input((3,))
    model = Model(x, Dense(2)(x), name="one")
    refused(ValueError, "Model one has 1 input. Received: 2.", model, [real(2, 3), real(2, 3)])
    assert model([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]).shape == (2, 2)
    assert model([real(2, 3)]).shape == (2, 2)


def test_a_model_prints_its_layers_once() -> None:
    x = Input((3,), name="x")
    lines = [
        "Functional(",
        "  name='one'",
        "  (x): InputLayer(batch_input_shape=(None, 3), name='x')",
        "  (two): Dense(name='two', units=2, activation='linear', use_bias=True)",
        ")",
    ]
    assert str(Model(x, Dense(2, name="two")(x), name="one")).splitlines() == lines

"""What `predict` and calls of models take: ids of one axis, arrays of any dtype, loaders and generators."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.live_keras import tf_keras
from torch.utils.data import DataLoader, TensorDataset

import batchdot


def embedding(keras: Any) -> Any:
    x = keras.Input((1,), dtype="int32", name="x")
    return keras.Model(x, keras.layers.Embedding(5, 2, embeddings_initializer="ones")(x))


def dense(keras: Any) -> Any:
    x = keras.Input((4,), name="x")
    return keras.Model(x, keras.layers.Dense(2, kernel_initializer="ones")(x))


def two(keras: Any) -> Any:
    x, y = keras.Input((1,), name="x"), keras.Input((1,), name="y")
    return keras.Model([x, y], keras.layers.Add()([x, y]))


def subclass(keras: Any) -> Any:
    class Twice(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs * 2.0

    return Twice()


MODELS = {"embedding": embedding, "dense": dense, "two": two, "subclass": subclass}

ROWS = [
    ("embedding", "np.array([1, 2, 3])"),
    ("embedding", "np.array([[1], [2]])"),
    ("embedding", "np.array([[[1]], [[2]]])"),
    ("embedding", "np.array([1.0, 2.0])"),
    ("embedding", "np.array([1, 2], 'uint8')"),
    ("embedding", "Series([1, 2, 3])"),
    ("dense", "np.arange(8).reshape(2, 4)"),
    ("dense", "np.ones((2, 4), 'float64')"),
    ("dense", "np.ones((2, 4), 'bool')"),
    ("dense", "Series(np.arange(8).reshape(2, 4))"),
    ("dense", "np.ones((2, 4, 1))"),
    ("two", "[np.array([1, 2, 3]), np.array([[1], [2], [3]])]"),
    ("two", "[Series([1, 2]), Series([0.5, 1.5])]"),
    ("two", "{'y': np.array([1, 2]), 'x': Series([3, 4])}"),
    ("subclass", "np.array([1.0, 2.0, 3.0])"),
    ("dense", "loader(3, np.ones((2, 4)), np.zeros(2))"),
    ("dense", "loader(3, np.ones((2, 4)), np.zeros(2), np.ones(2))"),
    ("dense", "([np.ones((2, 4)), 0] for _ in range(2))"),
    ("dense", "(np.full((size, 4), size) for size in (3, 1, 2))"),
    ("embedding", "(np.array([1, 2]) for _ in range(2))"),
    ("two", "loader(2, (np.ones((2, 1)), np.ones(2)), np.zeros(2))"),
    ("two", "loader(2, (np.ones((2, 1)), np.ones(2)))"),
    ("two", "({'x': np.ones((2, 1)), 'y': np.zeros((2, 1))} for _ in range(2))"),
    ("subclass", "(np.ones((2, 3), 'float32') for _ in range(2))"),
]
"""A model and what it predicts from; as text, for a generator is used up."""


class Series:
    """As a pandas Series or DataFrame: numpy converts it, and it has a length and items."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.shape, self.dtype = self.values.shape, self.values.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)


def loader(count: int, *batch: Any) -> Iterator[Any]:
    return (tuple(batch) for _ in range(count))


def read(text: str, series: Any = Series) -> Any:
    return eval(text, {"np": np, "Series": series, "loader": loader})


def keras_predicts(name: str, text: str) -> np.ndarray:
    return MODELS[name](tf_keras).predict(read(text, np.asarray), verbose=0)


@pytest.mark.parametrize(("name", "text"), ROWS)
def test_predict_takes_what_keras_takes(name: str, text: str, keras_says: Any) -> None:
    wanted = keras_says(keras_predicts, name, text)
    got = MODELS[name](batchdot).predict(read(text))
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted)


@pytest.mark.parametrize(
    ("name", "text"), [row for row in ROWS if "loader" not in row[1] and " for " not in row[1]]
)
def test_call_takes_what_predict_takes(name: str, text: str) -> None:
    model = MODELS[name](batchdot)
    x = read(text)
    np.testing.assert_allclose(batchdot.backend.eval(model(x)), model.predict(x))


def test_call_fits_tensors_of_ids() -> None:
    model = embedding(batchdot)
    ids = torch.tensor([1, 2, 3])
    for _ in range(3):  # the generated code of later calls, too
        assert [model(x).shape for x in (ids, ids[:, None], ids[:, None, None])] == [(3, 1, 2)] * 3
    both = two(batchdot)
    assert both([ids, ids[:, None]]).shape == (3, 1)
    assert both([ids.double(), ids[:, None]]).dtype == torch.float64  # a tensor keeps its dtype
    with pytest.raises(ValueError, match=r"has shape \(2, 2, 2\) instead of \(None, 1\)"):
        model(torch.ones(2, 2, 2, dtype=torch.int32))
    with pytest.raises(ValueError, match=r"has shape \(4,\) instead of \(None, 4\)"):
        dense(batchdot)(torch.ones(4))


def test_predict_takes_data_loaders() -> None:
    x, y = torch.randn(5, 4), torch.zeros(5)
    model = dense(batchdot)
    wanted = model.predict(x)
    assert wanted.shape == (5, 2)
    for data in (x, TensorDataset(x), TensorDataset(x, y)):
        np.testing.assert_array_equal(model.predict(DataLoader(data, batch_size=2)), wanted)
    pairs = [((x[i, :1], x[i, 1:2]), y[i]) for i in range(5)]
    np.testing.assert_allclose(
        two(batchdot).predict(DataLoader(pairs, batch_size=2)), (x[:, :1] + x[:, 1:2]).numpy()
    )


def endless() -> Iterator[np.ndarray]:
    while True:
        yield np.ones((2, 4))


def test_predict_stops_after_its_steps(capsys: pytest.CaptureFixture[str]) -> None:
    model = dense(batchdot)
    assert model.predict(endless(), steps=3).shape == (6, 2)
    assert model.predict(np.ones((10, 4)), batch_size=2, steps=3).shape == (6, 2)
    model.predict(np.ones((10, 4)), batch_size=2, steps=3, verbose=1)
    assert "3/3" in capsys.readouterr().err


REFUSED = [
    ("dense", lambda: TensorDataset(torch.ones(2, 4)), {}, TypeError, r"pass DataLoader\(dataset, 32\)"),
    ("dense", lambda: iter([]), {}, ValueError, "received no batches"),
    (
        "dense",
        lambda: endless(),
        {"batch_size": 2},
        ValueError,
        "come from the generator: leave out batch_size",
    ),
    ("dense", lambda: iter([()]), {}, ValueError, "Received: 0 values"),
    ("two", lambda: iter([[np.ones((2, 1)), np.ones((2, 1))]]), {}, ValueError, "has 2 inputs. Received: 1"),
    ("dense", lambda: Series(["a"]), {}, TypeError, "Cannot convert Series to a tensor: its dtype is <U1"),
]


@pytest.mark.parametrize(("name", "make", "options", "kind", "text"), REFUSED)
def test_refused_in_a_sentence(name: str, make: Any, options: Any, kind: type[Exception], text: str) -> None:
    model = MODELS[name](batchdot)
    with pytest.raises(kind, match=text):
        model.predict(make(), **options)
    assert model.training


def keras_of_keras_1(keras: Any) -> list[Any]:
    x = keras.Input((2,), name="x")
    return [keras.Model(input=x, output=x * 2.0), type("Mine", (keras.Model,), {})(input=[x], output=[x + 1])]


def test_arguments_of_keras_1_make_a_functional_model() -> None:
    plain, mine = keras_of_keras_1(batchdot)
    assert plain(torch.ones(1, 2)).tolist() == [[2.0, 2.0]]
    assert mine([torch.ones(1, 2)])[0].tolist() == [[2.0, 2.0]]
    assert all(isinstance(model, batchdot.models.Functional) for model in (plain, mine))


def test_predict_has_the_arguments_of_keras() -> None:
    x = batchdot.Input((2,))
    model = batchdot.Model(x, batchdot.layers.Dense(1)(x))
    assert model.predict(np.ones((3, 2)), 2, 0, None, [], 10, workers=2, use_multiprocessing=True).shape == (
        3,
        1,
    )
    with pytest.raises(TypeError, match=r"predict calls no callbacks\. Write `for batch in loader: "):
        model.predict(np.ones((3, 2)), callbacks=[print])


def structures(keras: Any) -> dict[str, Any]:
    """Models that return their outputs in lists, tuples and dicts; all take samples of two numbers."""
    x = keras.Input((2,))
    a, b, c = x, keras.layers.Activation("relu")(x), keras.layers.Concatenate()([x, x])
    outputs = {
        "tensor": a,
        "list of one": [b],
        "list": [a, b],
        "tuple": (b, a),
        "dict": {"score": b, "rank": c},
        "dict of one": {"score": c},
        "list in list": [a, [b, c]],
        "list in dict": {"two": [c, a], "one": b},
    }
    return {name: keras.Model(x, value) for name, value in outputs.items()}


STRUCTURES = tuple(structures(batchdot))


def listed(value: Any) -> Any:
    """Return arrays as lists of numbers, in the structure that they are in, which JSON does not keep."""
    if isinstance(value, dict):
        return {"dict": {key: listed(part) for key, part in sorted(value.items())}}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [listed(part) for part in value]}
    return value.tolist()


def keras_predicts_structure(name: str) -> Any:
    return listed(structures(tf_keras)[name].predict(np.arange(-5.0, 5.0).reshape(5, 2), 2, verbose=0))


@pytest.mark.parametrize("name", STRUCTURES)
def test_predict_returns_the_structure_of_the_outputs(name: str, keras_says: Any) -> None:
    wanted = keras_says(keras_predicts_structure, name)
    assert listed(structures(batchdot)[name].predict(np.arange(-5.0, 5.0).reshape(5, 2), 2)) == wanted

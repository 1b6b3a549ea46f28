"""`porting.verify` and ``batchdot verify``: recorded outputs, live Keras, and what cannot be compared."""

import json

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras

from batchdot import porting
from batchdot.cli.main import main

X, Y = (np.random.default_rng(seed).normal(size=(5, 3)).astype("float32") for seed in (0, 1))


def functional(layers, inputs, outputs, name="net"):
    """Return the JSON of a model of TensorFlow 2.15."""
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "config": config, "keras_version": "2.15.0"}


def layer(class_name, name, inbound=(), **config):
    nodes = [[[source, 0, 0, {}] for source in inbound]] if inbound else []
    return {
        "class_name": class_name,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": nodes,
    }


TWO = functional(
    [
        layer("InputLayer", "a", batch_input_shape=[None, 3], dtype="float32"),
        layer("InputLayer", "b", batch_input_shape=[None, 3], dtype="float32"),
        layer("Dot", "match", ["a", "b"], axes=1, normalize=False),
        layer("Activation", "tanh", ["match"], activation="tanh"),
    ],
    [["a", 0, 0], ["b", 0, 0]],
    [["match", 0, 0], ["tanh", 0, 0]],
)
PRODUCTS = np.einsum("bi,bi->b", X.astype("float64"), Y)[:, None]
RIGHT = {"x0": X, "x1": Y, "y0": PRODUCTS, "y1": np.tanh(PRODUCTS)}


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.json").write_text(json.dumps(TWO))
    np.savez(tmp_path / "io.npz", **RIGHT)
    return "m.json"


def recorded(**changes):
    np.savez("io.npz", **{key: value for key, value in (RIGHT | changes).items() if value is not None})
    return "io.npz"


def test_recorded_outputs_that_agree(model, capsys):
    result = porting.verify(model, data="io.npz")
    assert result.agrees
    assert [output.name for output in result.outputs] == ["match", "tanh"]
    assert all(output.difference <= 2e-7 * max(output.scale, 1) for output in result.outputs)
    assert result.outputs[0].scale == pytest.approx(np.abs(PRODUCTS).max())
    assert str(result).startswith("m.json, ported, beside io.npz\n")
    assert str(result).endswith("\n2 outputs agree.")
    assert main(["verify", model, "--data", "io.npz"]) == 0
    assert capsys.readouterr() == (f"{result}\n", "")


# name: arrays that differ from RIGHT, the outputs that then differ
DIFFERENT = {
    "a number": ({"y1": np.tanh(PRODUCTS) + np.float32([[0], [0], [0], [0], [1e-4]])}, ["tanh"]),
    "a shape": ({"y0": PRODUCTS[:, 0]}, ["match"]),
    "NaN": ({"y0": np.where(PRODUCTS[2] == PRODUCTS, np.nan, PRODUCTS)}, ["match"]),
    "both": ({"y0": PRODUCTS * 2, "y1": PRODUCTS}, ["match", "tanh"]),
}


@pytest.mark.parametrize(("changes", "wrong"), DIFFERENT.values(), ids=DIFFERENT)
def test_recorded_outputs_that_differ(model, capsys, changes, wrong):
    result = porting.verify(model, data=recorded(**changes))
    assert [output.name for output in result.outputs if not output.agrees] == wrong
    assert not result.agrees
    assert main(["verify", model, "--data", "io.npz"]) == 1
    assert f"{len(wrong)} of 2 outputs differ" in capsys.readouterr().out


def test_inputs_by_name(model):
    assert porting.verify(model, data=recorded(x0=None, a=X)).agrees


# name: arrays that differ from RIGHT, and what the error says
UNFIT = {
    "an input is missing": ({"x1": None}, "io.npz: found neither x1 nor 'b'"),
    "no outputs": ({"y0": None}, "io.npz: found no y0"),
    "too few outputs": ({"y1": None}, "io.npz: found 1 outputs; allowed: 2, which the model has"),
    "shapes": (
        {"x1": Y[:, :2]},
        r"io.npz: inputs of shapes \(5, 3\), \(5, 2\), on which the ported model fails: ",
    ),
    "objects": ({"x1": np.array([None, {}])}, "io.npz: found no arrays that NumPy reads"),
}


@pytest.mark.parametrize(("changes", "message"), UNFIT.values(), ids=UNFIT)
def test_recorded_arrays_that_do_not_fit(model, capsys, changes, message):
    with pytest.raises(porting.ModelFileError, match=message):
        porting.verify(model, data=recorded(**changes))
    assert main(["verify", model, "--data", "io.npz"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


@pytest.mark.parametrize("content", [b"", b"x", b"PK\3\4 not a zip", b"\x93NUMPY"], ids=repr)
def test_recorded_file_that_is_no_npz(model, content):
    with open("io.npz", "wb") as file:
        file.write(content)
    with pytest.raises(porting.ModelFileError, match=r"io\.npz: found no arrays"):
        porting.verify(model, data="io.npz")


@pytest.mark.parametrize(
    "given", [{}, {"data": "io.npz", "against": "keras"}, {"against": "theano"}], ids=repr
)
def test_what_to_compare_with_is_wrong(model, given):
    with pytest.raises(ValueError, match=r"data=|'keras' or 'tf_keras', not 'theano'"):
        porting.verify(model, **given)


def test_recorded_file_that_is_not_there(model):
    with pytest.raises(FileNotFoundError):
        porting.verify(model, data="no.npz")


HOSTILE = {
    "code": layer("Lambda", "f", ["match"], function=["4wEAAAA=", None, None], function_type="lambda"),
    "a custom class": {**layer("Mine", "f", ["match"]), "registered_name": "my>Mine"},
    "a function of another module": layer(
        "Dense",
        "f",
        ["match"],
        units=1,
        kernel_initializer={"module": "os", "class_name": "system", "config": {}},
    ),
    "a function of Python": layer(
        "Dense",
        "f",
        ["match"],
        units=1,
        kernel_initializer={"module": "builtins", "class_name": "function", "config": "breakpoint"},
    ),
    "a file from the network": layer(
        "Dense",
        "f",
        ["match"],
        units=1,
        kernel_initializer={"module": "keras.utils", "class_name": "function", "config": "get_file"},
    ),
}


@pytest.mark.parametrize("entry", HOSTILE.values(), ids=HOSTILE)
def test_file_that_keras_would_run_is_not_opened_with_keras(model, entry, monkeypatch):
    monkeypatch.setattr("batchdot.porting.verification.live.import_keras", lambda name: pytest.fail(name))
    layers = [*TWO["config"]["layers"], entry]
    with open(model, "w") as file:
        json.dump(functional(layers, TWO["config"]["input_layers"], [["match", 0, 0]]), file)
    np.savez("w.npz")
    custom = {"f": lambda config, weights, shapes: torch.nn.Identity()}
    with pytest.raises(ValueError, match="not opened with Keras"):
        porting.verify(model, against="keras", custom=custom)


def many(k):
    """A model with ids, masks, a nested model that is called twice, and a shared layer."""
    ids, floats = k.Input((7,), dtype="int32", name="ids"), k.Input((3,), name="floats")
    vectors = k.layers.Embedding(9, 4, mask_zero=True, name="vectors")(ids)
    states = k.layers.LSTM(5, name="states")(vectors)
    dense = k.layers.Dense(5, activation="tanh", name="dense")
    inner_input = k.Input((5,))
    inner = k.Model(inner_input, k.layers.Dense(4, name="inside")(inner_input), name="tower")
    joined = k.layers.Dot(1, normalize=True, name="match")([inner(states), inner(dense(floats))])
    return k.Model([ids, floats], [joined, k.layers.Dense(2, name="last")(joined)])


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_against_live_keras(name, tmp_path):
    keras = live_keras(name)
    many(keras).save(tmp_path / "m.keras")
    result = porting.verify(tmp_path / "m.keras", against=name)
    assert result.agrees, str(result)
    assert result.layers == ()
    assert f"{name} {keras.__version__} on 5 random samples" in str(result)

    wrong = {"dense": lambda config, weights, shapes: torch.nn.Linear(3, 5)}
    result = porting.verify(tmp_path / "m.keras", against=name, custom=wrong)
    assert not result.agrees
    agreeing = {layer.name for layer in result.layers if layer.agrees}
    assert result.first_difference.name == "dense"
    assert {"vectors", "states"} <= agreeing
    assert "The first layer that differs is 'dense'." in str(result)


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
def test_file_that_keras_cannot_read(tmp_path):
    many(live_keras("tf_keras")).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"m\.keras: keras 3\.\S+ cannot read it: "):
        porting.verify(tmp_path / "m.keras", against="keras")

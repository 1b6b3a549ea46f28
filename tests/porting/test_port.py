"""Ported models through the public door: the edges of names, shapes, files and threads."""

import concurrent.futures
import copy
import inspect
import itertools
import json
import os
import pickle
import subprocess
import sys
import traceback
import weakref

import numpy as np
import pytest
import torch
from tests.support.porting.saved import dense, entry, functional, given, kernel, write
from torch import nn

from batchdot import porting
from batchdot.porting.source import check
from batchdot.porting.source.checking import SourceError


def one_dense(path, name="dense", input_name="x", dtype="f4", **config):
    """Write a model of one Dense layer, 3 to 2; return the file and its kernel and bias."""
    weights = kernel("w", 3, 2, dtype)
    layers = [given(input_name, 3), dense(name, [input_name], 2, **config)]
    return write(path, functional(layers, [input_name], [name]), {name: weights}), *(
        array for _, array in weights
    )


def test_load_of_dense_computes_and_learns(tmp_path):
    path, weight, bias = one_dense(tmp_path / "m.h5")
    module = porting.load(path)
    x = torch.randn(4, 3)
    torch.testing.assert_close(module(x), x @ torch.tensor(weight) + torch.tensor(bias))
    torch.testing.assert_close(module(x=x), module(x))
    assert not module.training
    assert list(module.state_dict()) == ["dense.weight", "dense.bias"]
    module(x).sum().backward()
    assert module.dense.weight.grad is not None


NAMES = [
    *(
        "self",
        "forward",
        "for",
        "print",
        "torch",
        "nn",
        "F",
        "Tensor",
        "training",
        "state_dict",
        "a/b",
        "a_b",
    ),
    *(
        "a-b",
        "1st",
        "__init__",
        "__x",
        "_",
        "ﬁ",
        "é",
        "match",
        "super",
        "None",
        "softmax",
        "range",
        "T" * 300,
    ),
    *("parameters", 'quote"', "back\\slash", "new\nline", "x", "x_1", "Net", "Path", "add_noise", "12"),
    *("batchdot", "_parameters"),
]


@pytest.mark.parametrize("name", NAMES)
def test_load_of_odd_layer_name_computes(tmp_path, name):
    path, weight, bias = one_dense(tmp_path / "m.h5", name, input_name=f"{name}2")
    x = torch.randn(4, 3)
    module = porting.load(path)
    torch.testing.assert_close(module(x), x @ torch.tensor(weight) + torch.tensor(bias))
    assert len(module.state_dict()) == 2


def test_load_of_all_odd_names_together_keeps_them_apart(tmp_path):
    layers, weights, before = [given("inputs", 3)], {}, "inputs"
    for number, name in enumerate(NAMES):
        name = name.replace("/", "∕") if name == "a/b" else name
        layers.append(dense(name, [before], 3))
        weights[name] = kernel("w", 3, 3, seed=number)
        before = name
    module = porting.load(write(tmp_path / "m.h5", functional(layers, ["inputs"], [before]), weights))
    x = torch.randn(2, 3) / 10
    expected = x.double()
    for name in weights:
        (_, matrix), (_, bias) = weights[name]
        expected = expected @ torch.tensor(matrix).double() + torch.tensor(bias).double()
    torch.testing.assert_close(module.double()(x.double()), expected)


def test_port_of_hostile_texts_writes_no_code(tmp_path):
    name = '"""\nimport os\nos.system("true")\n#'
    layers = [given("x", 3), entry("ReLU", name, ["x"])]
    source = porting.port(
        write(tmp_path / 'a"""\nb.json', functional(layers, ["x"], [name], name=name))
    ).source
    assert "os.system" not in source
    assert source.count('"""') == 2


def test_load_of_dicts_takes_and_returns_them(tmp_path):
    layers = [given("b", 3), given("a", 3), entry("Add", "sum", ["a", "b"]), entry("ReLU", "relu", ["a"])]
    config = functional(layers, {"b": "b", "a": "a"}, {"total": "sum", "rest": "relu"})
    module = porting.load(write(tmp_path / "m.json", config))
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    for result in (module(a, b), module({"b": b, "a": a}), module(b=b, a=a)):
        assert list(result) == ["total", "rest"]
        torch.testing.assert_close(result["total"], a + b)
        torch.testing.assert_close(result["rest"], a.relu())


def test_load_returns_inputs_and_repeated_outputs(tmp_path):
    layers = [given("x", 3), entry("ReLU", "relu", ["x"])]
    x = torch.randn(2, 3)
    found = porting.load(write(tmp_path / "m.json", functional(layers, ["x"], ["x", "relu", "relu"])))(x)
    for result, expected in zip(found, (x, x.relu(), x.relu()), strict=True):
        torch.testing.assert_close(result, expected)
    torch.testing.assert_close(
        porting.load(write(tmp_path / "i.json", functional(layers, ["x"], ["x"])))(x), x
    )


def test_load_of_fixed_batch_and_free_sizes_takes_any(tmp_path):
    layers = [given("x", None, 3, batch=5), entry("Reshape", "pairs", ["x"], target_shape=[-1, 6])]
    module = porting.load(write(tmp_path / "m.json", functional(layers, ["x"], ["pairs"])))
    for batch, steps in ((5, 4), (2, 8), (1, 2), (0, 4)):
        assert module(torch.randn(batch, steps, 3)).shape == (batch, steps // 2, 6)


@pytest.mark.parametrize(
    ("class_name", "config", "shape"),
    [
        ("Flatten", {}, (12,)),
        ("Reshape", {"target_shape": [2, -1]}, (2, 6)),
        ("Permute", {"dims": [2, 1]}, (3, 4)),
        ("Softmax", {"axis": [1, 2]}, (4, 3)),
        ("Dropout", {"rate": 0.5}, (4, 3)),
        ("SpatialDropout1D", {"rate": 0.5}, (4, 3)),
        ("GaussianNoise", {"stddev": 0.5}, (4, 3)),
        ("Masking", {"mask_value": 0.0}, (4, 3)),
    ],
)
def test_load_with_batch_of_zero_returns_none(tmp_path, class_name, config, shape):
    layers = [given("x", 4, 3), entry(class_name, "layer", ["x"], **config)]
    module = porting.load(write(tmp_path / "m.json", functional(layers, ["x"], ["layer"])))
    assert module(torch.zeros(0, 4, 3)).shape == (0, *shape)
    assert module(torch.zeros(2, 4, 3)).shape == (2, *shape)


def test_load_of_embedding_truncates_floats(tmp_path):
    table = np.arange(12, dtype="f4").reshape(4, 3)
    layers = [given("ids", 2), entry("Embedding", "table", ["ids"], input_dim=4, output_dim=3)]
    path = write(
        tmp_path / "m.h5", functional(layers, ["ids"], ["table"]), {"table": [("table/embeddings:0", table)]}
    )
    module = porting.load(path)
    expected = torch.tensor(table[[[1, 3]]])
    for ids in (
        torch.tensor([[1.9, 3.2]]),
        torch.tensor([[1, 3]]),
        torch.tensor([[1, 3]], dtype=torch.int32),
    ):
        torch.testing.assert_close(module(ids), expected)


@pytest.mark.parametrize(
    ("stored", "dtype"), [("f2", torch.float16), ("f8", torch.float64), ("f4", torch.float32)]
)
def test_load_keeps_dtype_of_weights(tmp_path, stored, dtype):
    path, *_ = one_dense(tmp_path / "m.h5", dtype=stored)
    ported = porting.port(path)
    assert {tensor.dtype for tensor in ported.state_dict.values()} == {dtype}
    assert {tensor.dtype for tensor in ported.module().state_dict().values()} == {dtype}
    assert ported.module()(torch.ones(1, 3, dtype=dtype)).dtype == dtype


def test_load_of_mixed_dtypes_keeps_each(tmp_path):
    layers = [given("x", 3), dense("low", ["x"], 2), dense("full", ["x"], 2)]
    weights = {"low": kernel("w", 3, 2, "f2"), "full": kernel("w", 3, 2)}
    ported = porting.port(write(tmp_path / "m.h5", functional(layers, ["x"], ["full"]), weights))
    assert "low" not in ported.source  # nothing uses it
    layers = [given("x", 3), given("h", 3), dense("low", ["h"], 2), dense("full", ["x"], 2)]
    ported = porting.port(write(tmp_path / "m.h5", functional(layers, ["x", "h"], ["full", "low"]), weights))
    rebuilt = namespace(ported.source)["Net"]()
    assert rebuilt.low.weight.dtype == torch.float16
    assert rebuilt.full.weight.dtype == torch.float32
    x, h = torch.randn(4, 3), torch.randn(4, 3)
    full, low = ported.module()(x, h)
    arrays = {name: [torch.tensor(array).float() for _, array in pair] for name, pair in weights.items()}
    torch.testing.assert_close(full, x @ arrays["full"][0] + arrays["full"][1])
    torch.testing.assert_close(low.float(), h @ arrays["low"][0] + arrays["low"][1], rtol=1e-2, atol=1e-2)
    assert low.dtype == torch.float16


def test_load_keeps_source_for_inspect_and_tracebacks(tmp_path):
    path, *_ = one_dense(tmp_path / "m.h5")
    source, module = porting.port(path).source, porting.load(path)
    text = inspect.getsource(type(module))
    assert text.startswith("class Net(nn.Module):")
    assert text in source
    with pytest.raises(RuntimeError) as caught:
        module(torch.ones(1, 4))
    assert any(frame.line == "return self.dense(x)  # (B, 2)" for frame in traceback.extract_tb(caught.tb))


CLASSES = {
    "tower_2": "Tower2",
    "sequential_1": "DenseBlock",
    "model": "DenseBlock",
    "net": "Net2",
}
"""Names of a model inside of one called "net", and of their classes."""


@pytest.mark.parametrize("name", CLASSES)
def test_port_of_nested_model_names_its_class(name, tmp_path):
    layers = [given("x", 3), inside(name, "x")]
    config = functional(layers, ["x"], [(name, 1)])
    source = porting.port(write(tmp_path / "m.h5", config, {name: kernel("d", 3, 3)})).source
    assert f"self.{name} = {CLASSES[name]}()" in source


def test_load_lays_weights_out_as_torch_does(tmp_path):
    """A transposed weight would be copied in every call of an LSTM."""
    path, *_ = one_dense(tmp_path / "m.h5")
    assert all(tensor.is_contiguous() for tensor in porting.load(path).state_dict().values())


def test_load_imports_no_compiler(tmp_path):
    """Importing torch._dynamo takes as long as importing torch."""
    layers = [given("x", 3), entry("Embedding", "table", ["x"], input_dim=5, output_dim=2)]
    weights = {"table": [("table/embeddings:0", np.ones((5, 2), "f4"))]}
    path = write(tmp_path / "m.h5", functional(layers, ["x"], ["table"]), weights)
    program = (
        "import sys; from batchdot import porting; porting.load(sys.argv[1]); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=True)


def chain(path, count, *more):
    """A chain of Dense layers, and further layers with an output of their own."""
    names = ["x", *(f"d{number}" for number in range(count))]
    layers = [given("x", 3), *(dense(b, [a], 3) for a, b in itertools.pairwise(names)), *more]
    weights = {layer["name"]: kernel(layer["name"], 3, 3) for layer in layers[1:]}
    return write(path, functional(layers, ["x"], [names[-1], *(layer["name"] for layer in more)]), weights)


def alive_at_the_end(module, x):
    """The layers whose outputs are still there when the last one runs."""
    made, alive = {}, []

    def hook(name):
        def after(layer, inputs, output):
            alive[:] = [key for key, tensor in made.items() if tensor() is not None]
            made[name] = weakref.ref(output)

        return after

    for name, layer in module.named_children():
        layer.register_forward_hook(hook(name))
    with torch.no_grad():
        module(x)
    return alive


def test_load_of_chain_frees_what_was_used(tmp_path):
    module = porting.load(chain(tmp_path / "m.h5", 6))
    assert alive_at_the_end(module, torch.ones(2, 3)) == ["d4"]


def test_load_of_chain_keeps_what_is_used_later(tmp_path):
    path = chain(tmp_path / "m.h5", 6, dense("late", ["d1"], 3))
    module = porting.load(path)
    x = torch.randn(2, 3)
    expected = [x]
    for number in range(6):
        expected.append(getattr(module, f"d{number}")(expected[-1]))
    torch.testing.assert_close(module(x), (expected[-1], module.late(expected[2])))
    assert "d1" in alive_at_the_end(module, x)


def namespace(source):
    """Return what a ported file defines, run without the porter."""
    names = {"__name__": "saved"}
    exec(source, names)
    return names


def test_load_of_frozen_layers_requires_no_gradients(tmp_path):
    layers = [given("x", 3), dense("frozen", ["x"], 2, trainable=False), dense("free", ["frozen"], 2)]
    weights = {"frozen": kernel("w", 3, 2), "free": kernel("w", 2, 2)}
    module = porting.load(write(tmp_path / "m.h5", functional(layers, ["x"], ["free"]), weights))
    assert [name for name, p in module.named_parameters() if p.requires_grad] == ["free.weight", "free.bias"]
    path = write(tmp_path / "n.h5", functional(layers, ["x"], ["free"], trainable=False), weights)
    assert not any(parameter.requires_grad for parameter in porting.load(path).parameters())


def inside(name, source, *layers, **config):
    """Return a model inside of another: a dense layer, then what is given."""
    body = [given("i", 3), dense(f"{name}_dense", ["i"], 3), *layers]
    found = functional(body, ["i"], [body[-1]["name"]], name, **config)
    return found | {"inbound_nodes": [[[source, 0, 0, {}]]]}


LEARNING = {
    "": {"outer_dense", "inner_dense", "head"},
    "inner": {"outer_dense", "head"},
    "outer": {"head"},
    "outer inner": {"head"},
    "net": set(),
}
"""Models that are frozen as a whole, and the layers that learn then."""


@pytest.mark.parametrize("frozen", LEARNING)
def test_load_of_frozen_models_in_models_requires_no_gradients(frozen, tmp_path):
    def trainable(name):
        return {"trainable": name not in frozen}

    outer = inside("outer", "x", inside("inner", "outer_dense", **trainable("inner")), **trainable("outer"))
    layers = [given("x", 3), outer, dense("head", ["outer"], 2)]
    weights = {
        "outer": [*kernel("outer_dense", 3, 3), *kernel("inner_dense", 3, 3)],
        "head": kernel("head", 3, 2),
    }
    config = functional(layers, ["x"], ["head"], **trainable("net"))
    ported = porting.port(write(tmp_path / "m.h5", config, weights))
    learning = {name for name, each in ported.module().named_parameters() if each.requires_grad}
    assert {name.split(".")[-2] for name in learning} == LEARNING[frozen]
    assert ported.source.count("requires_grad_(False)") == (frozen != "")


FLATTENED = {
    "alone": (1, [], ["flat"], True),
    "twice": (1, [entry("Flatten", "other", ["table"])], ["flat", "other"], True),
    "several ids": (2, [], ["flat"], False),
    "an output too": (1, [], ["flat", "table"], False),
    "used elsewhere": (
        1,
        [entry("Activation", "kept", ["table"], activation="tanh")],
        ["flat", "kept"],
        False,
    ),
}
"""Ids a sample, more layers, outputs, and whether flat ids are looked up."""


@pytest.mark.parametrize("case", FLATTENED)
def test_load_of_flattened_embedding_computes(case, tmp_path):
    steps, more, outputs, is_flat = FLATTENED[case]
    table = entry("Embedding", "table", ["user"], input_dim=5, output_dim=2)
    layers = [given("user", steps), table, entry("Flatten", "flat", ["table"]), *more]
    rows = np.random.default_rng(0).normal(size=(5, 2)).astype("f4")
    path = write(
        tmp_path / "m.h5", functional(layers, ["user"], outputs), {"table": [("table/embeddings:0", rows)]}
    )
    found = rows[np.arange(3 * steps).reshape(3, steps) % 5]
    wanted = {"flat": found.reshape(3, -1), "table": found, "kept": np.tanh(found)}
    wanted["other"] = wanted["flat"]
    ported = porting.port(path)
    assert (".flatten().long()" in ported.source) == is_flat
    results = ported.module()(torch.arange(3.0 * steps).reshape(3, steps) % 5)
    for name, result in zip(outputs, results if len(outputs) > 1 else [results], strict=True):
        np.testing.assert_allclose(result.detach(), wanted[name], rtol=1e-6)


def test_port_of_frozen_layers_says_so_once(tmp_path):
    layers = [
        given("x", 3),
        dense("one", ["x"], 2, trainable=False),
        dense("two", ["one"], 2, trainable=False),
    ]
    weights = {"one": kernel("w", 3, 2), "two": kernel("w", 2, 2)}
    ported = porting.port(write(tmp_path / "m.h5", functional(layers, ["x"], ["two"]), weights))
    assert ported.source.count("requires_grad_(False)") == 1
    assert not any(parameter.requires_grad for parameter in ported.module().parameters())


def test_port_of_tensorflow_operations_calls_them_by_their_own_names(tmp_path):
    square = {
        **entry("TFOpLambda", "tf.math.square", function="math.square"),
        "inbound_nodes": [["x", 0, 0, {"name": None}]],
    }
    last = dense("dense", ["tf.math.square"], 2)
    more = entry("Activation", "tanh", ["tf.math.square"], activation="tanh")
    config = functional([given("x", 3), square, last, more], ["x"], ["dense", "tanh"])
    source = porting.port(write(tmp_path / "m.h5", config, {"dense": kernel("w", 3, 2)})).source
    assert " square = " in source
    assert "tf_" not in source


def test_train_on_batch_of_zero_leaves_statistics(tmp_path):
    norm = entry("BatchNormalization", "norm", ["x"], axis=[1], momentum=0.9)
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    weights = {"norm": [(f"norm/{name}:0", np.ones(3, "f4")) for name in names]}
    module = porting.load(
        write(tmp_path / "m.h5", functional([given("x", 3), norm], ["x"], ["norm"]), weights)
    )
    before = {key: tensor.clone() for key, tensor in module.state_dict().items() if "running" in key}
    assert module.train()(torch.ones(0, 3)).shape == (0, 3)
    for key, tensor in before.items():
        torch.testing.assert_close(module.state_dict()[key], tensor)


def test_load_of_masked_model_with_dict_inside_obeys_the_mask(tmp_path):
    """A model inside that takes its inputs by name gets their masks as one that takes them in order."""
    pool = entry("GlobalAveragePooling1D", "pool", ["b"], data_format="channels_last")
    inner = functional(
        [given("a", 2), given("b", None, 2), pool, entry("Add", "sum", ["pool", "a"])],
        {"b": "b", "a": "a"},
        ["sum"],
        name="inner",
    )
    called = {**entry("Functional", "inner"), "config": inner["config"]}
    called["inbound_nodes"] = [{"a": ["x", 0, 0, {}], "b": ["table", 0, 0, {}]}]
    table = entry("Embedding", "table", ["ids"], input_dim=5, output_dim=2, mask_zero=True)
    rows = np.arange(10, dtype="f4").reshape(5, 2)
    config = functional([given("x", 2), given("ids", None), table, called], ["x", "ids"], ["inner"])
    module = porting.load(write(tmp_path / "m.h5", config, {"table": [("table/embeddings:0", rows)]}))
    x, ids = torch.ones(1, 2), torch.tensor([[4, 2, 0, 0]])
    torch.testing.assert_close(module(x, ids), x + torch.tensor(rows[[4, 2]]).mean(0))


def test_load_of_recurrent_layer_with_odd_activations_is_pickled(tmp_path):
    """They are functions of the file, which a lambda would not be for pickle."""
    units = {"units": 2, "activation": "hard_silu", "recurrent_activation": "hard_sigmoid"}
    relu = {"class_name": "ReLU", "config": {"name": "r", "max_value": 3.0, "negative_slope": 0.0}}
    layers = [given("x", None, 3), entry("LSTM", "lstm", ["x"], **units | {"activation": relu})]
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 8), "recurrent_kernel": (2, 8), "bias": (8,)}
    weights = {
        "lstm": [
            (f"lstm/lstm_cell/{name}:0", rng.normal(size=size).astype("f4")) for name, size in shapes.items()
        ]
    }
    ported = porting.port(write(tmp_path / "m.h5", functional(layers, ["x"], ["lstm"]), weights))
    module, x = ported.module(), torch.randn(2, 4, 3)
    assert "lambda" not in ported.source
    for same in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        torch.testing.assert_close(same(x), module(x))


def test_load_of_layers_shared_by_models_keeps_one(tmp_path):
    inner = [given("i", 3), dense("shared", ["i"], 3)]
    one, two = (
        functional(inner, ["i"], ["shared"], name="one"),
        functional(inner, ["i"], ["shared"], name="two"),
    )
    layers = [given("x", 3), {**one, "inbound_nodes": [[["x", 0, 0, {}]]]}]
    layers.append({**two, "inbound_nodes": [[["one", 1, 0, {}]]]})
    weights = {name: kernel("shared", 3, 3) for name in ("one", "two")}
    path = write(tmp_path / "m.h5", functional(layers, ["x"], [("two", 1)]), weights)
    ported = porting.port(path)
    assert list(ported.state_dict) == ["one.shared.weight", "one.shared.bias"]
    x, ((_, matrix), (_, bias)) = torch.randn(2, 3), weights["one"]
    expected = (x @ torch.tensor(matrix) + torch.tensor(bias)) @ torch.tensor(matrix) + torch.tensor(bias)
    module = ported.module()
    torch.testing.assert_close(module(x), expected)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        other.one.shared.bias.data += 1
        assert not torch.equal(other(x), module(x))


def test_load_of_equal_untrained_layers_keeps_both(tmp_path):
    inner = [given("i", 3), dense("same", ["i"], 3)]
    one, two = functional(inner, ["i"], ["same"], name="one"), functional(inner, ["i"], ["same"], name="two")
    layers = [given("x", 3), {**one, "inbound_nodes": [[["x", 0, 0, {}]]]}]
    layers.append({**two, "inbound_nodes": [[["one", 1, 0, {}]]]})
    zeros = [("same/kernel:0", np.ones((3, 3), "f4")), ("same/bias:0", np.zeros(3, "f4"))]
    path = write(tmp_path / "m.h5", functional(layers, ["x"], [("two", 1)]), {"one": zeros, "two": zeros})
    assert len(porting.port(path).state_dict) == 4


def test_load_of_500_layers_runs(tmp_path):
    layers, before = [given("x", 3)], "x"
    for number in range(500):
        layers.append(
            entry("ReLU" if number % 2 else "Activation", f"l{number}", [before], activation="tanh")
        )
        before = f"l{number}"
    for one in layers[2::2]:
        one["config"].pop("activation")
    module = porting.load(write(tmp_path / "m.json", functional(layers, ["x"], [before])))
    x = torch.randn(2, 3)
    expected = x
    for number in range(500):
        expected = expected.relu() if number % 2 else expected.tanh()
    torch.testing.assert_close(module(x), expected)


def repeated(calls, collect):
    """Return a model that calls one Dense layer on its own output; outputs are all results or the last."""
    nodes = [["x"], *([("step", number)] for number in range(calls - 1))]
    layers = [given("x", 3), dense("step", nodes, 3, "tanh")]
    return functional(
        layers, ["x"], [("step", n) for n in range(calls)] if collect else [("step", calls - 1)]
    )


@pytest.mark.parametrize("collect", [False, True])
def test_port_of_repeated_calls_writes_loop(tmp_path, collect):
    weights = {"step": kernel("w", 3, 3)}
    ported = porting.port(write(tmp_path / "m.h5", repeated(10, collect), weights))
    assert "for _ in range(10):" in ported.source
    assert ported.source.count("self.step(") == 1
    x = torch.randn(2, 3)
    (_, matrix), (_, bias) = weights["step"]
    expected = []
    for _ in range(10):
        x = torch.tanh(x @ torch.tensor(matrix) + torch.tensor(bias)) if expected else x
        expected.append(x)
    first = expected[0]
    results, step = [], first
    for _ in range(10):
        step = torch.tanh(step @ torch.tensor(matrix) + torch.tensor(bias))
        results.append(step)
    found = ported.module()(first)
    for result, wanted in zip(
        found if collect else [found], results if collect else results[-1:], strict=True
    ):
        torch.testing.assert_close(result, wanted)


def test_port_twice_gives_same_text(tmp_path):
    path = write(tmp_path / "m.h5", repeated(4, True), {"step": kernel("w", 3, 3)})
    assert porting.port(path).source == porting.port(path).source


def test_load_in_threads_agrees(tmp_path):
    path, *_ = one_dense(tmp_path / "m.h5")
    x = torch.randn(2, 3)
    expected = porting.load(path)(x)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: porting.load(path)(x), range(32)):
            torch.testing.assert_close(result, expected)


# Files


RUN = """
import sys
for name in ("batchdot", "keras", "tf_keras", "tensorflow", "h5py", "pyfive"):
    sys.modules[name] = None
import runpy, torch
from safetensors.torch import load_file
names = runpy.run_path("tower.py")
model = names["Tower"]()
model.load_state_dict(load_file("tower.safetensors"))
print(model(torch.ones(1, 3)).tolist())
"""


def test_save_writes_files_that_run_alone(tmp_path):
    weights = kernel("w", 3, 2)
    layers = [given("x", 3), dense("dense", ["x"], 2)]
    path = write(tmp_path / "m.h5", functional(layers, ["x"], ["dense"], name="tower"), {"dense": weights})
    porting.port(path).save(tmp_path / "tower.py")
    run = [sys.executable, "-I", "-c", RUN]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    expected = porting.load(path)(torch.ones(1, 3)).tolist()
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=1e-6)
    printed = subprocess.run(
        [sys.executable, "tower.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Linear(in_features=3, out_features=2, bias=True)" in printed.stdout


def test_save_over_files_replaces_both(tmp_path):
    path, *_ = one_dense(tmp_path / "m.h5")
    for name in ("m.py", "m.safetensors"):
        (tmp_path / name).write_text("old")
    porting.port(path).save(tmp_path / "m.py")
    assert "class Net" in (tmp_path / "m.py").read_text()
    assert sorted(os.listdir(tmp_path)) == ["m.h5", "m.py", "m.safetensors"]


def test_save_that_fails_leaves_both(tmp_path, monkeypatch):
    path, *_ = one_dense(tmp_path / "m.h5")
    for name in ("m.py", "m.safetensors"):
        (tmp_path / name).write_text("old")
    replace = os.replace

    def fails(source, target):
        if str(target).endswith("m.py") and not str(source).endswith(".old"):
            raise OSError(5, "the disk is broken")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="the disk is broken"):
        porting.port(path).save(tmp_path / "m.py")
    assert [(tmp_path / name).read_text() for name in ("m.py", "m.safetensors")] == ["old", "old"]
    assert sorted(os.listdir(tmp_path)) == ["m.h5", "m.py", "m.safetensors"]


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ("none/m.py", OSError, "there is no folder"),
        ("m.txt", ValueError, "NAME.py"),
        ("m.h5/m.py", OSError, "m.h5"),
    ],
)
def test_save_where_it_cannot_says_so(tmp_path, target, error, words):
    path, *_ = one_dense(tmp_path / "m.h5")
    with pytest.raises(error, match=words):
        porting.port(path).save(tmp_path / target)


def test_port_without_weights_names_the_argument(tmp_path):
    config = functional([given("x", 3), dense("dense", ["x"], 2)], ["x"], ["dense"])
    path = write(tmp_path / "m.json", config)
    with pytest.raises(porting.NotPortableError, match="weights="):
        porting.port(path)
    other, *_ = one_dense(tmp_path / "w.h5")
    torch.testing.assert_close(
        porting.load(path, weights=other)(torch.ones(1, 3)), porting.load(other)(torch.ones(1, 3))
    )


def test_pickle_of_changed_text_is_refused(tmp_path):
    path, *_ = one_dense(tmp_path / "m.h5")
    module = porting.load(path)
    text = pickle.dumps(module, protocol=0).replace(b"import Tensor, nn", b"import Tensor,nn;import os")
    with pytest.raises((SourceError, pickle.UnpicklingError)):
        pickle.loads(text)
    again = pickle.loads(pickle.dumps(module))
    torch.testing.assert_close(again(torch.ones(1, 3)), module(torch.ones(1, 3)))


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "from torch import *",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.hub.load('x')",
        "__import__('os')",
        "open('x')",
        "eval('1')",
        "x = ().__class__",
        "import torch\n@torch.compile\ndef f(x): return x",
        "while True: pass",
        "try:\n    pass\nexcept Exception:\n    pass",
        "lambda: unknown",
        "x =",
        "(" * 10000,
    ],
)
def test_check_of_foreign_text_refuses(text):
    with pytest.raises(SourceError):
        check(text)


# Custom layers


class Doubled(nn.Module):
    def __init__(self, factor, kernel):
        super().__init__()
        self.factor = factor
        self.scale = nn.Parameter(torch.ones(3) if kernel is None else torch.tensor(kernel))

    def forward(self, x):
        return self.factor * self.scale * x


def doubled(config, weights, input_shapes):
    assert input_shapes == [(None, 3)]
    return Doubled(config["factor"], weights and next(iter(weights.values())))


def shifted(config, weights, input_shapes):
    return lambda x: x + 1


def custom_model(path):
    layers = [
        given("x", 3),
        entry("Scaling", "scaling", ["x"], factor=2.0),
        entry("Lambda", "shift", ["scaling"], function=["4wEAAAA=", None, None], function_type="lambda"),
        dense("dense", ["shift"], 3, activation="my_activation"),
    ]
    weights = {"scaling": [("scaling/scale:0", np.arange(3, dtype="f4"))], "dense": kernel("dense", 3, 3)}
    return write(path, functional(layers, ["x"], ["dense"]), weights)


def test_port_names_all_that_is_missing(tmp_path):
    with pytest.raises(porting.NotPortableError) as caught:
        porting.port(custom_model(tmp_path / "m.h5"))
    assert [name for name, _ in caught.value.missing] == ["scaling", "shift", "dense"]
    for words in (
        'custom={"Scaling": function}',
        "factor",
        "(3,)",
        'custom={"shift": function}',
        "my_activation",
    ):
        assert words in str(caught.value)


def test_load_with_custom_functions_computes(tmp_path):
    path = custom_model(tmp_path / "m.h5")
    custom = {"Scaling": doubled, "shift": shifted, "my_activation": lambda *_: torch.sin}
    module = porting.load(path, custom=custom)
    x = torch.randn(2, 3)
    (_, matrix), (_, bias) = kernel("dense", 3, 3)
    inside = (2 * torch.arange(3.0) * x + 1) @ torch.tensor(matrix) + torch.tensor(bias)
    torch.testing.assert_close(module(x), inside.sin())
    with pytest.raises(ValueError, match="my_activation"):
        porting.port(path, custom=custom).save(tmp_path / "m.py")


def test_save_with_importable_custom_function_imports_it(tmp_path, monkeypatch):
    (tmp_path / "own_layers.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Scale(nn.Module):\n"
        "    def __init__(self, factor, scale):\n        super().__init__()\n        self.factor = factor\n"
        "        self.scale = nn.Parameter(torch.ones(3) if scale is None else torch.tensor(scale))\n\n"
        "    def forward(self, x):\n        return self.factor * self.scale * x\n\n\n"
        "def scale(config, weights, input_shapes):\n"
        "    return Scale(config['factor'], weights and next(iter(weights.values())))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import own_layers

    layers = [given("x", 3), entry("Scaling", "scaling", ["x"], factor=2.0)]
    weights = {"scaling": [("scaling/scale:0", np.arange(3, dtype="f4"))]}
    path = write(tmp_path / "m.h5", functional(layers, ["x"], ["scaling"]), weights)
    ported = porting.port(path, custom={"scaling": own_layers.scale})
    assert "from own_layers import scale\n" in ported.source
    ported.save(tmp_path / "net.py")
    module = namespace((tmp_path / "net.py").read_text())["Net"]()
    module.load_state_dict(ported.state_dict)
    torch.testing.assert_close(module(torch.ones(1, 3)), 2 * torch.arange(3.0)[None])


def test_port_with_custom_functions_says_what_layers_become(tmp_path):
    seen = []

    def shift(config, weights, input_shapes):
        seen.append(config)
        return lambda x: x + 1

    custom = {"Scaling": doubled, "shift": shift, "my_activation": lambda *_: torch.sin}
    table = str(porting.port(custom_model(tmp_path / "m.h5"), custom=custom))
    assert "needs a replacement" not in table
    rows = {line.split()[0]: line.split()[-1] for line in table.splitlines() if line.strip()}
    assert (rows["scaling"], rows["shift"], rows["dense"]) == ("doubled", "shift", "nn.Linear")
    assert seen[0] == {"name": "shift"}


def test_refusal_of_layer_without_translation_says_what_to_give(tmp_path):
    crop = entry("RandomCrop", "crop", ["x"], height=4, width=4)
    path = write(tmp_path / "m.json", functional([given("x", 8, 8, 3), crop], ["x"], ["crop"]))
    with pytest.raises(porting.NotPortableError, match=r"RandomCrop.*custom="):
        porting.port(path)


# Notes


def test_notes_name_what_does_not_come_over(tmp_path):
    penalty = {"class_name": "L2", "config": {"l2": 0.01}}
    constraint = {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}}
    path, *_ = one_dense(tmp_path / "m.h5", kernel_regularizer=penalty, kernel_constraint=constraint)
    ported = porting.port(path)
    notes = "\n".join(ported.notes)
    comments = [line.removeprefix("#").strip() for line in ported.source.splitlines() if line.startswith("#")]
    assert " ".join(comments) == " ".join(f"- {note}" for note in ported.notes)
    assert "0.01 * model.dense.weight.square().sum()" in notes
    assert "model.dense.weight.renorm_(2, 0, 2)" in notes
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    layers = [given("x", 3), entry("ReLU", "relu", ["x"], dtype=policy)]
    ported = porting.port(write(tmp_path / "h.json", functional(layers, ["x"], ["relu"])))
    assert any("torch.autocast" in note for note in ported.notes)


@pytest.mark.parametrize("outputs", [[], {}, [[], "relu"]], ids=str)
def test_port_without_outputs_is_refused(tmp_path, outputs):
    config = functional([given("x", 3), entry("ReLU", "relu", ["x"])], ["x"], outputs)
    with pytest.raises((porting.ModelFileError, porting.NotPortableError)):
        porting.port(write(tmp_path / "m.json", config))


def normalized(**config):
    """Return a model of 4 features and one layer of normalization, in JSON."""
    norm = entry(config.pop("class_name", "BatchNormalization"), "norm", ["x"], **config)
    return functional([given("x", 4), norm], ["x"], ["norm"])


def test_port_of_batch_norm_without_weights_names_the_argument(tmp_path):
    with pytest.raises(porting.NotPortableError, match="the file has no weights; give the file"):
        porting.port(write(tmp_path / "m.json", normalized()))


@pytest.mark.parametrize("call", [[], [["x", 0, 0, {}]] * 2], ids=["none", "two"])
def test_port_of_call_with_wrong_number_of_inputs_is_refused(tmp_path, call):
    layer = {**entry("ZeroPadding2D", "pad", ["x"], padding=[[1, 1], [1, 1]]), "inbound_nodes": [call]}
    path = write(tmp_path / "m.json", functional([given("x", 4, 4, 1), layer], ["x"], ["pad"]))
    with pytest.raises(porting.NotPortableError, match="'pad' cannot be ported: it is called with"):
        porting.port(path)


def test_port_of_sizes_that_torch_refuses_is_refused(tmp_path):
    config = normalized(
        class_name="GroupNormalization", groups=3, axis=-1, epsilon=0.001, center=True, scale=True
    )
    arrays = [("gamma", np.ones(4, "f4")), ("beta", np.ones(4, "f4"))]
    with pytest.raises(porting.NotPortableError, match="must be divisible by num_groups"):
        porting.port(write(tmp_path / "m.h5", config, {"norm": arrays}))


def fails(config, weights, input_shapes):
    raise KeyError("gone")


def forgets(config, weights, input_shapes):
    return doubled(config, weights, input_shapes) if weights else nn.Identity()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (fails, r"'fails', called for 'scaling' .*raised KeyError: 'gone'"),
        (lambda config, weights, input_shapes: 3, "returned int for 'scaling'"),
        (forgets, "builds other weights when it is given none: scaling.scale"),
    ],
    ids=["fails", "int", "forgets"],
)
def test_port_with_wrong_custom_function_names_it(tmp_path, function, words):
    path = custom_model(tmp_path / "m.h5")
    with pytest.raises(ValueError, match=words):
        porting.port(path, custom={"Scaling": function, "shift": shifted, "my_activation": shifted})


@pytest.mark.parametrize("name", ["class.py", "1a.py", "my-model.py"])
def test_save_under_name_that_cannot_be_imported_says_so(tmp_path, name):
    with pytest.raises(ValueError, match="Python cannot import"):
        porting.port(one_dense(tmp_path / "m.h5")[0]).save(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["m.h5"]


def test_port_with_unused_custom_function_notes_it(tmp_path):
    notes = porting.port(one_dense(tmp_path / "m.h5")[0], custom={"Skale": doubled}).notes
    assert any("'Skale'" in note for note in notes)


def test_port_of_torch_zip_says_what_it_is(tmp_path):
    torch.save({"w": torch.zeros(2)}, tmp_path / "m.pt")
    with pytest.raises(porting.ModelFileError, match="a PyTorch checkpoint"):
        porting.port(tmp_path / "m.pt")


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # of nn.LSTM, in torch itself
def test_export_of_masked_lstm_keeps_batch_free(tmp_path):
    layers = [
        given("x", 4, dtype="int32"),
        entry("Embedding", "ids", ["x"], input_dim=5, output_dim=3, mask_zero=True),
        entry(
            "LSTM", "lstm", ["ids"], units=2, activation="tanh", recurrent_activation="sigmoid", use_bias=True
        ),
    ]
    weights = {
        "ids": [("ids/embeddings:0", kernel("e", 5, 3)[0][1])],
        "lstm": [
            ("lstm/kernel:0", kernel("k", 3, 8)[0][1]),
            ("lstm/recurrent_kernel:0", kernel("r", 2, 8)[0][1]),
            ("lstm/bias:0", np.ones(8, "f4")),
        ],
    }
    module = porting.load(write(tmp_path / "m.h5", functional(layers, ["x"], ["lstm"]), weights))
    x = torch.tensor([[1, 2, 0, 0], [0, 3, 4, 1], [4, 0, 0, 0]])
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(module, (x,), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(exported(x[:2]), module(x)[:2])

"""How arrays find their layers, calls their tensors and names their meaning: one row for each rule."""

import json

import h5py
import numpy as np
import pytest
from tests.support.porting.attacks.json_attacks import dense, layer, model

from batchdot import porting
from batchdot.porting.record import TensorRef
from batchdot.porting.record.era import Era


def read(tmp_path, data, weights=None, name="m.json"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return porting.read(path, weights=weights)


def legacy(path, groups, **attributes):
    """Write a legacy file of weights: {layer: [(weight name, array)]}."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in groups])
        for key, value in attributes.items():
            file.attrs[key] = value
        for name, arrays in groups.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = (
                np.array([weight.encode() for weight, _ in arrays]) if arrays else np.zeros(0)
            )
            for weight, array in arrays:
                group[weight] = array
    return path


def objects(path, arrays, names=()):
    """Write a file of weights in the layout of objects: {path: array}."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        for name, told in names:
            file.require_group(name).attrs["name"] = told
    return path


def square(value):
    return np.full((4, 4), value, "f4")


def row(value):
    return np.full(4, value, "f4")


# Eras


@pytest.mark.parametrize(
    ("version", "config", "family", "number"),
    [
        ("1.2.2", "", "keras1", (1, 2, 2)),
        ("2.2.4", "", "keras2", (2, 2, 4)),
        ("2.3.1", "", "keras2", (2, 3, 1)),
        ("2.1.6-tf", "", "tf", (1, 12)),
        (
            "2.2.4-tf",
            '"kernel_initializer": {"class_name": "Z", "config": {"dtype": "float32"}} "ragged"',
            "tf",
            (1, 15),
        ),
        (
            "2.2.4-tf",
            '"kernel_initializer": {"class_name": "Z", "config": {"dtype": "float32"}}',
            "tf",
            (1, 13),
        ),
        (
            "2.2.4-tf",
            '"kernel_initializer": {"class_name": "Z", "config": {"seed": null}} "ragged"',
            "tf",
            (2, 0),
        ),
        ("2.2.4-tf", "BatchNormalizationV1", "tf", (1, 13)),
        ("2.3.0-tf", "", "tf", (2, 1)),
        ("2.4.0", "TensorFlowOpLayer", "tf", (2, 3)),
        ("2.4.0", "", "tf", (2, 4)),
        ("2.15.0", "", "tf", (2, 15, 0)),
        ("3.0.5", "", "keras3", (3, 0, 5)),
        ("", '"keras_history" "DTypePolicy"', "keras3", (3, 12)),
        ("", '"border_mode"', "keras1", (1, 2)),
    ],
)
def test_era_told_by_version_and_habits(version, config, family, number):
    era = Era.of(version, "", config=lambda: config)
    assert (era.family, era.version) == (family, number)


# Weights in the legacy layout


def nested(frozen=True):
    inner = {
        "name": "inner",
        "layers": [
            layer("InputLayer", "i", batch_input_shape=[None, 4]),
            layer("Dense", "first", "i", units=4, trainable=not frozen),
            layer("BatchNormalization", "norm", "first"),
            layer("Dense", "last", "norm", units=4),
        ],
        "input_layers": [["i", 0, 0]],
        "output_layers": [["last", 0, 0]],
    }
    entry = {
        "class_name": "Functional",
        "name": "inner",
        "config": inner,
        "inbound_nodes": [[["x", 0, 0, {}]]],
    }
    return model(entry, outputs=[["inner", 1, 0]])


FROZEN_FIRST = [
    *(
        ("norm/gamma:0", row(1)),
        ("norm/beta:0", row(2)),
        ("last/kernel:0", square(3)),
        ("last/bias:0", row(4)),
    ),
    *(("first/kernel:0", square(5)), ("first/bias:0", row(6))),
    *(("norm/moving_mean:0", row(7)), ("norm/moving_variance:0", row(8))),
]


def anonymous(arrays, count=0):
    """Give every layer's weights a prefix that says nothing of it."""
    names = {"first": "dense_7", "norm": "bn_3", "last": "dense_9"}
    return [("/".join([names[name.split("/")[0]], name.split("/")[1]]), array) for name, array in arrays]


@pytest.mark.parametrize("named", [True, False])
def test_nested_frozen_layer_weights_behind_trainable_ones(tmp_path, named):
    arrays = FROZEN_FIRST if named else anonymous(FROZEN_FIRST)
    weights = legacy(tmp_path / "w.h5", {"x": [], "inner": arrays}, keras_version="2.15.0")
    inner = read(tmp_path, nested(), weights).layer("inner").model
    assert inner.layer("first").weights["kernel"].read()[0, 0] == 5
    assert inner.layer("last").weights["kernel"].read()[0, 0] == 3
    assert inner.layer("norm").weights["moving_variance"].read()[0] == 8
    assert not inner.layer("first").weights["kernel"].trainable
    assert inner.layer("last").weights["kernel"].trainable


def test_flags_changed_since_names_win(tmp_path):
    """Saved while the first layer was frozen, with a config that says that it is not."""
    weights = legacy(tmp_path / "w.h5", {"x": [], "inner": FROZEN_FIRST}, keras_version="2.15.0")
    inner = read(tmp_path, nested(frozen=False), weights).layer("inner").model
    assert inner.layer("first").weights["kernel"].read()[0, 0] == 5
    assert inner.layer("last").weights["kernel"].read()[0, 0] == 3


def two_dense():
    return model(layer("Dense", "zebra", "x", units=4), layer("Dense", "apple", "zebra", units=4))


def test_legacy_order_not_listing(tmp_path):
    """Groups are listed by alphabet; names of another session are matched by the order of layer_names."""
    groups = {
        "dense_9": [("dense_9/kernel:0", square(1)), ("dense_9/bias:0", row(2))],
        "dense_10": [("dense_10/kernel:0", square(3)), ("dense_10/bias:0", row(4))],
    }
    record = read(tmp_path, two_dense(), legacy(tmp_path / "w.h5", groups, keras_version="2.15.0"))
    assert record.layer("zebra").weights["kernel"].read()[0, 0] == 1
    assert record.layer("apple").weights["bias"].read()[0] == 4


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ([("d/kernel:0", np.zeros((4, 3), "f4"))], "1 weights of 'd'; allowed: 2"),
        (
            [("d/kernel:0", np.zeros((4, 3), "f4")), ("d/bias:0", np.zeros(4, "f4"))],
            r"shape \(4,\) of 'bias'",
        ),
        ([("d/kernel:0", np.zeros((5, 3), "f4")), ("d/bias:0", np.zeros(3, "f4"))], "input of size 4"),
        (
            [("d/bias:0", np.zeros((4, 3), "f4")), ("d/kernel:0", np.zeros(3, "f4"))],
            "'kernel' of 'd' belongs",
        ),
        (
            [("d/kernel:0", np.zeros((4, 3), "f4")), ("d/bias:0", np.zeros(3, "f4")), ("d/x:0", row(1))],
            "3 weights",
        ),
    ],
)
def test_weights_that_do_not_fit_refused(tmp_path, arrays, said):
    weights = legacy(tmp_path / "w.h5", {"d": arrays}, keras_version="2.15.0")
    with pytest.raises(porting.ModelFileError, match=said):
        read(tmp_path, dense(), weights)


def test_config_with_weights_of_its_own_refuses_others(tmp_path):
    weights = legacy(tmp_path / "w.h5", {"d": []}, keras_version="2.15.0")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = dense()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([b"d"])
        group.create_group("d").attrs["weight_names"] = np.array([b"d/kernel:0", b"d/bias:0"])
        group["d/d/kernel:0"], group["d/d/bias:0"] = np.zeros((4, 3), "f4"), np.zeros(3, "f4")
    assert porting.read(tmp_path / "m.h5").has_weights
    with pytest.raises(porting.ModelFileError, match="weights of its own"):
        porting.read(tmp_path / "m.h5", weights=weights)


def test_keras1_lstm_gates_reordered(tmp_path):
    """Keras 1 stores i, c, f, o, each with W, U, b; Keras 2 has i, f, c, o side by side."""
    arrays = []
    for number, gate in enumerate("icfo"):
        arrays += [
            (f"l_W_{gate}:0", np.full((4, 2), number, "f4")),
            (f"l_U_{gate}:0", np.full((2, 2), number, "f4")),
            (f"l_b_{gate}:0", np.full(2, number, "f4")),
        ]
    lstm = {"name": "l", "output_dim": 2, "inner_activation": "hard_sigmoid", "consume_less": "cpu"}
    config = [
        {
            "class_name": "LSTM",
            "config": {**lstm, "batch_input_shape": [None, 7, 4], "input_dtype": "float32"},
        }
    ]
    data = {"class_name": "Sequential", "config": config, "keras_version": "1.2.2"}
    record = read(tmp_path, data, legacy(tmp_path / "w.h5", {"l": arrays}))
    found = record.layer("l").weights
    assert found["bias"].read().tolist() == [0, 0, 2, 2, 1, 1, 3, 3]
    assert found["kernel"].shape == (4, 8)
    assert found["kernel"].read()[0].tolist() == [0, 0, 2, 2, 1, 1, 3, 3]
    assert repr(record.layer("l").config["recurrent_activation"]) == "hard_sigmoid(slope=0.2, offset=0.5)"


def test_keras1_theano_kernel_transposed(tmp_path):
    kernel = np.arange(2 * 3 * 5 * 5, dtype="f4").reshape(2, 3, 5, 5)  # out, in, rows, columns
    conv = {"name": "c", "nb_filter": 2, "nb_row": 5, "nb_col": 5, "dim_ordering": "th", "bias": False}
    config = [{"class_name": "Convolution2D", "config": {**conv, "batch_input_shape": [None, 3, 8, 8]}}]
    data = {"class_name": "Sequential", "config": config, "keras_version": "1.2.2"}
    record = read(tmp_path, data, legacy(tmp_path / "w.h5", {"c": [("c_W:0", kernel)]}))
    assert np.array_equal(record.layer("c").weights["kernel"].read(), np.einsum("oirc->rcio", kernel))
    assert record.calls[-1].output_shapes == ((None, 2, 4, 4),)


@pytest.mark.parametrize("backend", ["theano", "tensorflow"])
def test_keras2_theano_kernel_flipped(tmp_path, backend):
    kernel = np.arange(3 * 4 * 2, dtype="f4").reshape(3, 4, 2)
    conv = layer("Conv1D", "c", "x", filters=2, kernel_size=[3], use_bias=False)
    data = model(conv, version="2.2.4").replace(b"[null, 4]", b"[null, 9, 4]")
    weights = legacy(
        tmp_path / "w.h5", {"c": [("c/kernel:0", kernel)]}, keras_version="2.2.4", backend=backend
    )
    found = read(tmp_path, data, weights).layer("c").weights["kernel"].read()
    assert np.array_equal(found, kernel[::-1] if backend == "theano" else kernel)


def test_lora_kernel_merged(tmp_path):
    rng = np.random.default_rng(0)
    kernel, a, b = (rng.normal(size=size).astype("f4") for size in ((4, 3), (4, 2), (2, 3)))
    arrays = [
        ("d/bias", np.zeros(3, "f4")),
        ("d/lora_kernel_a", a),
        ("d/lora_kernel_b", b),
        ("d/kernel", kernel),
    ]
    weights = legacy(tmp_path / "w.h5", {"d": arrays}, keras_version="3.12.0")
    data = dense(lora_rank=2, lora_alpha=4).replace(b'"2.15.0"', b'"3.12.0"')
    found = read(tmp_path, data, weights).layer("d").weights
    assert list(found) == ["kernel", "bias"]
    assert np.allclose(found["kernel"].read(), kernel + 2 * (a @ b))


# Weights in the layout of objects


def test_objects_counted_by_class_not_named(tmp_path):
    arrays = {
        "layers/dense/vars/0": square(1), "layers/dense/vars/1": row(2),
        "layers/dense_1/vars/0": square(3), "layers/dense_1/vars/1": row(4),
    }  # fmt: skip
    data = model(layer("Dense", "dense_1", "x", units=4), layer("Dense", "dense", "dense_1", units=4))
    record = read(tmp_path, data, objects(tmp_path / "w.weights.h5", arrays))
    assert record.layer("dense_1").weights["kernel"].read()[0, 0] == 1
    assert record.layer("dense").weights["kernel"].read()[0, 0] == 3


def test_objects_of_tf_2_13_counted_twice(tmp_path):
    prefix = "_layer_checkpoint_dependencies"
    arrays = {
        f"{prefix}/dense/vars/0": square(1), f"{prefix}/dense/vars/1": row(2),
        f"{prefix}/dense_2/vars/0": square(3), f"{prefix}/dense_2/vars/1": row(4),
    }  # fmt: skip
    record = read(tmp_path, two_dense(), objects(tmp_path / "w.weights.h5", arrays))
    assert record.layer("apple").weights["kernel"].read()[0, 0] == 3


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"layers/dense/vars/0": np.zeros((4, 3), "f4")}, "1 weights of 'd'"),
        ({}, "no weights of 'd'|no Keras model"),
        (
            {
                "layers/dense/vars/0": np.zeros((4, 3), "f4"),
                "layers/dense/vars/1": np.zeros(3, "f4"),
                "layers/x/vars/0": row(1),
            },
            "no layer of the model has",
        ),
    ],
)
def test_objects_that_do_not_fit_refused(tmp_path, arrays, said):
    with pytest.raises(porting.ModelFileError, match=said):
        read(tmp_path, dense(), objects(tmp_path / "w.weights.h5", arrays))


@pytest.mark.parametrize("owner", ["optimizer", "metrics/mean", "layers/dropout/seed_generator"])
def test_objects_left_out(tmp_path, owner):
    arrays = {"layers/dense/vars/0": np.zeros((4, 3), "f4"), "layers/dense/vars/1": np.zeros(3, "f4")}
    record = read(
        tmp_path, dense(), objects(tmp_path / "w.weights.h5", {**arrays, f"{owner}/vars/0": row(1)})
    )
    assert record.layer("d").parameters == 15


# Calls


def test_nested_model_first_call_is_node_1(tmp_path):
    record = read(tmp_path, nested())
    assert record.outputs == TensorRef("inner")


def test_states_of_keras2_become_an_argument(tmp_path):
    states = [layer("InputLayer", name, batch_input_shape=[None, 2]) for name in "hc"]
    lstm = layer("LSTM", "l", "x", "h", "c", units=2)
    data = model(*states, lstm, inputs=("x", "h", "c")).replace(b"[null, 4]", b"[null, 5, 4]")
    call = read(tmp_path, data).calls[-1]
    assert dict(call.arguments) == {
        "inputs": TensorRef("x"),
        "initial_state": (TensorRef("h"), TensorRef("c")),
    }


@pytest.mark.parametrize("version", ["2.2.4", "2.15.0", "3.12.0"])
def test_merged_masks_by_era(tmp_path, version):
    """Keras 2: a step counts if it does in both; Keras 3: in either."""
    tokens = [layer("InputLayer", name, batch_input_shape=[None, 5], dtype="int32") for name in "ab"]
    embeddings = [
        layer("Embedding", f"e{name}", name, input_dim=9, output_dim=4, mask_zero=True) for name in "ab"
    ]
    rest = [layer("Add", "sum", "ea", "eb", trainable=True), layer("LSTM", "l", "sum", units=2)]
    record = read(tmp_path, model(*tokens, *embeddings, *rest, version=version, inputs=("a", "b")))
    mask = record.calls[-1].masks["inputs"]
    assert mask.kind == ("any" if version.startswith("3") else "all")
    assert [part.tensor.layer for part in mask.masks] == ["a", "b"]


@pytest.mark.parametrize(
    ("version", "zeroes"), [("2.15.0", False), ("3.9.2", False), ("3.10.0", True), ("3.15.1", True)]
)
def test_softmax_of_nothing_by_era(tmp_path, version, zeroes):
    tokens = layer("InputLayer", "a", batch_input_shape=[None, 5], dtype="int32")
    embedding = layer("Embedding", "e", "a", input_dim=9, output_dim=4, mask_zero=True)
    softmax = layer("Softmax", "s", "e", axis=1, trainable=True, dtype="float32")
    masked = read(tmp_path, model(tokens, embedding, softmax, version=version, inputs=("a",))).calls[-1]
    assert masked.masks
    assert ("zeroes_masked" in masked.arguments) is zeroes
    plain = model(layer("Softmax", "a", "x", axis=-1, trainable=True, dtype="float32"), version=version)
    assert set(read(tmp_path, plain).calls[-1].arguments) == {"inputs"}


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("2.15.0", "hard_sigmoid(slope=0.2, offset=0.5)"),
        ("3.12.0", f"hard_sigmoid(slope={1 / 6!r}, offset=0.5)"),
    ],
)
def test_hard_sigmoid_by_era(tmp_path, version, said):
    data = dense(activation="hard_sigmoid").replace(b"2.15.0", version.encode())
    assert repr(read(tmp_path, data).layer("d").config["activation"]) == said


@pytest.mark.parametrize(
    ("class_name", "config", "version", "key", "value"),
    [
        ("LeakyReLU", {"alpha": 0.1}, "2.15.0", "negative_slope", 0.1),
        ("LeakyReLU", {"negative_slope": 0.1}, "3.12.0", "negative_slope", 0.1),
        ("LeakyReLU", {}, "2.15.0", "negative_slope", 0.3),
        ("Dropout", {"p": 0.2}, "1.2.2", "rate", 0.2),
        ("GaussianNoise", {"sigma": 0.2}, "1.2.2", "stddev", 0.2),
        ("LSTM", {"units": 2, "recurrent_activation": "tanh"}, "2.15.0", "recurrent_activation", "tanh"),
        ("LSTM", {"output_dim": 2, "inner_activation": "tanh"}, "1.2.2", "recurrent_activation", "tanh"),
        ("Softmax", {"axis": 1}, "2.15.0", "axis", (1,)),
        ("ThresholdedReLU", {"theta": 0.2}, "2.15.0", "theta", 0.2),
    ],
)
def test_argument_under_any_of_its_names(tmp_path, class_name, config, version, key, value):
    data = model(layer(class_name, "a", "x", **config), version=version)
    found = read(tmp_path, data).layer("a").config[key]
    assert value in (found, repr(found))


@pytest.mark.parametrize(
    ("activation", "said"),
    [
        ({"class_name": "LeakyReLU", "config": {"alpha": 0.1}}, "leaky_relu(negative_slope=0.1)"),
        ({"class_name": "LeakyReLU", "config": {}}, "leaky_relu(negative_slope=0.3)"),
        ({"class_name": "ELU", "config": {"alpha": 2.0}}, "elu(alpha=2.0)"),
        ({"class_name": "Softmax", "config": {"axis": 1}}, "softmax(axis=1)"),
        ({"class_name": "ReLU", "config": {}}, "relu"),
        (
            {"class_name": "ReLU", "config": {"max_value": 6.0}},
            "relu(max_value=6.0, negative_slope=0.0, threshold=0.0)",
        ),
        ({"class_name": "ThresholdedReLU", "config": {"theta": 0.5}}, "threshold(theta=0.5)"),
        ({"class_name": "Activation", "config": {"activation": "tanh"}}, "tanh"),
    ],
)
def test_layer_as_an_activation(tmp_path, activation, said):
    assert repr(read(tmp_path, dense(activation=activation)).layer("d").config["activation"]) == said


@pytest.mark.parametrize(
    ("class_name", "config", "problem"),
    [
        ("Lambda", {"function": ["4wEA", None, None]}, "holds code"),
        ("Mine", {"units": 3}, "no layer of Keras"),
        ("Dense", {"units": 3, "activation": "swash"}, "activation 'swash' is not Keras's own"),
        ("Dense", {"units": 3, "sharpness": 2.5}, "argument 'sharpness' is not known"),
        ("StringLookup", {"vocabulary": ["a"]}, "strings"),
        ("TFSMLayer", {"filepath": "x"}, "another library"),
    ],
)
def test_layer_that_nobody_can_port_recorded(tmp_path, class_name, config, problem):
    record = read(tmp_path, model(layer(class_name, "l", "x", **config)))
    ((name, said),) = record.problems
    assert name == "l"
    assert problem in said
    assert problem in str(porting.inspect(tmp_path / "m.json"))


def test_custom_layer_keeps_config_and_weights(tmp_path):
    weights = legacy(
        tmp_path / "w.h5",
        {"l": [("l/factor:0", row(1)), ("l/deep/factor:0", row(2))]},
        keras_version="2.15.0",
    )
    record = read(tmp_path, model(layer("Mine", "l", "x", units=3)), weights).layer("l")
    assert record.kind == "custom"
    assert record.raw["units"] == 3
    assert [weight.read()[0] for weight in record.weights.values()] == [1, 2]


@pytest.mark.parametrize("mark", [{"module": "mine.layers"}, {"registered_name": "Mine>Dense"}])
def test_class_of_the_user_that_shares_a_name_is_custom(tmp_path, mark):
    entry = layer("Dense", "l", "x", units=3) | mark
    assert read(tmp_path, model(entry)).layer("l").kind == "custom"


def test_record_cannot_be_changed(tmp_path):
    record = read(tmp_path, dense())
    with pytest.raises(AttributeError):
        record.layer("d").config.units = 3
    with pytest.raises(TypeError):
        record.layer("d").config["units"] = 3
    assert hash(record.layer("d").config) == hash(record.layer("d").config)


@pytest.mark.parametrize(("version", "call"), [("2.15.0", 0), ("3.12.0", 1)])
def test_nested_model_called_twice_numbered_by_era(tmp_path, version, call):
    """Number 1 is the first call in Keras 2, where a model has a hidden node, and the second in Keras 3."""
    data = json.loads(nested())
    entry = data["config"]["layers"][1]
    entry["inbound_nodes"] = [[["x", 0, 0, {}]], [["x", 0, 0, {}]]]
    if version == "3.12.0":
        tensor = {"shape": [None, 4], "dtype": "float32", "keras_history": ["x", 0, 0]}
        one = {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}
        entry["inbound_nodes"] = [one, one]
    data["keras_version"] = version
    assert read(tmp_path, data).outputs == TensorRef("inner", call)


def transposed_blocks(blocks):
    """Return blocks of a CuDNN kernel as a plain layer has them, element by element."""
    result = []
    for block in blocks:
        plain = np.zeros_like(block)
        for number, value in enumerate(block.flat):
            plain[number % block.shape[0], number // block.shape[0]] = value
        result.append(plain)
    return np.concatenate(result, axis=1)


@pytest.mark.parametrize(("class_name", "count"), [("CuDNNLSTM", 4), ("CuDNNGRU", 3)])
def test_cudnn_weights_as_plain_layer_has_them(tmp_path, class_name, count):
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(4, 2)).astype("f4") for _ in range(count)]
    recurrent = [rng.normal(size=(2, 2)).astype("f4") for _ in range(count)]
    bias = rng.normal(size=2 * count * 2).astype("f4")
    stored = [np.concatenate(kernels, 1), np.concatenate(recurrent, 1), bias]
    arrays = [
        (f"l/{name}:0", array)
        for name, array in zip(("kernel", "recurrent_kernel", "bias"), stored, strict=True)
    ]
    data = model(layer(class_name, "l", "x", units=2), version="2.2.4").replace(b"[null, 4]", b"[null, 5, 4]")
    record = read(tmp_path, data, legacy(tmp_path / "w.h5", {"l": arrays}, keras_version="2.2.4")).layer("l")
    found = {role: weight.read() for role, weight in record.weights.items()}
    assert np.array_equal(found["kernel"], transposed_blocks(kernels))
    assert np.array_equal(found["recurrent_kernel"], np.concatenate([block.T for block in recurrent], 1))
    halves = np.array([bias[: 2 * count], bias[2 * count :]])
    assert np.array_equal(found["bias"], halves.sum(0) if class_name == "CuDNNLSTM" else halves)
    assert record.weights["bias"].shape == found["bias"].shape
    assert repr(record.config["recurrent_activation"]) == "sigmoid"


def test_file_written_to_since_it_was_read_refused(tmp_path):
    """Weights are read when asked for; from another file they would be another model's."""
    path = legacy(
        tmp_path / "w.h5", {"d": [("d/kernel:0", np.zeros((4, 3), "f4")), ("d/bias:0", np.zeros(3, "f4"))]},
        keras_version="2.15.0",
    )  # fmt: skip
    weight = read(tmp_path, dense(), path).layer("d").weights["kernel"]
    data = path.read_bytes()
    path.write_bytes(data + b"more")
    with pytest.raises(porting.ModelFileError, match="written to since"):
        weight.read()


# Layers at several places, and numbers of other kinds


def sequential(name, *layers):
    first = layer("InputLayer", "i", batch_input_shape=[None, 4])
    return {
        "class_name": "Sequential",
        "name": name,
        "config": {"name": name, "layers": [first, *layers]},
        "inbound_nodes": [[["x", 0, 0, {}]]],
    }


def beside():
    """A layer in a nested model, the same one beside it, and one more."""
    shared = layer("Dense", "shared", "x", units=4)
    add = layer("Add", "add", "shared", "x")
    add["inbound_nodes"] = [[["shared", 0, 0, {}], ["inner", 1, 0, {}]]]
    return model(sequential("inner", shared), shared, add, layer("Dense", "extra", "add", units=4))


def places(*names):
    return {
        f"{name}/vars/{at}": square(n) if not at else row(n) for n, name in enumerate(names) for at in (0, 1)
    }


def test_layer_met_before_takes_no_number(tmp_path):
    """tf_keras stores "extra" as the first Dense of the outer model, and Keras 3 as the second."""
    arrays = places("layers/sequential/layers/dense", "layers/dense")
    empty = {f"layers/{name}/vars": {} for name in ("input_layer", "sequential", "add")}
    with h5py.File(objects(tmp_path / "w.h5", arrays), "a") as file:
        for name in empty:
            file.create_group(name)
    record = read(tmp_path, beside(), tmp_path / "w.h5")
    assert record.layer("extra").weights["kernel"].read()[0, 0] == 1
    assert record.layer("shared").weights["kernel"].read()[0, 0] == 0
    assert record.layer("inner").model.layer("shared").weights["bias"].read()[0] == 0


def test_namesake_that_is_stored_itself_not_shared(tmp_path):
    arrays = places("layers/sequential/layers/dense", "layers/dense", "layers/dense_1")
    record = read(tmp_path, beside(), objects(tmp_path / "w.h5", arrays))
    assert [record.layer(name).weights["bias"].read()[0] for name in ("shared", "extra")] == [1, 2]


def test_several_layers_that_may_be_the_shared_one_refused(tmp_path):
    shared = layer("Dense", "shared", "x", units=4)
    first, second = sequential("a", shared), sequential("b", shared)
    add = layer("Add", "add")
    add["inbound_nodes"] = [[["a", 1, 0, {}], ["b", 1, 0, {}], ["shared", 0, 0, {}]]]
    weights = objects(
        tmp_path / "w.h5", places("layers/sequential/layers/dense", "layers/sequential_1/layers/dense")
    )
    with pytest.raises(porting.ModelFileError, match="several layers 'shared' that may be this one"):
        read(tmp_path, model(first, second, shared, add), weights)


def twice_inside():
    """A model in two models in a third one."""
    base = sequential("base", layer("Dense", "d", "x", units=4))
    around = [sequential(name, base, layer("Dense", f"d_{name}", "x", units=4)) for name in "ab"]
    middle = sequential("middle", *around)
    return model(middle, outputs=[["middle", 1, 0]])


def test_model_inside_of_two_models_saved_once(tmp_path):
    names = ("d", "d_a", "d_b")
    arrays = [
        pair
        for n, name in enumerate(names)
        for pair in ((f"{name}/kernel:0", square(n)), (f"{name}/bias:0", row(n)))
    ]
    weights = legacy(tmp_path / "w.h5", {"x": [], "middle": arrays}, keras_version="2.15.0")
    middle = read(tmp_path, twice_inside(), weights).layer("middle").model
    inner = [
        middle.layer(name).model.layer("base").model.layer("d").weights["kernel"].read()[0, 0]
        for name in "ab"
    ]
    own = [middle.layer(name).model.layer(f"d_{name}").weights["bias"].read()[0] for name in "ab"]
    assert (inner, own) == ([0, 0], [1, 2])


@pytest.mark.parametrize("version", ["2.15.0", "3.12.0"])
def test_frozen_model_with_layer_that_trains_ordered_by_version(tmp_path, version):
    """Before Keras 3 what trains inside comes first; in Keras 3 a frozen model keeps its order."""
    layers = [layer("Dense", "one", "x", units=4, trainable=False), layer("Dense", "two", "x", units=4)]
    inner = sequential("inner", *layers)
    inner["config"]["trainable"] = False
    if version == "3.12.0":
        inner["inbound_nodes"] = [{"args": [tensor("x")], "kwargs": {}}]
    first, second = (
        (("three/kernel", square(0)), ("three/bias", row(0))),
        (("four/kernel", square(1)), ("four/bias", row(1))),
    )
    weights = legacy(tmp_path / "w.h5", {"x": [], "inner": [*first, *second]}, keras_version=version)
    outputs = [["inner", 0 if version == "3.12.0" else 1, 0]]
    record = read(tmp_path, model(inner, outputs=outputs, version=version), weights).layer("inner").model
    found = [record.layer(name).weights["bias"].read()[0] for name in ("one", "two")]
    assert found == ([0, 1] if version == "3.12.0" else [1, 0])


def tensor(name):
    config = {"shape": [None, 4], "dtype": "float32", "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": config}


@pytest.mark.parametrize("attribute", [{}, {"dtype": "bfloat16"}])
def test_two_bytes_of_keras3_are_bfloat16(tmp_path, attribute):
    numbers = np.array([[1.5, -2], [0.25, 3]], "f4")
    stored = (numbers.view("u4") >> 16).astype("u2").view("V2")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/dense/vars/0"] = stored
        file["layers/dense/vars/0"].attrs.update(attribute)
    config = model(layer("Dense", "d", "x", units=2, use_bias=False, dtype="bfloat16"))
    weight = (
        read(tmp_path, config.replace(b"[null, 4]", b"[null, 2]"), tmp_path / "w.h5")
        .layer("d")
        .weights["kernel"]
    )
    assert weight.dtype == "bfloat16"
    assert np.array_equal(weight.read(), numbers)


def test_quantized_layer_read_and_not_portable(tmp_path):
    policy = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}}
    arrays = {"layers/dense/vars/0": np.ones((4, 3), "i1"), "layers/dense/vars/1": np.ones(3, "f4")}
    record = read(tmp_path, dense(dtype=policy, use_bias=False), objects(tmp_path / "w.h5", arrays))
    assert record.layer("d").parameters == 15
    assert dict(record.problems) == {
        "d": "it is quantized to int8; port the model as it was before quantize()"
    }


def test_damaged_weight_read_later_names_file(tmp_path):
    weights = legacy(
        tmp_path / "w.h5",
        {"d": [("d/kernel:0", np.zeros((4, 3), "f4")), ("d/bias:0", np.zeros(3, "f4"))]},
        keras_version="2.15.0",
    )
    record = read(tmp_path, dense(), weights)
    with weights.open("r+b") as file:
        file.truncate(weights.stat().st_size // 2)
    with pytest.raises(porting.ModelFileError) as caught:
        [weight.read() for weight in record.layer("d").weights.values()]
    assert caught.value.file == str(weights)


def test_weights_that_do_not_fit_name_their_file(tmp_path):
    weights = legacy(tmp_path / "w.h5", {"d": []}, keras_version="2.15.0")
    with pytest.raises(porting.ModelFileError) as caught:
        read(tmp_path, dense(), weights)
    assert caught.value.file == str(weights)


def test_softmax_layer_as_activation_is_the_function(tmp_path):
    activation = {"class_name": "Softmax", "config": {"axis": -1}}
    plain, given = (read(tmp_path, dense(activation=value)).layer("d") for value in ("softmax", activation))
    assert plain.config["activation"] == given.config["activation"]


@pytest.mark.parametrize("groups", [0, -2, True])
def test_number_of_groups_that_is_none_refused(tmp_path, groups):
    with pytest.raises(porting.ModelFileError, match="groups"):
        read(tmp_path, model(layer("GroupNormalization", "g", "x", groups=groups)))


def test_shape_with_constant_array(tmp_path):
    op = {"module": "keras.src.ops.numpy", "registered_name": None}
    add = layer("Add", "a") | op | {"inbound_nodes": [{"args": [tensor("x"), [[0.5] * 4] * 3], "kwargs": {}}]}
    assert read(tmp_path, model(add, version="3.12.0")).calls[-1].output_shapes == ((3, 4),)


def test_weights_of_one_name_in_custom_layer_told_apart(tmp_path):
    arrays = [(f"{part}/w:0", row(number)) for number, part in enumerate("abc")]
    weights = legacy(tmp_path / "w.h5", {"mine": arrays}, keras_version="2.15.0")
    found = read(tmp_path, model(layer("Mine", "mine", "x")), weights).layer("mine").weights
    assert {role: weight.read()[0] for role, weight in found.items()} == {"w": 0, "b/w": 1, "c/w": 2}

"""Configs: JSON that is hostile in its form, and in its meaning."""

import json

from tests.support.porting.attacks.registry import attack_for

attack = attack_for(".json")


def layer(class_name, name, *inbound, **config):
    nodes = [[[source, 0, 0, {}] for source in inbound]] if inbound else []
    return {
        "class_name": class_name,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": nodes,
    }


def model(*layers, outputs=None, inputs=("x",), version="2.15.0", **more):
    x = layer("InputLayer", "x", batch_input_shape=[None, 4], dtype="float32")
    config = {
        "name": "m",
        "layers": [x, *layers],
        "input_layers": [[name, 0, 0] for name in inputs],
        "output_layers": outputs or [[layers[-1]["name"] if layers else "x", 0, 0]],
    }
    return json.dumps(
        {"class_name": "Functional", "config": config, "keras_version": version, **more}
    ).encode()


def dense(**config):
    return model(layer("Dense", "d", "x", **{"units": 3, **config}))


@attack(None)
def an_honest_model():
    return dense()


@attack("nested deeper")
def two_hundred_thousand_arrays():
    return b"[" * 200_000


@attack("nested deeper")
def two_hundred_thousand_objects():
    return b'{"a":' * 200_000


@attack("tokens|no JSON")
def millions_of_values():
    return b'{"class_name": [' + b"[]," * 1_500_000 + b"0]}"


@attack("digits")
def an_integer_of_a_million_digits():
    return b'{"class_name": "Model", "config": ' + b"1" * 1_000_000 + b"}"


@attack("no JSON")
def a_string_without_an_end():
    return b'{"' + b'\\"' * 300_000


@attack("twice in one object")
def duplicate_keys():
    return b'{"class_name": "Model", "class_name": "Sequential", "config": {}}'


@attack("UTF-8")
def latin_1():
    return '{"class_name": "Modèle", "config": {}}'.encode("latin-1")


@attack("surrogate")
def half_a_surrogate_pair():
    return dense().replace(b'"d"', b'"\\ud800"')


@attack("no config of a model")
def json_of_something_else():
    return b'{"a": 1}'


@attack("no config of a model|no JSON")
def a_list():
    return b"[1, 2]"


@attack("several files")
def a_map_of_shards():
    return b'{"metadata": {}, "weight_map": {}}'


@attack("Python code")
def a_subclassed_model():
    return json.dumps({"class_name": "Mine", "config": {"units": 3}, "keras_version": "3.1.0"}).encode()


WRONG = (True, "3", 3.5, None, [3], {"a": 3}, -1, 0, 10**12, float("nan"), float("inf"))


for _value in WRONG:

    def _build(value=_value):
        return dense(units=value)

    _build.__name__ = f"units_that_are_{_value!r}".replace(" ", "")
    attack("allowed: an integer")(_build)

for _key, _value in (
    *(("use_bias", value) for value in ("yes", 1, None, [True])),
    *(("activation", value) for value in (1, True, [], {}, "")),
    *(("trainable_", value) for value in ("x",)),
):

    def _build(key=_key, value=_value):
        return dense(**{key: value})

    _build.__name__ = f"{_key}_that_is_{_value!s}".replace(" ", "")
    attack(None if _key == "trainable_" else "allowed|name")(_build)


def dot(**config):
    return model(layer("Dot", "d", "x", "x", **config))


@attack("allowed: an integer")
def an_axis_that_is_true():
    return dot(axes=True)


@attack("allowed: true or false")
def normalize_that_is_yes():
    return dot(axes=1, normalize="yes")


@attack("allowed")
def axes_of_three():
    return dot(axes=[1, 1, 1])


@attack(None)
def axes_that_do_not_exist():
    return dot(axes=7)


@attack("cycle")
def a_cycle():
    return model(layer("Dense", "a", "b", units=2), layer("Dense", "b", "a", units=2))


@attack("cycle")
def a_call_on_itself():
    return model(layer("Dense", "a", "a", units=2))


@attack("no layer of the model")
def a_layer_that_is_not_there():
    return model(layer("Dense", "a", "nobody", units=2))


@attack("not there")
def a_node_that_is_not_there():
    return dense().replace(b'["x", 0, 0, {}]', b'["x", 7, 0, {}]')


@attack("not there")
def an_output_that_is_not_there():
    return dense().replace(b'[["d", 0, 0]]', b'[["d", 0, 3]]')


@attack("not there|integer")
def a_node_of_10_to_the_12():
    return dense().replace(b'["x", 0, 0, {}]', b'["x", 1000000000000, 0, {}]')


@attack("two layers")
def two_layers_of_one_name():
    return model(layer("Dense", "a", "x", units=2), layer("Dense", "a", "x", units=2))


@attack("allowed: an integer")
def a_shape_of_10_to_the_12():
    return dense().replace(b"[null, 4]", b"[null, 1000000000000]")


@attack(None)
def shapes_that_multiply_to_10_to_the_80():
    names = [layer("ZeroPadding1D", "p", "x", padding=[2**30, 2**30])]
    return model(*names).replace(b"[null, 4]", b"[null, 4, 4]")


@attack(None)
def names_that_are_code():
    names = [
        "__import__('os').system('ls')",
        'a"b',
        "c\nd",
        "{e}",
        "f'g",
        "h\u202ei",
        "class",
        "../j",
        "k\u0000l",
    ]
    layers = [layer("Dense", name, "x", units=2) for name in names]
    return model(*layers)


@attack("name of 1 to")
def a_name_of_a_megabyte():
    return model(layer("Dense", "n" * 2**20, "x", units=2))


@attack("name of 1 to")
def a_name_of_nothing():
    return model(layer("Dense", "", "x", units=2))


@attack("string")
def a_name_that_is_a_number():
    return dense().replace(b'"class_name": "Dense"', b'"class_name": 3')


RUNS = {
    "Lambda": {"function": ["4wEAAAAAAAAA", None, None], "function_type": "lambda", "module": "os"},
    "LambdaFunction": {"function": "system", "function_type": "function", "module": "os"},
    "TorchModuleWrapper": {"module": {"class_name": "__bytes__", "config": "gAJ9"}},
    "TFSMLayer": {"filepath": "/etc/passwd"},
    "StringLookup": {"vocabulary": "/etc/passwd"},
    "TextVectorization": {
        "vocabulary": "/etc/passwd",
        "standardize": {"module": "os", "class_name": "system"},
    },
    "JaxLayer": {"call_fn": {"module": "subprocess", "class_name": "Popen"}},
    "get_file": {"origin": "http://203.0.113.1/x", "fname": "x"},
}

for _key, _config in RUNS.items():

    def _build(key=_key, config=_config):
        module = {"get_file": "keras.utils"}.get(key, "keras.layers")
        made = layer(key.removesuffix("Function"), "evil", "x", **config)
        return model(made | {"module": module, "registered_name": None})

    _build.__name__ = f"{_key}_is_recorded"
    attack(None)(_build)


@attack(None)
def an_object_by_module_and_name():
    activation = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    return dense(activation=activation)


@attack(None)
def an_initializer_that_opens_a_file():
    opener = {"module": "builtins", "class_name": "open", "config": {"file": "owned", "mode": "w"}}
    return dense(kernel_initializer=opener, kernel_regularizer=opener)


@attack("nested deeper")
def models_in_models():
    inner = {"class_name": "Sequential", "config": {"name": "s", "layers": []}}
    for number in range(100):
        inner = {"class_name": "Sequential", "config": {"name": f"s{number}", "layers": [inner]}}
    return json.dumps(inner).encode()


@attack("a recurrent layer")
def wrappers_that_double_what_is_inside():
    """Bidirectional has two layers of one config: 2**39 layers if each level is followed."""
    inner = layer("LSTM", "r0", units=4)
    for number in range(1, 40):
        inner = layer("Bidirectional", f"r{number}", layer=inner)
    return model(inner | {"inbound_nodes": [[["x", 0, 0, {}]]]})


@attack(None)
def models_that_call_their_inner_models_twice():
    """Forty models in each other, every one called twice: 2**40 calls if each is followed."""
    inner = layer("Dense", "m0", units=4)
    for depth in range(1, 30):
        calls = [[["x", 0, 0, {}]], [[inner["name"], 1 if depth > 1 else 0, 0, {}]]]
        body = json.loads(
            model(inner | {"inbound_nodes": calls}, outputs=[[inner["name"], 2 if depth > 1 else 1, 0]])
        )
        body["config"]["name"] = f"m{depth}"
        inner = {
            "class_name": "Functional",
            "name": f"m{depth}",
            "config": body["config"],
            "inbound_nodes": [],
        }
    calls = [[["x", 0, 0, {}]]]
    return model(inner | {"inbound_nodes": calls}, outputs=[[inner["name"], 1, 0]])


@attack(None)
def masks_that_double():
    """Each mask is the or of the one before with another: 2**200 parts if each is written out."""
    op = {"module": "keras.src.ops.numpy", "registered_name": None}

    def tensor(name):
        return {
            "class_name": "__keras_tensor__",
            "config": {"shape": [None, 4], "dtype": "bool", "keras_history": [name, 0, 0]},
        }

    layers = [
        layer("NotEqual", "n0") | op | {"inbound_nodes": [{"args": [tensor("x"), 0], "kwargs": {}}]},
        layer("NotEqual", "n00") | op | {"inbound_nodes": [{"args": [tensor("x"), 1], "kwargs": {}}]},
    ]
    for number in range(1, 200):
        before = [tensor(f"n{number - 1}"), tensor("n00" if number % 2 else "n0")]
        layers.append(
            layer("LogicalOr", f"n{number}") | op | {"inbound_nodes": [{"args": before, "kwargs": {}}]}
        )
    return model(*layers, version="3.12.0")


@attack("more calls|tokens|more layers")
def a_hundred_thousand_layers():
    entry = '{"class_name":"ReLU","name":"r%d","config":{"name":"r%d"},"inbound_nodes":[[["x",0,0,{}]]]}'
    entries = ",".join(entry % (number, number) for number in range(50_000))
    return model().replace(b'"inbound_nodes": []}]', b'"inbound_nodes": []}, ' + entries.encode() + b"]")


@attack("allowed: a string")
def an_ordering_of_keras_1_that_is_a_list():
    return model(
        layer("Convolution2D", "c", "x", nb_filter=1, nb_row=1, nb_col=1, dim_ordering=[1]), version="1.2.2"
    )


@attack("a mask made of more masks")
def masks_that_double_in_keras_2():
    """Every layer joins the mask of the one before with itself, which no tensor of the graph holds."""
    layers = [layer("Embedding", "c0", "x", input_dim=3, output_dim=4, mask_zero=True)]
    layers += [layer("Concatenate", f"c{n}", *[f"c{n - 1}"] * 2, axis=1) for n in range(1, 60)]
    return model(*layers, layer("LSTM", "last", "c59", units=2))


@attack("up to 100 cells")
def ten_thousand_cells():
    cells = [{"class_name": "LSTMCell", "config": {"name": f"c{i}", "units": 2}} for i in range(10_000)]
    return model(layer("Reshape", "r", "x", target_shape=[2, 2]), layer("RNN", "rnn", "r", cell=cells))


@attack("up to 32 sizes")
def a_shape_of_100_000_axes():
    return model(layer("Reshape", "r", "x", target_shape=[1] * 100_000))


@attack(None)
def eight_thousand_named_inputs():
    config = json.loads(dense())
    inputs = [layer("InputLayer", f"i{number}", batch_input_shape=[None, 4]) for number in range(8000)]
    config["config"]["layers"] += inputs
    config["config"]["input_layers"] = {f"k{i}": [f"i{i}", 0, 0] for i in range(8000)} | {"x": ["x", 0, 0]}
    return json.dumps(config).encode()


@attack("the name of a dtype")
def a_quantization_that_is_code():
    policy = {
        "class_name": "QuantizedDTypePolicy",
        "config": {"mode": "\x1b[2Jint8", "source_name": "float32"},
    }
    return dense(dtype=policy)


@attack(None)
def policies_in_policies():
    policy = "float32"
    for _ in range(60):
        policy = {"class_name": "DTypePolicyMap", "config": {"policy_map": {"a": policy}}}
    return dense(dtype=policy)


@attack("groups")
def a_normalization_by_groups_of_nothing():
    return model(layer("GroupNormalization", "g", "x", groups=0))


@attack("numbers? of|an integer|a number")
def a_rate_of_lists():
    return model(layer("Dropout", "d", "x", rate=[[0.5] * 1000] * 100))


@attack(None)
def twenty_thousand_constants():
    """Constants of a function, which a position encoding may be; only their first are printed."""
    op = {"module": "keras.src.ops.numpy", "registered_name": None}
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 4], "keras_history": ["x", 0, 0]}}
    add = layer("Add", "a") | op | {"inbound_nodes": [{"args": [tensor, [[0.5] * 4] * 5000], "kwargs": {}}]}
    return model(add, version="3.12.0")


@attack("no config of a model")
def a_string_of_fifteen_million_escapes():
    """For each, a regular expression that can return to it keeps a place."""
    return b'{"class_name": "' + b'\\"' * (15 * 2**20) + b'"}'


@attack("an input 'd'|the input 'd'")
def an_input_that_is_a_layer():
    return model(layer("Dense", "d", "x", units=3), inputs=("d",))


@attack("the input 'd'")
def a_first_model_whose_input_is_a_layer():
    inner = json.loads(dense())["config"]
    inner["input_layers"] = [["d", 0, 0]]
    outer = {"name": "s", "layers": [{"class_name": "Functional", "config": inner}]}
    return json.dumps({"class_name": "Sequential", "config": outer, "keras_version": "2.15.0"}).encode()


@attack("an input twice")
def an_input_that_is_named_twice():
    return model(layer("Dense", "d", "x", units=3), inputs=("x", "x"))


@attack("without outputs")
def both_directions_of_a_model_without_outputs():
    inner = json.loads(dense())["config"]
    inner["output_layers"] = []
    return model(layer("Bidirectional", "b", "x", layer={"class_name": "Functional", "config": inner}))


@attack(None)
def a_dot_of_scalars():
    return dot(axes=-1).replace(b"[null, 4]", b"[]")


OPERATION = {"module": "keras.src.ops.numpy", "registered_name": None}


def keras_tensor(name, output=0):
    config = {"shape": [None, 4], "dtype": "float32", "keras_history": [name, 0, output]}
    return {"class_name": "__keras_tensor__", "config": config}


def operation(class_name, name, *arguments, **config):
    node = {"args": list(arguments), "kwargs": {}}
    return layer(class_name, name, **config) | OPERATION | {"inbound_nodes": [node]}


FIRST_TWO = {"class_name": "__slice__", "config": {"start": 0, "stop": 2, "step": 1}}


@attack(None)
def parts_of_sizes_below_nothing():
    parts = operation("Split", "s", keras_tensor("x"), indices_or_sections=[5, 2], axis=1)
    part = operation("GetItem", "g", keras_tensor("s", 1), [FIRST_TWO, FIRST_TWO])
    return model(parts, part, version="3.12.0")


@attack(None)
def a_slice_of_a_size_below_nothing():
    shaped = operation("Reshape", "r", keras_tensor("x"), newshape=[-5, 3])
    return model(shaped, operation("GetItem", "g", keras_tensor("r"), [FIRST_TWO]), version="3.12.0")


@attack(None)
def a_slice_of_a_size_beyond_64_bits():
    flat = layer("Flatten", "f", dtype="float32") | {
        "inbound_nodes": [{"args": [keras_tensor("x")], "kwargs": {}}]
    }
    part = operation("GetItem", "g", keras_tensor("f"), [FIRST_TWO, FIRST_TWO])
    return model(flat, part, version="3.12.0").replace(b"[null, 4]", b"[null, 2147483647, 2147483647, 4]")


@attack(None)
def sizes_of_thousands_of_digits():
    """Python refuses to write such integers as text."""
    layers = [layer("Reshape", "r", "x", target_shape=[4, 1])]
    layers += [
        layer("UpSampling1D", f"u{number}", f"u{number - 1}" if number else "r", size=2**31 - 1)
        for number in range(600)
    ]
    return model(*layers)

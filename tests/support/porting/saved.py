"""Write saved models as Keras 2 does, from a few words, without Keras."""

import json

import h5py
import numpy as np

VERSION = "2.15.0"


def entry(class_name, name, inputs=None, **config):
    """Return one layer of a functional model; ``inputs`` are names of layers, or (name, call) pairs."""
    calls = [] if inputs is None else [inputs] if inputs and isinstance(inputs[0], str | tuple) else inputs
    nodes = [[[*ref, 0, {}] if isinstance(ref, tuple) else [ref, 0, 0, {}] for ref in call] for call in calls]
    return {
        "class_name": class_name,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": nodes,
    }


def given(name, *sizes, dtype="float32", batch=None):
    """Return an input."""
    return entry(
        "InputLayer", name, batch_input_shape=[batch, *sizes], dtype=dtype, sparse=False, ragged=False
    )


def dense(name, inputs, units, activation="linear", **config):
    return entry("Dense", name, inputs, units=units, activation=activation, use_bias=True, **config)


def functional(layers, inputs, outputs, name="net", **config):
    """Return the config of a functional model."""

    def refs(names):
        if isinstance(names, dict):
            return {key: [value, 0, 0] for key, value in names.items()}
        return [[*ref, 0] if isinstance(ref, tuple) else [ref, 0, 0] for ref in names]

    body = {
        "name": name,
        "layers": layers,
        "input_layers": refs(inputs),
        "output_layers": refs(outputs),
        **config,
    }
    return {"class_name": "Functional", "config": body, "name": name}


def write(path, config, weights=None):
    """Write a model as whole ``.h5``, or as JSON without weights.

    Args:
        path: the file.
        config: what `functional` returned.
        weights: {layer: [(name, array)]}, or None for JSON.
    """
    if weights is None:
        path.write_text(json.dumps({**config, "keras_version": VERSION, "backend": "tensorflow"}))
        return path
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = VERSION
        file.attrs["backend"] = "tensorflow"
        file.attrs["model_config"] = json.dumps(config)
        root = file.create_group("model_weights")
        names = [layer["config"]["name"] for layer in config["config"]["layers"]]
        root.attrs["layer_names"] = np.array([name.encode() for name in names])
        root.attrs["keras_version"] = VERSION
        for name in names:
            group = root.require_group(name)
            arrays = weights.get(name, [])
            group.attrs["weight_names"] = (
                np.array([key.encode() for key, _ in arrays]) if arrays else np.zeros(0)
            )
            for key, array in arrays:
                group[key] = array
    return path


def kernel(name, inputs, units, dtype="f4", seed=0):
    """Return the weights of a Dense layer."""
    rng = np.random.default_rng(seed)
    return [
        (f"{name}/kernel:0", rng.normal(size=(inputs, units)).astype(dtype)),
        (f"{name}/bias:0", rng.normal(size=units).astype(dtype)),
    ]

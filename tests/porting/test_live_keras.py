"""Models that live Keras writes beside us: every array reaches its layer, in every container it can write."""

import warnings

import numpy as np
import pytest
from tests.support.live_keras import live_keras

from batchdot import porting

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(params=["tf_keras", "keras"])
def keras(request):
    return live_keras(request.param)


def towers(k):
    """Two towers with a shared layer, a cosine and biases."""
    user, item = k.Input((1,), dtype="int32", name="user"), k.Input((3,), name="item")
    dense = k.layers.Dense(4, activation="tanh")
    a = dense(k.layers.Flatten()(k.layers.Embedding(7, 3)(user)))
    b = dense(k.layers.BatchNormalization()(item))
    return k.Model([user, item], k.layers.Dot(1, normalize=True)([a, b]))


def recurrent(k):
    x = k.Input((6, 3))
    y = k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True))(x)
    y = k.layers.GRU(5, return_sequences=True)(y)
    y = k.layers.RNN([k.layers.LSTMCell(3), k.layers.SimpleRNNCell(2)], return_sequences=True)(y)
    return k.Model(x, k.layers.TimeDistributed(k.layers.Dense(2))(y))


def nested(k):
    """A frozen layer before a normalization, inside a model that is called twice, inside a Sequential."""
    inner_input = k.Input((4,))
    frozen = k.layers.Dense(4)
    frozen.trainable = False
    inner = k.Model(inner_input, k.layers.Dense(4)(k.layers.BatchNormalization()(frozen(inner_input))))
    tower = k.Sequential([k.Input((4,)), k.layers.Dense(4), inner])
    x = k.Input((4,))
    return k.Model(x, k.layers.Add()([tower(x), inner(x)]))


def convolutions(k):
    return k.Sequential(
        [
            k.Input((12, 12, 4)),
            k.layers.SeparableConv2D(6, 3),
            k.layers.Conv2D(4, 3, strides=2, groups=2),
            k.layers.DepthwiseConv2D(2, depth_multiplier=2),
            k.layers.Conv2DTranspose(3, 2, padding="same"),
            k.layers.LayerNormalization(),
            k.layers.PReLU(shared_axes=[1, 2]),
            k.layers.Flatten(),
            k.layers.Dense(1),
        ]
    )


def attention(k):
    x, y = k.Input((5, 6)), k.Input((4, 6))
    z = k.layers.MultiHeadAttention(2, 3)(x, y)
    z = k.layers.AdditiveAttention()([z, y])
    return k.Model([x, y], k.layers.Attention(use_scale=True)([z, y]))


def scalar_normalization(k):
    layer = k.layers.Normalization(axis=None)
    layer.adapt(np.arange(20, dtype="float32").reshape(5, 4))
    return k.Sequential([k.Input((4,)), layer, k.layers.Dense(2)])


MODELS = (towers, recurrent, nested, convolutions, attention, scalar_normalization)


def randomized(k, make):
    """Return a model whose arrays all differ, so that no swap goes unseen."""
    k.utils.set_random_seed(1)
    model = make(k)
    rng = np.random.default_rng(2)
    model.set_weights([rng.uniform(0.1, 1, array.shape).astype(array.dtype) for array in model.get_weights()])
    return model


def arrays_of(record):
    return sorted(
        (weight.shape, weight.read().tobytes()) for layer in record.layers for weight in layer.all_weights()
    )


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_containers_of_live_model_equal_and_complete(keras, make, tmp_path):
    model = randomized(keras, make)
    expected = {(array.shape, array.tobytes()) for array in model.get_weights()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("m.keras", "m.h5"):
            model.save(str(tmp_path / name))
        model.save_weights(str(tmp_path / "m.weights.h5"))
    (tmp_path / "m.json").write_text(model.to_json(), encoding="utf-8")
    archive, whole = porting.read(tmp_path / "m.keras"), porting.read(tmp_path / "m.h5")
    split = porting.read(tmp_path / "m.json", weights=tmp_path / "m.weights.h5")
    assert archive == whole
    assert [layer.weights for layer in split.layers] == [layer.weights for layer in archive.layers]
    assert set(arrays_of(archive)) == expected


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_weights_of_live_layers_in_keras_order(keras, make, tmp_path):
    model = randomized(keras, make)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(str(tmp_path / "m.keras"))
    record = porting.read(tmp_path / "m.keras")
    checked = 0
    for layer in model.layers:
        if hasattr(layer, "layers") or not layer.get_weights():
            continue
        found = [weight.read() for weight in record.layer(layer.name).all_weights()]
        assert len(found) == len(layer.get_weights())
        for mine, theirs in zip(found, layer.get_weights(), strict=True):
            assert np.array_equal(mine, theirs)
        checked += 1
    assert checked or make is nested


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_shapes_of_live_tensors(keras, make, tmp_path):
    model = randomized(keras, make)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(str(tmp_path / "m.keras"))
    record = porting.read(tmp_path / "m.keras")
    shapes = {
        call.output(number): shape for call in record.calls for number, shape in enumerate(call.output_shapes)
    }
    assert [shapes[ref] for ref in record.output_refs] == [tuple(output.shape) for output in model.outputs]


def test_frozen_direction_of_live_bidirectional_keeps_its_arrays(keras, tmp_path):
    """tf_keras writes what trains first: here the backward layer."""
    x = keras.Input((5, 4))
    layer = keras.layers.Bidirectional(keras.layers.GRU(2))
    model = keras.Model(x, layer(x))
    layer.forward_layer.trainable = False
    model.save(str(tmp_path / "m.h5"))
    inner = porting.read(tmp_path / "m.h5").layers[-1].inner
    for name in ("forward_layer", "backward_layer"):
        kernel = np.asarray(getattr(layer, name).get_weights()[0])
        assert np.array_equal(inner[name].weights["kernel"].read(), kernel)


# Layers that occur at several places, and frozen parts


def shared_inside(k):
    """A layer of a nested model that is used beside it too, and one that is not."""
    shared, i, x = k.layers.Dense(4, name="shared"), k.Input((4,)), k.Input((4,))
    inner = k.Model(i, k.layers.Dense(4, name="own")(shared(i)), name="inner")
    return k.Model(x, k.layers.Dense(4, name="extra")(k.layers.Add()([inner(x), shared(x)])))


def shared_in_two_encoders(k):
    embedding = k.layers.Embedding(11, 4, name="embedding")

    def encoder(name):
        i = k.Input((5,), dtype="int32")
        return k.Model(i, k.layers.LSTM(4, name=f"lstm_{name}")(embedding(i)), name=name)

    x, y = k.Input((5,), dtype="int32"), k.Input((5,), dtype="int32")
    both = k.layers.Dot(1)([encoder("a")(x), encoder("b")(y)])
    return k.Model([x, y], k.layers.Dense(3, name="top")(both))


def shared_model_in_models(k):
    """A model in two models in a model: its arrays are saved once."""
    base = k.Sequential([k.Input((4,)), k.layers.Dense(4, name="b1"), k.layers.Dense(4, name="b2")], name="b")

    def around(name):
        i = k.Input((4,))
        return k.Model(i, k.layers.Dense(4, name=f"d_{name}")(base(i)), name=f"m_{name}")

    i, x = k.Input((4,)), k.Input((4,))
    middle = k.Model(i, k.layers.Add()([around("1")(i), around("2")(i)]), name="middle")
    return k.Model(x, k.layers.Dense(2, name="top")(middle(x)))


def partly_trainable_application(k):
    base = k.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3), alpha=0.35)
    base.trainable = False
    for layer in base.layers[-12:]:
        layer.trainable = True
    x = k.Input((32, 32, 3))
    y = k.layers.GlobalAveragePooling2D()(base(x, training=False))
    return k.Model(x, k.layers.Dense(2)(y))


def slashes_in_names(k):
    """Layers of DenseNet have slashes in their names in tf_keras, which Keras 3 does not allow."""
    slash = "/" if k.__name__ == "tf_keras" else "_"
    i, x = k.Input((4,)), k.Input((4,))
    y = k.layers.BatchNormalization(name=f"conv1{slash}bn")(k.layers.Dense(4, name=f"conv1{slash}conv")(i))
    base = k.Model(i, k.layers.Dense(4, name="conv1")(y), name="base")
    base.trainable, base.layers[-1].trainable = False, True
    return k.Model(x, base(x))


def spectral(k):
    """A frozen wrapper has its own vector before the kernel inside."""
    i, x = k.Input((4,)), k.Input((4,))
    layer = k.layers.SpectralNormalization(k.layers.Dense(4, name="inside"), name="wrapped")
    inner = k.Model(i, k.layers.BatchNormalization(name="norm")(layer(i)), name="inner")
    layer.trainable = False
    return k.Model(x, inner(x))


def operations_and_layers_of_one_name(k):
    """Keras 3 does not number operations, though Multiply is a class of layers too."""
    x = k.Input((4,))
    y = x * 2.0 if k.__name__ == "keras" else k.layers.Multiply()([x, x])
    first = k.layers.Multiply(name="first")([k.layers.Dense(4)(y), y])
    return k.Model(x, k.layers.Multiply(name="second")([first, k.layers.Dense(4)(first)]))


def bfloat16(k):
    x = k.Input((4,), dtype="bfloat16")
    y = k.layers.Dense(3, dtype="bfloat16")(x)
    return k.Model(x, k.layers.BatchNormalization(dtype="bfloat16")(y))


def namesakes(k):
    """Layers of one name and config that are not shared."""

    def encoder(name):
        layers = [k.layers.Dense(4, name="first"), k.layers.Dense(4, name="second")]
        return k.Sequential([k.Input((4,)), *layers], name=name)

    x = k.Input((4,))
    y = k.layers.Add()([encoder("a")(x), encoder("b")(x)])
    return k.Model(x, k.layers.Dense(4, name="first")(y))


PLACES = (
    *(shared_inside, shared_in_two_encoders, shared_model_in_models, partly_trainable_application),
    *(slashes_in_names, spectral, operations_and_layers_of_one_name, bfloat16, namesakes),
)


def live_arrays(layers, path=""):
    """Yield each layer's arrays by its path; those of wrappers in any order."""
    for layer in layers:
        here = f"{path}/{layer.name}"
        if isinstance(getattr(layer, "layers", None), list):
            yield from live_arrays(layer.layers, here)
        elif layer.get_weights():
            yield here, {np.asarray(array, "float32").tobytes() for array in layer.get_weights()}


def read_arrays(layers, path=""):
    for layer in layers:
        here = f"{path}/{layer.name}"
        if layer.model is not None:
            yield from read_arrays(layer.model.layers, here)
        elif arrays := {weight.read().astype("float32").tobytes() for weight in layer.all_weights()}:
            yield here, arrays


@pytest.mark.parametrize("make", PLACES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("container", ["m.keras", "m.h5", "m.weights.h5"])
def test_every_array_of_live_model_at_its_layer(keras, make, container, tmp_path):
    if keras.__name__ == "tf_keras" and make is spectral:
        pytest.skip("tf_keras 2.21 cannot build the layer in a functional model")
    model = randomized(keras, make)
    if container == "m.weights.h5":
        (tmp_path / "m.json").write_text(model.to_json(), encoding="utf-8")
        model.save_weights(str(tmp_path / container))
        record = porting.read(tmp_path / "m.json", weights=tmp_path / container)
    else:
        try:
            model.save(str(tmp_path / container))
        except ValueError:
            assert make is namesakes  # two weights of one name in a group of HDF5
            return
        record = porting.read(tmp_path / container)
    assert dict(read_arrays(record.layers)) == dict(live_arrays(model.layers))


def test_path_decides_among_live_namesakes(tmp_path):
    """A frozen model with a trainable layer, and one name twice: the order is not the config's."""
    k = live_keras("keras")

    def make(k):
        names = ("d1", "d2", "d3")
        inner = k.Sequential([k.Input((4,)), *[k.layers.Dense(4, name=name) for name in names]], name="t1")
        i, x = k.Input((4,)), k.Input((4,))
        outer = k.Model(i, k.layers.Dense(4, name="d1")(inner(i)), name="outer")
        inner.trainable, inner.layers[1].trainable = False, True
        return k.Model(x, outer(x))

    model = randomized(k, make)
    model.save(str(tmp_path / "m.h5"))
    assert dict(read_arrays(porting.read(tmp_path / "m.h5").layers)) == dict(live_arrays(model.layers))


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("container", ["m.keras", "m.h5"])
def test_quantized_live_model_inspected_and_not_portable(mode, container, tmp_path):
    k = live_keras("keras")
    ids, x = k.Input((3,), dtype="int32"), k.Input((6,))
    rows = k.layers.Flatten()(k.layers.Embedding(8, 4)(ids))
    y = k.layers.Dot(1)([k.layers.Dense(4, name="dense")(rows), k.layers.EinsumDense("ab,bc->ac", 4)(x)])
    model = k.Model([ids, x], y)
    model.quantize(mode)
    model.save(str(tmp_path / container))
    report = porting.inspect(tmp_path / container)
    assert f"quantized to {mode}; port the model as it was before quantize()" in str(report)
    assert "dense" in dict(report.model.problems)
    expected = sum(array.size for array in model.get_layer("dense").get_weights())
    assert report.model.layer("dense").parameters == expected


@pytest.mark.parametrize("container", ["m.keras", "m.h5"])
def test_adapters_of_live_layers_merged(container, tmp_path):
    """A layer computes with kernel + alpha / rank * A B."""
    k = live_keras("keras")
    ids = k.Input((3,), dtype="int32")
    layers = [
        *(k.layers.Embedding(8, 4, name="embedding"), k.layers.Dense(4, name="dense")),
        *(k.layers.Reshape((2, 6, 1)), k.layers.Conv2D(3, 2, name="conv"), k.layers.Flatten()),
        k.layers.EinsumDense("ab,bc->ac", 2, name="einsum"),
    ]
    y = ids
    for layer in layers:
        y = layer(y)
    model = k.Model(ids, y)
    adapted = [layer for layer in layers if layer.name in ("embedding", "dense", "conv", "einsum")]
    for layer in adapted:
        layer.enable_lora(2, lora_alpha=5)
    rng = np.random.default_rng(2)
    model.set_weights([rng.uniform(0.1, 1, array.shape) for array in model.get_weights()])
    model.save(str(tmp_path / container))
    record = porting.read(tmp_path / container)
    for layer in adapted:
        merged = layer.embeddings if layer.name == "embedding" else layer.kernel
        found = next(iter(record.layer(layer.name).weights.values())).read()
        np.testing.assert_allclose(found, merged.detach().numpy(), rtol=1e-6)

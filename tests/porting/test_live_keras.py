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


def test_names_that_contradict_the_order_of_live_arrays_refused(tmp_path):
    """A frozen model with a trainable layer, and one name twice: the order is not the config's."""
    k = live_keras("keras")
    names = ("d1", "d2", "d3")
    inner = k.Sequential([k.Input((4,)), *[k.layers.Dense(4, name=name) for name in names]], name="t1")
    i = k.Input((4,))
    outer = k.Model(i, k.layers.Dense(4, name="d1")(inner(i)), name="outer")
    inner.trainable, inner.layers[1].trainable = False, True
    x = k.Input((4,))
    k.Model(x, outer(x)).save(str(tmp_path / "m.h5"))
    with pytest.raises(porting.ModelFileError, match="named after their layers"):
        porting.read(tmp_path / "m.h5")

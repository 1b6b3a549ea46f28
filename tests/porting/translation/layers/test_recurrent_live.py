"""Recurrent layers of live Keras, ported: a row for what they can be told, compared on random sequences."""

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras
from tests.support.tiers import in_turns

from batchdot import porting

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]


KERASES = ("tf_keras", "keras")


@pytest.fixture(params=KERASES)
def keras(request):
    return live_keras(request.param)


def one(layer):
    """Return a model of one layer over sequences of vectors, from a function of Keras."""
    return lambda k: over(k, layer(k.layers))


def over(k, layer, *, mask=False, states=()):
    x = k.Input((6, 3), name="x")
    y = k.layers.Masking()(x) if mask else x
    given = [k.Input((size,), name=f"state_{at}") for at, size in enumerate(states)]
    result = layer(y, initial_state=given) if given else layer(y)
    return k.Model([x, *given], result)


def masked(layer, states=()):
    return lambda k: over(k, layer(k.layers), mask=True, states=states)


def begun(layer, states):
    return lambda k: over(k, layer(k.layers), states=states)


def both(inner, states=(), mask=False, **arguments):
    return lambda k: over(k, k.layers.Bidirectional(inner(k.layers), **arguments), mask=mask, states=states)


ALL = {"return_sequences": True, "return_state": True}

MODELS = {
    "lstm": one(lambda m: m.LSTM(4)),
    "lstm all": one(lambda m: m.LSTM(4, **ALL)),
    "lstm state": one(lambda m: m.LSTM(4, return_state=True)),
    "lstm relu": one(lambda m: m.LSTM(4, activation="relu", **ALL)),
    "lstm hard": one(lambda m: m.LSTM(4, recurrent_activation="hard_sigmoid", **ALL)),
    "lstm softmax": one(lambda m: m.LSTM(4, activation="softmax", **ALL)),
    "lstm elu": one(lambda m: m.LSTM(4, activation="elu", recurrent_activation="softsign")),
    "lstm linear": one(lambda m: m.LSTM(4, activation="linear")),
    "lstm backwards": one(lambda m: m.LSTM(4, go_backwards=True, **ALL)),
    "lstm no bias": one(lambda m: m.LSTM(4, use_bias=False, **ALL)),
    "lstm hard no bias": one(lambda m: m.LSTM(4, use_bias=False, recurrent_activation="hard_sigmoid")),
    "gru": one(lambda m: m.GRU(4, **ALL)),
    "gru before": one(lambda m: m.GRU(4, reset_after=False, **ALL)),
    "gru before no bias": one(lambda m: m.GRU(4, reset_after=False, use_bias=False)),
    "gru hard": one(lambda m: m.GRU(4, recurrent_activation="hard_sigmoid", **ALL)),
    "gru no bias": one(lambda m: m.GRU(4, use_bias=False, activation="relu")),
    "rnn": one(lambda m: m.SimpleRNN(4, **ALL)),
    "rnn relu": one(lambda m: m.SimpleRNN(4, activation="relu")),
    "rnn sigmoid": one(lambda m: m.SimpleRNN(4, activation="sigmoid", use_bias=False, **ALL)),
    "lstm begun": begun(lambda m: m.LSTM(4, **ALL), (4, 4)),
    "lstm hard begun": begun(lambda m: m.LSTM(4, recurrent_activation="hard_sigmoid", **ALL), (4, 4)),
    "gru begun": begun(lambda m: m.GRU(4, **ALL), (4,)),
    "gru before begun": begun(lambda m: m.GRU(4, reset_after=False, go_backwards=True, **ALL), (4,)),
    "rnn begun": begun(lambda m: m.SimpleRNN(4, **ALL), (4,)),
    "lstm masked": masked(lambda m: m.LSTM(4, return_sequences=True)),
    "lstm masked last": masked(lambda m: m.LSTM(4)),
    "lstm masked all": masked(lambda m: m.LSTM(4, **ALL)),
    "lstm masked state": masked(lambda m: m.LSTM(4, return_state=True)),
    "lstm masked begun": masked(lambda m: m.LSTM(4, **ALL), (4, 4)),
    "lstm masked hard begun": masked(lambda m: m.LSTM(4, recurrent_activation="hard_sigmoid", **ALL), (4, 4)),
    "lstm masked hard state": masked(lambda m: m.LSTM(4, activation="relu", return_state=True)),
    "lstm masked backwards": masked(lambda m: m.LSTM(4, go_backwards=True, **ALL)),
    "gru masked all": masked(lambda m: m.GRU(4, **ALL)),
    "gru masked begun": masked(lambda m: m.GRU(4, **ALL), (4,)),
    "gru before masked begun": masked(lambda m: m.GRU(4, reset_after=False, **ALL), (4,)),
    "gru masked backwards": masked(lambda m: m.GRU(4, go_backwards=True, return_sequences=True)),
    "rnn masked state": masked(lambda m: m.SimpleRNN(4, return_state=True)),
    "lstm masked zero": masked(lambda m: m.RNN(m.LSTMCell(4), zero_output_for_mask=True, **ALL)),
    "gru masked zero backwards": masked(
        lambda m: m.RNN(m.GRUCell(4), zero_output_for_mask=True, go_backwards=True, **ALL)
    ),
    "cell": one(lambda m: m.RNN(m.LSTMCell(4), **ALL)),
    "cells": one(lambda m: m.RNN([m.LSTMCell(4), m.GRUCell(5), m.SimpleRNNCell(2)], **ALL)),
    "cells last": one(lambda m: m.RNN([m.GRUCell(5, reset_after=False), m.LSTMCell(4, activation="relu")])),
    "cells masked": masked(lambda m: m.RNN([m.LSTMCell(4), m.GRUCell(5)], **ALL)),
    "cells backwards": masked(lambda m: m.RNN([m.SimpleRNNCell(4), m.GRUCell(5)], go_backwards=True)),
    **{
        f"both {mode} {sequences}": both(
            lambda m, s=sequences: m.LSTM(4, return_sequences=s), merge_mode=mode
        )
        for mode in ("concat", "sum", "mul", "ave", None)
        for sequences in (True, False)
    },
    "both gru all": both(lambda m: m.GRU(4, **ALL)),
    "both gru sum all": both(lambda m: m.GRU(4, **ALL), merge_mode="sum"),
    "both rnn state": both(lambda m: m.SimpleRNN(4, return_state=True), merge_mode="ave"),
    "both before": both(lambda m: m.GRU(4, reset_after=False, **ALL), merge_mode="mul"),
    "both hard none": both(lambda m: m.LSTM(4, activation="relu", **ALL), merge_mode=None),
    "both begun": both(lambda m: m.LSTM(4, **ALL), states=(4, 4, 4, 4)),
    "both gru begun": both(lambda m: m.GRU(4, return_sequences=True), states=(4, 4)),
    "both before begun": both(lambda m: m.GRU(4, reset_after=False, **ALL), states=(4, 4)),
    "both masked": both(lambda m: m.LSTM(4, return_sequences=True), mask=True),
    "both masked last": both(lambda m: m.LSTM(4), mask=True, merge_mode="sum"),
    "both masked all": both(lambda m: m.LSTM(4, **ALL), mask=True, merge_mode=None),
    "both masked gru": both(lambda m: m.GRU(4, reset_after=False, **ALL), mask=True, merge_mode="mul"),
    "both masked begun": both(lambda m: m.LSTM(4, **ALL), mask=True, states=(4, 4, 4, 4)),
    "both cells": both(lambda m: m.RNN(m.LSTMCell(4), return_sequences=True), mask=True),
    "both unlike": lambda k: over(
        k,
        k.layers.Bidirectional(
            k.layers.LSTM(4, return_sequences=True),
            backward_layer=k.layers.GRU(4, return_sequences=True, go_backwards=True),
        ),
    ),
}


def words(k, size=(4, 5)):
    return k.Input(size, dtype="int32", name="words")


def sentences(k, inner, top):
    """A model over words in sentences: an embedding that masks, a layer for each sentence, one over them."""
    ids = words(k)
    y = k.layers.Embedding(9, 3, mask_zero=True)(ids)
    y = k.layers.TimeDistributed(inner(k.layers))(y)
    return k.Model(ids, top(k.layers)(y))


def encoder(k, *layers):
    ids = k.Input((5,), dtype="int32")
    y = k.layers.Embedding(9, 3, mask_zero=True)(ids)
    for layer in layers:
        y = layer(y)
    return k.Model(ids, y)


def nested_sentences(k):
    ids = words(k)
    inner = encoder(k, k.layers.LSTM(4, return_sequences=True), k.layers.GlobalAveragePooling1D())
    return k.Model(ids, k.layers.GRU(3)(k.layers.TimeDistributed(inner)(ids)))


def translator(k):
    """An encoder and a decoder of masked words, which begins with the encoder's states."""
    source, target = words(k, (5,)), k.Input((4,), dtype="int32", name="target")
    embedding = k.layers.Embedding(9, 3, mask_zero=True)
    _, h, c = k.layers.LSTM(4, return_state=True)(embedding(source))
    y = k.layers.LSTM(4, return_sequences=True)(embedding(target), initial_state=[h, c])
    return k.Model([source, target], k.layers.Dense(9, activation="softmax")(y))


def video(k, *layers, size=(3, 8, 6, 2)):
    x = k.Input(size)
    y = x
    for layer in layers:
        y = layer(y)
    return k.Model(x, y)


OVER_TIME = {
    "sentences": lambda k: sentences(k, lambda m: m.LSTM(4), lambda m: m.GRU(3)),
    "sentences both": lambda k: sentences(
        k, lambda m: m.Bidirectional(m.GRU(4)), lambda m: m.Bidirectional(m.LSTM(3, return_sequences=True))
    ),
    "sentences of sequences": lambda k: sentences(
        k, lambda m: m.LSTM(4, return_sequences=True), lambda m: m.TimeDistributed(m.GRU(3))
    ),
    "sentences mean": lambda k: sentences(k, lambda m: m.GlobalAveragePooling1D(), lambda m: m.LSTM(3)),
    "nested sentences": nested_sentences,
    "translator": translator,
    "video": lambda k: video(
        k,
        k.layers.ConvLSTM2D(4, 3, padding="same", return_sequences=True),
        k.layers.BatchNormalization(),
        k.layers.ConvLSTM2D(3, (2, 3), padding="same", strides=2, return_sequences=True),
        k.layers.Conv3D(2, 3, padding="same"),
    ),
    "video last": lambda k: video(
        k, k.layers.ConvLSTM2D(4, 2, dilation_rate=2), k.layers.Conv2D(2, 3), k.layers.Flatten()
    ),
    "video states": lambda k: video(
        k, k.layers.ConvLSTM2D(4, 3, use_bias=False, activation="relu", go_backwards=True, **ALL)
    ),
    "video both": lambda k: video(
        k, k.layers.Bidirectional(k.layers.ConvLSTM2D(4, 3, return_sequences=True))
    ),
    "video of any size": lambda k: video(
        k, k.layers.ConvLSTM2D(4, 3, strides=2, padding="same"), size=(None, None, None, 2)
    ),
    "signal": lambda k: video(
        k,
        k.layers.ConvLSTM1D(4, 3, padding="same", return_sequences=True),
        k.layers.ConvLSTM1D(3, 2),
        size=(3, 8, 2),
    ),
    "volumes": lambda k: video(
        k,
        k.layers.ConvLSTM3D(2, 2, padding="same", return_sequences=True),
        k.layers.ConvLSTM3D(2, 2),
        size=(3, 4, 5, 3, 2),
    ),
    "frames": lambda k: video(
        k,
        k.layers.TimeDistributed(k.layers.Conv2D(4, 3, activation="relu", padding="same")),
        k.layers.TimeDistributed(k.layers.BatchNormalization()),
        k.layers.TimeDistributed(k.layers.MaxPooling2D()),
        k.layers.TimeDistributed(k.layers.Conv2D(3, 2)),
        k.layers.TimeDistributed(k.layers.Flatten()),
        k.layers.LSTM(4),
    ),
    "frames nested": lambda k: video(
        k,
        k.layers.TimeDistributed(
            k.Sequential([k.layers.Conv2D(3, 3), k.layers.GlobalMaxPooling2D(), k.layers.Dense(4)])
        ),
        k.layers.TimeDistributed(k.layers.Dropout(0.5)),
        k.layers.GRU(3, reset_after=False),
    ),
    "rows": lambda k: video(
        k,
        k.layers.TimeDistributed(k.layers.TimeDistributed(k.layers.LSTM(4))),
        k.layers.TimeDistributed(k.layers.LayerNormalization()),
        k.layers.TimeDistributed(k.layers.Softmax(axis=1)),
        k.layers.TimeDistributed(k.layers.Reshape((4, -1))),
        k.layers.TimeDistributed(k.layers.Dense(3, activation="softmax")),
    ),
}


def sequences(shape, rng):
    """Return random sequences: whole, padded at the right, at the left, with holes, and all padding."""
    x = rng.normal(size=shape).astype("float32")
    for row, steps in enumerate(([], [4, 5], [0, 1], [1, 4], range(shape[1]), [0, 2, 5])):
        x[row, list(steps)] = 0
    return x


def given(tensor, rng):
    """Return random numbers for an input of a model; sizes that it leaves open are 7."""
    shape = (6, *(int(size or 7) for size in tensor.shape[1:]))
    if "int" in str(tensor.dtype):
        return rng.integers(0, 9, shape).astype("int32") * (rng.random(shape) > 0.3)
    return sequences(shape, rng) if len(shape) == 3 else rng.normal(size=shape).astype("float32")


def compared(model, path, inputs):
    """Return the largest difference between Keras's outputs and those of the ported file."""
    model.save(path)
    ported = porting.load(path)
    with torch.no_grad():
        found = ported(*map(torch.from_numpy, inputs))
    expected = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    pairs = zip(flat(expected), flat(found), strict=True)
    return max(float(np.abs(np.asarray(one) - np.asarray(other)).max()) for one, other in pairs)


def flat(results):
    return (
        [leaf for part in results for leaf in flat(part)] if isinstance(results, (list, tuple)) else [results]
    )


KERAS_3_FAILS = ("sentences", "sentences both", "sentences mean", "video of any size")
"""Models that Keras 3 refuses, or cannot run itself: it hands a mask of words to a layer over sentences."""


def randomize(model, rng):
    """Give a model random weights; variances are positive."""
    weights = []
    for weight in model.weights:
        numbers = rng.normal(size=weight.shape) * 0.5
        weights.append((np.abs(numbers) if "variance" in weight.name else numbers).astype("float32"))
    model.set_weights(weights)


IN_BOTH = [name for name in MODELS | OVER_TIME if name not in KERAS_3_FAILS]
RUNS = [*in_turns(IN_BOTH, KERASES), *((name, "tf_keras") for name in KERAS_3_FAILS)]


@pytest.mark.parametrize(("name", "keras"), RUNS, indirect=["keras"])
def test_load_recurrent_model_agrees(name, keras, tmp_path):
    rng = np.random.default_rng(0)
    model = (MODELS | OVER_TIME)[name](keras)
    randomize(model, rng)
    inputs = [given(i, rng) for i in model.inputs]
    assert compared(model, tmp_path / "model.keras", inputs) < 1e-5


# Training


def trained(k, *layers, mask=False):
    x = k.Input((6, 3))
    y = k.layers.Masking()(x) if mask else x
    for layer in layers:
        y = layer(y)
    return k.Model(x, k.layers.Dense(2)(y))


TRAINED = {
    "lstm": lambda k: trained(k, k.layers.LSTM(4, return_sequences=True), k.layers.LSTM(3)),
    "lstm hard": lambda k: trained(k, k.layers.LSTM(4, recurrent_activation="hard_sigmoid")),
    "gru": lambda k: trained(k, k.layers.GRU(4, return_sequences=True), k.layers.GRU(3)),
    "gru before": lambda k: trained(k, k.layers.GRU(4, reset_after=False)),
    "rnn": lambda k: trained(k, k.layers.SimpleRNN(4)),
    "both": lambda k: trained(k, k.layers.Bidirectional(k.layers.LSTM(4)), k.layers.Dense(3)),
    "both masked": lambda k: trained(
        k, k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True)), k.layers.GRU(3), mask=True
    ),
    "lstm masked": lambda k: trained(k, k.layers.LSTM(4), mask=True),
    "frozen": lambda k: trained(k, k.layers.LSTM(4, return_sequences=True, trainable=False), k.layers.GRU(3)),
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_goes_on_as_in_keras(name, tmp_path):
    """Ten steps of SGD from the same weights on the same batches end with the same weights."""
    k, tf = live_keras("tf_keras"), live_keras("tensorflow")
    rng = np.random.default_rng(1)
    model = TRAINED[name](k)
    randomize(model, rng)
    model.save(tmp_path / "before.keras")
    ported = porting.load(tmp_path / "before.keras").train()
    before = {key: value.clone() for key, value in ported.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in ported.parameters() if p.requires_grad], lr=0.2)
    keras_optimizer = k.optimizers.legacy.SGD(0.2)
    for _ in range(10):
        x = sequences((6, 6, 3), rng)
        y = rng.normal(size=(6, 2)).astype("float32")
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        variables = model.trainable_variables
        keras_optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        optimizer.zero_grad()
        ((ported(torch.from_numpy(x)) - torch.from_numpy(y)) ** 2).mean().backward()
        optimizer.step()
    model.save(tmp_path / "after.keras")
    after = porting.load(tmp_path / "after.keras").state_dict()
    assert any((after[key] - before[key]).abs().max() > 0.05 for key in after)
    for key, value in ported.state_dict().items():
        torch.testing.assert_close(
            value, after[key], rtol=1e-4, atol=2e-5, msg=lambda text, key=key: f"{key}: {text}"
        )

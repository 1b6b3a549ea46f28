"""The six Keras models of the section `ported`, and the files that hold them.

`python -m benchmarks.ported.keras_models` writes the files anew with tf_keras, and with Keras 3
those that it cannot read from tf_keras. They are committed, so that
nothing but PyTorch is needed to measure the ported modules and the hand-written ones.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.ported.works import WORKS


def _ids(k: Any, length: int, name: str) -> Any:
    return k.Input((length,), dtype="int32", name=name)


def factorization(k: Any) -> Any:
    """Return matrix factorization with biases: MovieLens-100k."""
    user, movie = _ids(k, 1, "user"), _ids(k, 1, "movie")
    vectors = [
        k.layers.Flatten(name=f"flat_{name}")(k.layers.Embedding(count, 32, name=f"{name}_vector")(ids))
        for ids, name, count in ((user, "user", 943), (movie, "movie", 1682))
    ]
    biases = [
        k.layers.Flatten(name=f"flat_{name}_bias")(k.layers.Embedding(count, 1, name=f"{name}_bias")(ids))
        for ids, name, count in ((user, "user", 943), (movie, "movie", 1682))
    ]
    match = k.layers.Dot(1, name="match")(vectors)
    rating = k.layers.Add(name="rating")([match, *biases])
    return k.Model([user, movie], rating, name="factorization")


def two_towers(k: Any) -> Any:
    """Return two towers of an embedding and Dense layers whose cosine is the score."""
    user, item = _ids(k, 1, "user"), _ids(k, 1, "item")
    context = k.Input((8,), name="context")
    vector = k.layers.Flatten(name="flat_user")(k.layers.Embedding(1000, 32, name="user_vector")(user))
    query = k.layers.Concatenate(name="query")([vector, k.layers.BatchNormalization(name="scale")(context)])
    for size in (64, 32):
        query = k.layers.Dense(size, activation="relu", name=f"query_{size}")(query)
    candidate = k.layers.Flatten(name="flat_item")(k.layers.Embedding(1000, 32, name="item_vector")(item))
    for size in (64, 32):
        candidate = k.layers.Dense(size, activation="relu", name=f"candidate_{size}")(candidate)
    score = k.layers.Dot(1, normalize=True, name="score")([query, candidate])
    return k.Model([user, context, item], score, name="two_towers")


def memory_network(k: Any) -> Any:
    """Return an end-to-end memory network on bAbI: a story of 68 words and a question of 4."""
    story, question = _ids(k, 68, "story"), _ids(k, 4, "question")

    def encoder(name: str, size: int) -> Any:
        layers = [k.layers.Embedding(22, size, name="words"), k.layers.Dropout(0.3, name="drop")]
        return k.Sequential(layers, name=name)

    asked = encoder("encode_question", 64)(question)
    match = k.layers.Dot((2, 2), name="match")([encoder("encode_input", 64)(story), asked])
    weights = k.layers.Activation("softmax", name="weights")(match)
    response = k.layers.Add(name="response")([weights, encoder("encode_output", 4)(story)])
    response = k.layers.Permute((2, 1), name="turned")(response)
    answer = k.layers.LSTM(32, name="reader")(k.layers.Concatenate(name="joined")([response, asked]))
    answer = k.layers.Dense(22, name="answer")(k.layers.Dropout(0.3, name="drop")(answer))
    probabilities = k.layers.Activation("softmax", name="probabilities")(answer)
    return k.Model([story, question], probabilities, name="memory_network")


def luong_lstm(k: Any) -> Any:
    """Return an encoder and a decoder of LSTMs with Luong's dot attention."""
    source, target = _ids(k, 20, "source"), _ids(k, 20, "target")
    embedded = k.layers.Embedding(400, 64, name="source_words")(source)
    encoder = k.layers.LSTM(64, return_sequences=True, return_state=True, name="encoder")
    states, hidden, cell = encoder(embedded)
    embedded = k.layers.Embedding(400, 64, name="target_words")(target)
    decoder = k.layers.LSTM(64, return_sequences=True, name="decoder")
    decoded = decoder(embedded, initial_state=[hidden, cell])
    scores = k.layers.Dot((2, 2), name="scores")([decoded, states])
    attention = k.layers.Activation("softmax", name="attention")(scores)
    context = k.layers.Dot((2, 1), name="context")([attention, states])
    joined = k.layers.Concatenate(name="joined")([context, decoded])
    mixed = k.layers.TimeDistributed(k.layers.Dense(64, activation="tanh", name="mix"), name="mixed")(joined)
    words = k.layers.TimeDistributed(k.layers.Dense(400, activation="softmax", name="word"), name="words")
    return k.Model([source, target], words(mixed), name="luong_lstm")


def pointnet(k: Any) -> Any:
    """Return PointNet with its input transform, on clouds of 256 points."""

    def convolved(x: Any, size: int, name: str) -> Any:
        x = k.layers.Conv1D(size, 1, name=f"{name}_conv")(x)
        x = k.layers.BatchNormalization(momentum=0.0, name=f"{name}_norm")(x)
        return k.layers.Activation("relu", name=f"{name}_relu")(x)

    points = k.Input((256, 3), name="points")
    x = points
    for size in (32, 64):
        x = convolved(x, size, f"transform_{size}")
    x = k.layers.GlobalMaxPooling1D(name="transform_pool")(x)
    x = k.layers.Dense(32, activation="relu", name="transform_dense")(x)
    x = k.layers.Reshape((3, 3), name="transform")(k.layers.Dense(9, name="transform_out")(x))
    x = k.layers.Dot((2, 1), name="transformed")([points, x])
    for size in (32, 64, 128):
        x = convolved(x, size, f"features_{size}")
    x = k.layers.GlobalMaxPooling1D(name="features_pool")(x)
    x = k.layers.Dropout(0.3, name="drop")(k.layers.Dense(64, activation="relu", name="dense")(x))
    return k.Model(points, k.layers.Dense(10, activation="softmax", name="shape")(x), name="pointnet")


def image_classifier(k: Any) -> Any:
    """Return the small convolutional classifier of Keras's MNIST example."""
    layers = [
        k.layers.Conv2D(32, 3, activation="relu", input_shape=(28, 28, 1), name="conv_1"),
        k.layers.MaxPooling2D(2, name="pool_1"),
        k.layers.Conv2D(64, 3, activation="relu", name="conv_2"),
        k.layers.MaxPooling2D(2, name="pool_2"),
        k.layers.Flatten(name="flat"),
        k.layers.Dropout(0.5, name="drop"),
        k.layers.Dense(10, activation="softmax", name="digit"),
    ]
    return k.Sequential(layers, name="image_classifier")


MODELS: dict[str, Callable[[Any], Any]] = {
    "factorization": factorization,
    "two towers": two_towers,
    "memory network": memory_network,
    "Luong LSTM": luong_lstm,
    "PointNet": pointnet,
    "image classifier": image_classifier,
}


def write_files() -> None:
    """Write the files of WORKS, with the same weights at every call."""
    keras, keras_3 = import_module("tf_keras"), import_module("keras")
    for name, build in MODELS.items():
        keras.utils.set_random_seed(0)
        model = build(keras)
        rng = np.random.default_rng(0)
        for layer in model.submodules:  # fresh weights of these do next to nothing
            if isinstance(layer, keras.layers.BatchNormalization | keras.layers.Embedding):
                layer.set_weights([rng.uniform(0, 2, w.shape) for w in layer.get_weights()])
        model.save(WORKS[name].path, include_optimizer=False)
        if WORKS[name].keras_3_path != WORKS[name].path:
            other = build(keras_3)
            other.set_weights(model.get_weights())
            other.save(WORKS[name].keras_3_path)


if __name__ == "__main__":
    write_files()

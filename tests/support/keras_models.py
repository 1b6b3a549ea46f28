"""Models that are typical of what Dot is used in, written once for any library that is called keras.

Each takes the module ``keras`` and returns a model. They use nothing but what users of Keras 2 use.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

MODELS: dict[str, Callable[[Any], Any]] = {}

IDS = 11
"""Ids are below this."""


def model(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    MODELS[build.__name__] = build
    return build


def feed(built: Any, batch: int = 5, seed: int = 0) -> list[np.ndarray]:
    """Return arrays for the inputs of a model: ids where it has an Embedding; 7 for an unknown size."""
    rng = np.random.default_rng(seed)
    takes_ids = any(type(layer).__name__ == "Embedding" for layer in built.layers)
    arrays = []
    for tensor in built.inputs:
        shape = [batch, *(7 if size is None else size for size in tensor.shape[1:])]
        dtype = np.dtype(str(getattr(tensor.dtype, "name", tensor.dtype)).removeprefix("torch."))
        ids = takes_ids or dtype.kind == "i"
        arrays.append((rng.integers(0, IDS, shape) if ids else rng.standard_normal(shape)).astype(dtype))
    return arrays


@model
def matrix_factorization(keras: Any) -> Any:
    user, item = keras.Input(shape=(1,), name="user"), keras.Input(shape=(1,), name="item")
    user_vector = keras.layers.Flatten()(keras.layers.Embedding(IDS, 4, name="users")(user))
    item_vector = keras.layers.Flatten()(keras.layers.Embedding(IDS, 4, name="items")(item))
    return keras.Model([user, item], keras.layers.Dot(axes=1)([user_vector, item_vector]))


@model
def matrix_factorization_with_biases(keras: Any) -> Any:
    layers = keras.layers
    user, item = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int64")
    match = layers.Dot(2)([layers.Embedding(IDS, 6)(user), layers.Embedding(IDS, 6)(item)])
    bias = layers.Add()([layers.Embedding(IDS, 1)(user), layers.Embedding(IDS, 1)(item)])
    rating = layers.Activation("sigmoid")(layers.Flatten()(layers.add([match, bias])))
    return keras.Model(inputs=[user, item], outputs=rating, name="biased")


@model
def two_towers(keras: Any) -> Any:
    layers = keras.layers
    query, item = keras.Input((9,)), keras.Input((6,))
    query_vector = layers.Dense(8)(layers.Dense(16, activation="relu")(query))
    item_vector = layers.Dense(8)(layers.Dense(16, activation="relu")(item))
    cosine = layers.Dot(axes=1, normalize=True)([query_vector, item_vector])
    return keras.Model([query, item], layers.Dense(1, activation="sigmoid")(cosine))


@model
def dssm(keras: Any) -> Any:
    layers = keras.layers
    query = keras.Input((20,), name="query")
    documents = [keras.Input((20,), name=f"document_{i}") for i in range(4)]
    tower = layers.Dense(8, activation="tanh", name="semantic")
    cosine = layers.Dot(axes=-1, normalize=True, name="cosine")
    scores = [cosine([tower(query), tower(document)]) for document in documents]
    return keras.Model([query, *documents], layers.Activation("softmax")(layers.concatenate(scores)))


@model
def matchzoo_cosine_matrix(keras: Any) -> Any:
    layers = keras.layers
    left, right = keras.Input((5,)), keras.Input((6,))
    embedding = layers.Embedding(IDS, 4, name="embedding")
    cosines = layers.Dot(axes=[2, 2], normalize=True)([embedding(left), embedding(right)])
    return keras.Model([left, right], layers.Dense(3)(layers.Reshape((5 * 6,))(cosines)))


@model
def news_recommendation(keras: Any) -> Any:
    layers = keras.layers
    history, candidate = keras.Input((7, 10)), keras.Input((10,))
    news = layers.Dense(6, activation="tanh")
    seen = news(history)
    weights = layers.Flatten()(layers.Dense(1)(layers.Dense(5, activation="tanh")(seen)))
    user = layers.Dot((1, 1))([layers.Activation("softmax")(weights), seen])
    return keras.Model([history, candidate], layers.dot([user, news(candidate)], axes=-1))


@model
def word2vec_with_negatives(keras: Any) -> Any:
    layers = keras.layers
    target, context = keras.Input((1,), dtype="int32"), keras.Input((5, 1), dtype="int32")
    target_vector = layers.Embedding(IDS, 4, input_length=1, name="w2v_embedding")(target)
    context_vectors = layers.Embedding(IDS, 4, name="context")(context)
    dots = layers.Dot(axes=(3, 2))([context_vectors, target_vector])
    return keras.Model([target, context], layers.Flatten()(dots))


@model
def luong_attention(keras: Any) -> Any:
    layers = keras.layers
    decoder, encoder = keras.Input((None, 8)), keras.Input((None, 8))
    scores = layers.Activation("softmax", name="attention")(layers.dot([decoder, encoder], axes=[2, 2]))
    context = layers.dot([scores, encoder], axes=[2, 1])
    combined = layers.Dense(5, activation="tanh")(layers.concatenate([context, decoder]))
    return keras.Model([decoder, encoder], [combined, scores])


@model
def one_step_attention(keras: Any) -> Any:
    layers = keras.layers
    states, start = keras.Input((6, 4)), keras.Input((3,))
    repeat, concatenate = layers.RepeatVector(6), layers.Concatenate(axis=-1)
    first, second = layers.Dense(10, activation="tanh"), layers.Dense(1, activation="relu")
    softmax, dot = layers.Softmax(axis=1, name="attention_weights"), layers.Dot(axes=1)
    advance, state, outputs = layers.Dense(3, activation="tanh"), start, []
    for _ in range(3):
        energies = second(first(concatenate([states, repeat(state)])))
        context = dot([softmax(energies), states])
        state = advance(layers.Flatten()(context))
        outputs.append(state)
    return keras.Model([states, start], outputs)


@model
def memory_network(keras: Any) -> Any:
    layers = keras.layers
    story, question = keras.Input((9,)), keras.Input((4,))
    m = layers.Dropout(0.3)(layers.Embedding(input_dim=IDS, output_dim=6)(story))
    c = layers.Dropout(0.3)(layers.Embedding(input_dim=IDS, output_dim=4)(story))
    q = layers.Dropout(0.3)(layers.Embedding(input_dim=IDS, output_dim=6, input_length=4)(question))
    match = layers.Activation("softmax")(layers.dot([m, q], axes=(2, 2)))
    response = layers.Permute((2, 1))(layers.add([match, c]))
    answer = layers.Flatten()(layers.concatenate([response, q]))
    return keras.Model([story, question], layers.Activation("softmax")(layers.Dense(IDS)(answer)))


@model
def siamese(keras: Any) -> Any:
    layers = keras.layers
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    first, second = layers.Dense(6, activation="relu", name="first"), layers.Dense(4, name="second")
    x, y = second(first(a)), second(first(b))
    features = [
        layers.Subtract()([x, y]),
        layers.Multiply()([x, y]),
        layers.Dot(1, normalize=True)([x, y]),
        layers.Dot(1)([x, y]),
    ]
    return keras.Model([a, b], layers.Dense(1, activation="sigmoid")(layers.Concatenate()(features)))


@model
def pointnet_transform(keras: Any) -> Any:
    layers = keras.layers
    points = keras.Input((10, 3))
    hidden = layers.Dense(6, activation="relu")(layers.Flatten()(layers.Dense(4)(points)))
    identity = layers.Dense(
        9, kernel_initializer="zeros", bias_initializer="ones", activity_regularizer="l2", name="transform"
    )
    matrix = layers.Reshape((3, 3))(identity(hidden))
    return keras.Model(points, layers.Dot(axes=(2, 1))([points, matrix]), name="pointnet")


@model
def capsules(keras: Any) -> Any:
    votes, weights = keras.Input((6, 4)), keras.Input((6, 3))
    routed = keras.layers.Lambda(
        lambda pair: keras.backend.batch_dot(pair[0], pair[1], axes=(1, 1)), name="routing"
    )([weights, votes])
    return keras.Model([votes, weights], keras.layers.Dot(2, normalize=True)([routed, votes]))


@model
def masked_sequences(keras: Any) -> Any:
    layers = keras.layers
    left, right = keras.Input((5, 3)), keras.Input((6, 3))
    masking, dense = layers.Masking(mask_value=0.0), layers.Dense(4)
    return keras.Model([left, right], layers.Dot(2)([dense(masking(left)), dense(masking(right))]))


@model
def masked_ids(keras: Any) -> Any:
    layers = keras.layers
    left, right = keras.Input((5,), dtype="int32"), keras.Input((6,), dtype="int32")
    embedding = layers.Embedding(IDS, 4, mask_zero=True)
    x, y = embedding(left), embedding(right)
    weights = layers.Softmax(axis=1)(layers.Permute((1, 2))(layers.Dense(1)(y)))
    return keras.Model([left, right], [layers.Dot((2, 2))([x, y]), layers.Dot(1)([weights, y])])


@model
def nested(keras: Any) -> Any:
    layers = keras.layers
    x = keras.Input((6,))
    tower = keras.Model(x, layers.Dense(4)(layers.Dense(5, activation="relu")(x)), name="tower")
    a, b = keras.Input((6,)), keras.Input((6,))
    return keras.Model([a, b], layers.Dot(1, normalize=True)([tower(a), tower(b)]))


@model
def nested_twice(keras: Any) -> Any:
    layers = keras.layers
    x, y = keras.Input((6,)), keras.Input((6,))
    inner = keras.Model(x, layers.Dense(4, kernel_regularizer="l2")(x), name="inner")
    match = keras.Model([x, y], [layers.Dot(1)([inner(x), inner(y)]), inner(x)], name="match")
    a, b, c = keras.Input((6,)), keras.Input((6,)), keras.Input((6,))
    first, vector = match([a, b])
    second, _ = match([b, c])
    return keras.Model([a, b, c], [layers.Concatenate()([first, second]), vector, inner(c)])


@model
def many_inputs_and_outputs(keras: Any) -> Any:
    layers = keras.layers
    a, b, c = (keras.Input((4,), name=name) for name in "abc")
    ab, bc = layers.Dot(1, name="ab")([a, b]), layers.Dot(1, name="bc")([b, c])
    total = layers.Dense(2, name="total")(layers.Concatenate(name="both")([ab, bc, a]))
    return keras.Model([c, a, b], [bc, total, ab])


@model
def one_dot_called_ten_times(keras: Any) -> Any:
    layers = keras.layers
    inputs = [keras.Input((3,)) for _ in range(11)]
    dot = layers.Dot(1)
    return keras.Model(inputs, layers.Concatenate()([dot([a, b]) for a, b in pairwise(inputs)]))


@model
def single_rows(keras: Any) -> Any:
    layers = keras.layers
    a, b, c = keras.Input((1, 4)), keras.Input((1, 4)), keras.Input((6, 4))
    cosine = layers.Dot(axes=2, normalize=True)
    return keras.Model([a, b, c], [cosine([a, b]), cosine([a, c]), layers.Dot(-1)([c, b])])


@model
def sums_of_one(keras: Any) -> Any:
    layers = keras.layers
    a, b, c = keras.Input((1,)), keras.Input((1,)), keras.Input((4, 1))
    outputs = [layers.Dot(1)([a, b]), layers.Dot(1, normalize=True)([a, b]), layers.Dot(2)([c, c])]
    return keras.Model([a, b, c], outputs)


@model
def integers(keras: Any) -> Any:
    a, b = keras.Input((4, 3), dtype="int32"), keras.Input((3, 5), dtype="int32")
    return keras.Model([a, b], keras.layers.Dot(axes=(2, 1))([a, b]))


@model
def doubles(keras: Any) -> Any:
    layers = keras.layers
    a, b = keras.Input((4,), dtype="float64"), keras.Input((4,), dtype="float64")
    dense = layers.Dense(3, dtype="float64")
    return keras.Model([a, b], layers.Dot(1, normalize=True, dtype="float64")([dense(a), dense(b)]))


@model
def regularized(keras: Any) -> Any:
    layers = keras.layers
    ids, x = keras.Input((1,), name="ids"), keras.Input((4,), name="x")
    embedding = layers.Embedding(IDS, 4, embeddings_regularizer=keras.regularizers.L2(0.02))
    dense = layers.Dense(
        4,
        kernel_regularizer="l1",
        bias_regularizer=keras.regularizers.L1L2(0.1, 0.2),
        activity_regularizer="l2",
    )
    dot = layers.Dot(1, activity_regularizer=keras.regularizers.L1(0.5))
    return keras.Model([ids, x], dot([dense(dense(layers.Flatten()(embedding(ids)))), x]))


@model
def partly_frozen(keras: Any) -> Any:
    layers = keras.layers
    ids, x = keras.Input((3,)), keras.Input((4,))
    table = layers.Embedding(IDS, 4, trainable=False, name="pretrained")
    tower = keras.Model(x, layers.Dense(4)(layers.Dense(5, trainable=False)(x)), name="tower")
    return keras.Model([ids, x], layers.Dot((2, 1))([layers.Dense(4)(table(ids)), tower(x)]))


@model
def frozen(keras: Any) -> Any:
    built = two_towers(keras)
    built.trainable = False
    return built


@model
def reshapes(keras: Any) -> Any:
    layers = keras.layers
    x, y = keras.Input((3, 4)), keras.Input((12,))
    moved = layers.Permute((2, 1))(x)
    folded = layers.Reshape((-1, 3))(y)
    repeated = layers.RepeatVector(2)(layers.Flatten()(x))
    return keras.Model([x, y], [layers.Dot(2)([moved, folded]), layers.Dot(axes=(2, 1))([repeated, y])])


@model
def merges(keras: Any) -> Any:
    layers = keras.layers
    x, y, z = keras.Input((4, 3)), keras.Input((4, 3)), keras.Input((4, 3))
    kinds = [layers.Add, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum]
    merged = [kind()([x, y, z]) for kind in kinds]
    both = layers.Concatenate(axis=1)([*merged, layers.Subtract()([x, y])])
    return keras.Model([x, y, z], layers.Dot(-1)([both, layers.maximum([y, z])]))


@model
def activations(keras: Any) -> Any:
    layers = keras.layers
    x = keras.Input((5,))
    names = ["relu", "tanh", "sigmoid", "softplus", "elu", "selu", "softsign", "exponential", "linear"]
    towers = [layers.Dense(3, activation=name, use_bias=name != "tanh")(x) for name in names]
    return keras.Model(x, [layers.Dot(1)([a, b]) for a, b in pairwise(towers)])


@model
def the_same_tensor_twice(keras: Any) -> Any:
    x = keras.Input((4, 3))
    gram = keras.layers.Dot(axes=2)([x, x])
    return keras.Model(x, keras.layers.Dot((1, 2), normalize=True)([gram, gram]))


@model
def matrix_times_vector(keras: Any) -> Any:
    matrix, vector, steps = keras.Input((7, 4)), keras.Input((4,)), keras.Input((7,))
    scores = keras.layers.Dot(axes=-1)([matrix, vector])
    return keras.Model([matrix, vector, steps], [scores, keras.layers.Dot(1)([matrix, steps])])


@model
def inputs_and_middles_as_outputs(keras: Any) -> Any:
    layers = keras.layers
    x, y = keras.Input((4,)), keras.Input((4,))
    hidden = layers.Dense(4, name="hidden")(x)
    return keras.Model([x, y], [layers.Dot(1)([hidden, y]), hidden, x])


@model
def a_fixed_batch(keras: Any) -> Any:
    a = keras.Input(shape=(4, 3), batch_size=5, name="fixed")
    b = keras.Input(shape=(6, 3), batch_size=5)
    return keras.Model([a, b], keras.layers.Dot(2)([a, b]), name="batched")

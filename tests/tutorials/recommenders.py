"""Recommenders: matrix factorization, functional and subclassed, two towers, and DSSM.

Each function is the public tutorial up to `compile`, with ``keras`` as an argument. It returns the model and
the loss.
"""

from typing import Any

USERS, ITEMS = 20, 30


def factorization_functional(keras: Any, parts: Any) -> Any:
    """Ratings by the dot product of two embeddings, biases, and a scaled sigmoid."""
    layers, l2 = keras.layers, keras.regularizers.l2

    def embedding(n_items: int, n_factors: int, x: Any) -> Any:
        x = layers.Embedding(
            n_items, n_factors, embeddings_initializer="he_normal", embeddings_regularizer=l2(1e-6)
        )(x)
        return layers.Reshape((n_factors,))(x)

    user = keras.Input(shape=(1,), name="user")
    item = keras.Input(shape=(1,), name="item")
    u, ub = embedding(USERS, 8, user), embedding(USERS, 1, user)
    m, mb = embedding(ITEMS, 8, item), embedding(ITEMS, 1, item)
    x = layers.Dot(axes=1)([u, m])
    x = layers.Add()([x, ub, mb])
    x = layers.Activation("sigmoid")(x)
    x = layers.Lambda(lambda x: x * (5.5 - 0.5) + 0.5)(x)
    return keras.Model(inputs=[user, item], outputs=x), "mse"


def factorization_subclassed(keras: Any, parts: Any) -> Any:
    """RecommenderNet: the same as a subclass of Model, on pairs of ids in one array."""
    layers = keras.layers

    class RecommenderNet(keras.Model):
        def __init__(self, num_users: int, num_movies: int, embedding_size: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.user_embedding = layers.Embedding(
                num_users,
                embedding_size,
                embeddings_initializer="he_normal",
                embeddings_regularizer=keras.regularizers.l2(1e-6),
            )
            self.user_bias = layers.Embedding(num_users, 1)
            self.movie_embedding = layers.Embedding(num_movies, embedding_size)
            self.movie_bias = layers.Embedding(num_movies, 1)
            self.dot = layers.Dot(axes=1)

        def call(self, inputs: Any) -> Any:
            user_vector = self.user_embedding(inputs[:, 0])
            user_bias = self.user_bias(inputs[:, 0])
            movie_vector = self.movie_embedding(inputs[:, 1])
            movie_bias = self.movie_bias(inputs[:, 1])
            x = self.dot([user_vector, movie_vector]) + user_bias + movie_bias
            return keras.backend.sigmoid(x)

    return RecommenderNet(USERS, ITEMS, 8), "binary_crossentropy"


def two_towers(keras: Any, parts: Any) -> Any:
    """A tower for queries and one for candidates, and the cosine between them."""
    layers = keras.layers

    def tower(count: int, name: str) -> Any:
        return keras.Sequential(
            [
                layers.Embedding(count, 16, input_length=1),
                layers.Flatten(),
                layers.Dense(32, activation="relu"),
                layers.Dense(8, kernel_regularizer="l2"),
            ],
            name=name,
        )

    query = keras.layers.Input((1,), dtype="int32")
    candidate = keras.layers.Input((1,), dtype="int32")
    score = layers.Dot(axes=-1, normalize=True)(
        [tower(USERS, "query")(query), tower(ITEMS, "item")(candidate)]
    )
    output = layers.Dense(1, activation="sigmoid")(score)
    return keras.Model([query, candidate], output, name="two_towers"), "binary_crossentropy"


WORDS, DEPTH, NEGATIVE = 12, 5, 3


def dssm(keras: Any, parts: Any) -> Any:
    """A query and documents as vectors of trigrams, by convolution and the maximum; a softmax of cosines."""
    layers, backend = keras.layers, keras.backend
    query = keras.Input(shape=(WORDS, DEPTH))
    pos_doc = keras.Input(shape=(WORDS, DEPTH))
    neg_docs = [keras.Input(shape=(WORDS, DEPTH)) for _ in range(NEGATIVE)]

    def semantic(x: Any, name: str) -> Any:
        conv = parts.conv1d(x, 10, 3, f"{name}_conv", activation="tanh")
        pooled = layers.Lambda(lambda x: backend.max(x, axis=1), output_shape=(10,))(conv)
        return layers.Dense(6, activation="tanh", name=f"{name}_sem")(pooled)

    query_sem = semantic(query, "query")
    doc_sems = [semantic(doc, f"doc{i}") for i, doc in enumerate([pos_doc, *neg_docs])]
    cosines = [layers.dot([query_sem, doc_sem], axes=1, normalize=True) for doc_sem in doc_sems]
    concat_rs = layers.concatenate(cosines)
    with_gamma = layers.Lambda(lambda x: 10.0 * x)(concat_rs)
    prob = layers.Activation("softmax")(with_gamma)
    return keras.Model(inputs=[query, pos_doc, *neg_docs], outputs=prob), "categorical_crossentropy"

"""A two-tower rating model (matrix factorization) in Keras's layers, trained with a PyTorch loop.

The ratings: each of 200 handwritten digits "rates" the 64 pixels of its image by their ink, from 0 to 16. A
tenth of the ratings is held out.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import batchdot as keras

DIGITS = Path(__file__).with_name("digits.npy")
WRITERS, PLACES = 200, 64


def load_ratings() -> tuple[Tensor, Tensor, Tensor]:
    """Return writers (N, 1), places (N, 1) and their ratings (N, 1), from 0 to 1, in a fixed order."""
    images = np.load(DIGITS)[:WRITERS].reshape(WRITERS, PLACES)
    writers, places = np.indices(images.shape)
    order = np.random.default_rng(0).permutation(images.size)
    columns = (writers, places, images.astype(np.float32) / 16)
    return tuple(torch.from_numpy(column.reshape(-1, 1)[order]) for column in columns)  # type: ignore[return-value]


def build_model() -> keras.Model:
    """Return the model: a tower for writers, one for places, and a rating computed from their cosine."""
    layers = keras.layers
    writer, place = keras.Input((1,), name="writer"), keras.Input((1,), name="place")

    def tower(ids: Any, count: int, name: str) -> Any:
        table = layers.Embedding(count, 24, embeddings_regularizer="l2", name=f"{name}_table")
        return layers.Dense(24, name=f"{name}_tower")(layers.Flatten(name=f"{name}_row")(table(ids)))

    match = layers.Dot(axes=1, normalize=True, name="cosine")(
        [tower(writer, WRITERS, "writer"), tower(place, PLACES, "place")]
    )
    rating = layers.Dense(1, activation="sigmoid", kernel_initializer="ones", name="rating")(match)
    return keras.Model([writer, place], rating, name="two_towers")


def squared_error(model: keras.Model, columns: tuple[Tensor, Tensor, Tensor]) -> float:
    """Return the mean squared error of the predicted ratings."""
    writers, places, ratings = columns
    return float(np.square(model.predict([writers, places], batch_size=4096) - ratings.numpy()).mean())


def train(model: keras.Model, columns: tuple[Tensor, Tensor, Tensor], epochs: int) -> list[float]:
    """Train on batches of 512; return the loss of each epoch, including the regularizers."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    history = []
    for epoch in range(epochs):
        total = 0.0
        batches = list(zip(*(torch.split(column, 512) for column in columns), strict=True))
        for writers, places, ratings in batches:
            optimizer.zero_grad()
            error = torch.nn.functional.mse_loss(model([writers, places]), ratings)
            penalty = torch.stack(model.losses).sum() * 0.001
            loss = error + penalty
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() / len(batches)
        history.append(total)
        print(f"epoch {epoch + 1}  loss {total:.4f}  of which regularizers {penalty.item():.4f}")
    return history


def main(epochs: int = 6) -> dict[str, float | list[float] | bool]:
    """Build, train, compare with the mean rating, save and load; print and return the results."""
    torch.manual_seed(0)
    columns = load_ratings()
    held_out = len(columns[0]) // 10
    known = tuple(column[held_out:] for column in columns)
    unknown = tuple(column[:held_out] for column in columns)

    model = build_model()
    model.summary()
    history = train(model, known, epochs)  # type: ignore[arg-type]

    error = squared_error(model, unknown)  # type: ignore[arg-type]
    guess = float((unknown[2] - known[2].mean()).square().mean())
    print(f"held out: squared error {error:.4f}; the mean of all ratings would give {guess:.4f}")

    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    again = build_model()
    again.load_state_dict(torch.load(file))
    same = torch.equal(again([*unknown[:2]]), model([*unknown[:2]]))
    print(f"saved and loaded: {'the same, to the bit' if same else 'not the same'}")
    return {"history": history, "held out": error, "guess": guess, "same": same}


if __name__ == "__main__":
    main()

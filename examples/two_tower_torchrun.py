"""The two-tower model with embedding tables sharded by columns over processes (tensor parallelism).

    torchrun --nproc-per-node 2 examples/two_tower_torchrun.py

trains on one machine; on a cluster, add ``--nnodes`` and a rendezvous endpoint. The data are those of
two_tower.py.

No process holds a whole row. A cosine of two rows is sharded along its contracted axis and takes one
all-reduce of three numbers a row. Backward takes none: each process computes the gradient of its own shard
and holds the optimizer state of it.
"""

import os

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_module, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode

import batchdot as keras
from two_tower import PLACES, WRITERS, load_ratings  # type: ignore[import-not-found]  # beside this file

COLUMNS = 24


def build_model(writers: int = WRITERS, places: int = PLACES, columns: int = COLUMNS) -> keras.Model:
    """Return the model: an embedding of writers, one of places, and a rating computed from their cosine."""
    layers = keras.layers
    ids, rows = [], []
    for name, count in (("writer", writers), ("place", places)):
        ids.append(keras.Input((1,), dtype="int64", name=name))
        table = layers.Embedding(count, columns, name=f"{name}_table")
        rows.append(layers.Flatten(name=f"{name}_row")(table(ids[-1])))
    match = layers.Dot(axes=1, normalize=True, name="cosine")(rows)
    rating = layers.Dense(1, activation="sigmoid", kernel_initializer="ones", name="rating")(match)
    return keras.Model(ids, rating, name="two_towers")


def shard(model: keras.Model, mesh: DeviceMesh) -> None:
    """Shard the embedding tables of a model by columns; other weights are small and stay replicated."""

    def shard_table(name: str, layer: torch.nn.Module, mesh: DeviceMesh) -> None:
        if isinstance(layer, keras.layers.Embedding):
            layer.embeddings = torch.nn.Parameter(distribute_tensor(layer.embeddings, mesh, [Shard(1)]))

    distribute_module(model, mesh, shard_table)


def predict(model: keras.Model, mesh: DeviceMesh, ids: list[Tensor]) -> Tensor:
    """Return the ratings of writers and places. Every process passes the same ids and gets all ratings."""
    rating: DTensor = model([DTensor.from_local(one, mesh, [Replicate()], run_check=False) for one in ids])
    return rating.to_local()


def train(model: keras.Model, mesh: DeviceMesh, columns: list[Tensor], epochs: int) -> list[float]:
    """Train on batches of 512; return the loss of each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    history = []
    for _ in range(epochs):
        total = 0.0
        batches = list(zip(*(torch.split(column, 512) for column in columns), strict=True))
        for writers, places, ratings in batches:
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(predict(model, mesh, [writers, places]), ratings)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() / len(batches)
        history.append(total)
        say(f"epoch {len(history)}  loss {total:.4f}")
    return history


def count_collectives(model: keras.Model, mesh: DeviceMesh, columns: list[Tensor]) -> str:
    """Return the number of collectives in one training step, forward and backward."""
    writers, places, ratings = (column[:512] for column in columns)
    with CommDebugMode() as forward:  # type: ignore[no-untyped-call]
        predict(model, mesh, [writers, places])
    loss = torch.nn.functional.mse_loss(predict(model, mesh, [writers, places]), ratings)
    with CommDebugMode() as backward:  # type: ignore[no-untyped-call]
        loss.backward()  # type: ignore[no-untyped-call]
    return f"{forward.get_total_counts()} all-reduce forward, {backward.get_total_counts()} backward"


def say(text: str) -> None:
    """Print on rank 0 only."""
    if dist.get_rank() == 0:
        print(text, flush=True)


def main(epochs: int = 6) -> list[float]:
    """Build, shard and train; compare with the mean rating; return the losses."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(device, (int(os.environ["WORLD_SIZE"]),))
    torch.manual_seed(0)
    model = build_model().to(device)
    shard(model, mesh)
    table = model.get_layer("writer_table").embeddings
    own, whole = tuple(table.to_local().shape), tuple(table.shape)
    say(f"{mesh.size()} processes, each with {own} of the {whole} writers")

    columns = [column.to(device) for column in load_ratings()]
    held_out = len(columns[0]) // 10
    known, unknown = ([c[part] for c in columns] for part in (slice(held_out, None), slice(held_out)))
    say(f"a step communicates {count_collectives(model, mesh, known)}")
    history = train(model, mesh, known, epochs)

    with torch.no_grad():
        error = float((predict(model, mesh, unknown[:2]) - unknown[2]).square().mean())
    guess = float((unknown[2] - known[2].mean()).square().mean())
    say(f"held out: squared error {error:.4f}; the mean of all ratings would give {guess:.4f}")
    return history


if __name__ == "__main__":
    main()
    dist.destroy_process_group()

"""The models of the section `ported`: for each, the Keras file, the hand-written module, and inputs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from batchdot.convert import Array
from benchmarks.ported import handwritten

FOLDER = Path(__file__).parent / "models"

BATCHES = (1, 32, 1024)


@dataclass(frozen=True)
class Work:
    """A saved Keras model and the module that an engineer wrote for it.

    Attributes:
        file: name of the Keras file.
        build: makes the hand-written module.
        inputs: for each input, the shape of a sample and how many ids there are; None for real numbers.
    """

    file: str
    build: type[nn.Module]
    inputs: tuple[tuple[tuple[int, ...], int | None], ...]

    @property
    def path(self) -> Path:
        """The Keras file."""
        return FOLDER / self.file

    def arrays(self, batch: int) -> list[Array]:
        """Return inputs for a batch, int64 and float32, the same at every call."""
        rng = np.random.default_rng(0)
        return [
            rng.standard_normal((batch, *shape), dtype=np.float32)
            if ids is None
            else rng.integers(ids, size=(batch, *shape))
            for shape, ids in self.inputs
        ]


WORKS = {
    "factorization": Work("factorization.h5", handwritten.Factorization, (((1,), 943), ((1,), 1682))),
    "two towers": Work("two_towers.h5", handwritten.TwoTowers, (((1,), 1000), ((8,), None), ((1,), 1000))),
    "memory network": Work("memory_network.h5", handwritten.MemoryNetwork, (((68,), 22), ((4,), 22))),
    "Luong LSTM": Work("luong_lstm.h5", handwritten.LuongLstm, (((20,), 400), ((20,), 400))),
    "PointNet": Work("pointnet.h5", handwritten.PointNet, (((256, 3), None),)),
    "image classifier": Work("image_classifier.h5", handwritten.ImageClassifier, (((28, 28, 1), None),)),
}

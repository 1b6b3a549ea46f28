"""The workloads: calls of `batch_dot` with shapes, dtype, and whether gradients are computed.

The first ones are those that Keras was measured on; the others are patterns and sizes found in public Keras
code that uses Dot.
"""

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from batchdot import batch_dot


@dataclass(frozen=True)
class Workload:
    """One call of `batch_dot`.

    Attributes:
        name: the name in the results; the part before the first comma is its kind.
        x: shape of x.
        y: shape of y.
        axes: the axes to contract.
        options: the other arguments of `batch_dot`.
        dtype: name of the dtype of x and y.
        backward: whether the gradients of both inputs are computed too.
    """

    name: str
    x: tuple[int, ...]
    y: tuple[int, ...]
    axes: int | tuple[int, int]
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    backward: bool = False

    @property
    def kind(self) -> str:
        """The kind of work, independent of sizes."""
        return self.name.partition(",")[0]

    @property
    def call(self) -> str:
        """The call of `batch_dot`."""
        return (
            ", ".join([f"batch_dot(x, y, axes={self.axes}", *(f"{k}={v}" for k, v in self.options.items())])
            + ")"
        )

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        x, y = (torch.empty(shape, device="meta") for shape in (self.x, self.y))
        return tuple(batch_dot(x, y, self.axes, **self.options).shape)

    @property
    def bytes_read(self) -> int:
        """Bytes of both inputs."""
        itemsize: int = getattr(torch, self.dtype).itemsize
        return (prod(self.x) + prod(self.y)) * itemsize

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the product. Each gradient has as many again."""
        axis = self.axes if isinstance(self.axes, int) else self.axes[0]
        return prod(self.output_shape) * self.x[axis] * (3 if self.backward else 1)

    def inputs(self, device: str = "cpu") -> tuple[Tensor, Tensor]:
        """Return x and y, the same at every call."""
        generator = torch.Generator().manual_seed(0)
        x, y = (
            torch.randn(shape, generator=generator).to(device, getattr(torch, self.dtype))
            for shape in (self.x, self.y)
        )
        return x.requires_grad_(self.backward), y.requires_grad_(self.backward)


def variants(works: tuple[Workload, ...]) -> tuple[Workload, ...]:
    """Return workloads in float32 and bfloat16, forward and with the gradients of both inputs."""
    return tuple(
        replace(work, name=work.name + suffix, dtype=dtype, backward=backward)
        for dtype, backward, suffix in (
            ("float32", False, ""),
            ("float32", True, ", backward"),
            ("bfloat16", False, ", bfloat16"),
            ("bfloat16", True, ", bfloat16 backward"),
        )
        for work in works
    )


_COSINE = {"normalize": True}

FAMILIES = (
    Workload("row dot", (32, 128), (32, 128), 1),
    Workload("row cosine", (32, 128), (32, 128), 1, _COSINE),
    Workload("row dot, large", (65536, 128), (65536, 128), 1),
    Workload("row cosine, large", (65536, 128), (65536, 128), 1, _COSINE),
    Workload("vector times matrix, large", (1024, 64), (1024, 100, 64), (1, 2)),
    Workload("vector times matrix, news", (32, 64), (32, 30, 64), (1, 2)),
    Workload("matrix times vector, large", (1024, 100, 64), (1024, 64), (2, 1)),
    Workload("Q Kᵀ", (32, 128, 64), (32, 128, 64), 2),
    Workload("cosine matrix", (32, 128, 64), (32, 128, 64), 2, _COSINE),
    Workload("rank 4", (16, 16, 16, 64), (16, 64, 8, 8), (3, 1)),
    Workload("row dot, factorization", (10000, 50), (10000, 50), 1),
    Workload("row cosine, two towers", (256, 64), (256, 64), 1, _COSINE),
    Workload("row dot with an axis of 1", (256, 1, 50), (256, 1, 50), 2),
    Workload("row cosine with an axis of 1", (256, 1, 50), (256, 1, 50), 2, _COSINE),
    Workload("Q Kᵀ, memory network", (32, 68, 64), (32, 4, 64), 2),
    Workload("cosine matrix, MatchZoo", (32, 20, 100), (32, 40, 100), 2, _COSINE),
    Workload("matrix product, attention", (64, 30, 30), (64, 30, 128), (2, 1)),
    Workload("matrix product, PointNet", (32, 1024, 3), (32, 3, 3), (2, 1)),
    Workload("weighted sum over time", (64, 30, 1), (64, 30, 128), 1),
    Workload("word2vec", (1024, 5, 1, 128), (1024, 1, 128), (3, 2)),
    Workload("capsules", (16, 10, 1152), (16, 10, 1152, 16), 2, {"batch_dims": 2}),
)

WORKLOADS = variants(FAMILIES)

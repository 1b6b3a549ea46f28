"""Initializers that draw random values: normal, uniform, scaled by the shape, and orthogonal."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from batchdot.initializers.initializer import INITIALIZERS, Device, Initializer, Shape

Generator: TypeAlias = torch.Generator | None

TRUNCATED_STDDEV = 0.87962566103423978
"""The standard deviation of the standard normal distribution cut off at -2 and 2."""


class _Random(Initializer):
    """Base of random initializers, for floating dtypes only. A subclass defines ``_fill``."""

    _fill: Callable[[Tensor, Generator], Any]

    def __init__(self, seed: int | None) -> None:
        self.seed = None if seed is None else operator.index(seed)

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        if not dtype.is_floating_point:
            raise ValueError(f"{type(self).__name__} expects a floating point type, got {dtype}.")
        device = torch.get_default_device() if device is None else device
        place, generator = device, None
        if self.seed is not None:  # drawn on the CPU, so that they do not depend on the device
            place, generator = "cpu", torch.Generator("cpu").manual_seed(self.seed)
        # Drawn in at least float32: torch has no QR decomposition in float16, and its tails would be coarse.
        values = torch.empty(shape, dtype=torch.promote_types(dtype, torch.float32), device=place)
        self._fill(values, generator)
        return values.to(device, dtype)


@INITIALIZERS.register("normal")
class RandomNormal(_Random):
    """A normal distribution.

    >>> RandomNormal(mean=1.0, stddev=0.0)((2,))
    tensor([1., 1.])
    """

    _arguments = ("mean", "stddev", "seed")

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def _fill(self, values: Tensor, generator: Generator) -> None:
        nn.init.normal_(values, self.mean, self.stddev, generator)


@INITIALIZERS.register()
class TruncatedNormal(RandomNormal):
    """A normal distribution truncated at two standard deviations from the mean.

    Its standard deviation is 0.88 ``stddev``, as in Keras: the tails are missing.

    >>> TruncatedNormal(stddev=1.0)((100,)).abs().max() <= 2
    tensor(True)
    """

    def _fill(self, values: Tensor, generator: Generator) -> None:
        _fill_truncated(values, self.mean, self.stddev, generator)


@INITIALIZERS.register("uniform")
class RandomUniform(_Random):
    """A uniform distribution over [minval, maxval).

    >>> values = RandomUniform(0.0, 1.0)((100,))
    >>> bool(values.min() >= 0), bool(values.max() < 1)
    (True, True)
    """

    _arguments = ("minval", "maxval", "seed")

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def _fill(self, values: Tensor, generator: Generator) -> None:
        nn.init.uniform_(values, self.minval, self.maxval, generator)


@INITIALIZERS.register()
class VarianceScaling(_Random):
    """A distribution with mean 0 and variance ``scale / n``, where n depends on the shape.

    Args:
        scale: a positive number.
        mode: what n is: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``, the mean of both.
        distribution: ``"truncated_normal"`` (also called ``"normal"``), ``"untruncated_normal"`` or
            ``"uniform"``.
        seed: an integer, or None.

    For a kernel (inputs, outputs), fan in is the number of inputs and fan out the number of outputs. For a
    kernel (..., inputs, outputs), both are multiplied by the size of the receptive field. For a vector both
    are its length, for a scalar 1.

    Raises:
        ValueError: an invalid argument.

    >>> VarianceScaling(distribution="uniform")((3, 4)).abs().max() <= 1
    tensor(True)
    """

    _arguments: ClassVar[tuple[str, ...]] = ("scale", "mode", "distribution", "seed")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        if scale <= 0:
            raise ValueError(f"`scale` must be positive float. Received: scale={scale}.")
        distribution = distribution.lower()
        self.scale = scale
        self.mode = _one_of("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        self.distribution = _one_of(
            "distribution",
            "truncated_normal" if distribution == "normal" else distribution,
            ("truncated_normal", "untruncated_normal", "uniform"),
        )

    def _fill(self, values: Tensor, generator: Generator) -> None:
        fan_in, fan_out = fans(values.shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, n))
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            nn.init.uniform_(values, -limit, limit, generator)
        elif self.distribution == "untruncated_normal":
            nn.init.normal_(values, 0.0, stddev, generator)
        else:
            _fill_truncated(values, 0.0, stddev / TRUNCATED_STDDEV, generator)


class _Scaling(VarianceScaling):
    """Base of the named variance scalings, which have a seed as their only argument."""

    _arguments = ("seed",)
    _scaling: ClassVar[tuple[float, str, str]]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._scaling, seed=seed)


@INITIALIZERS.register()
class GlorotUniform(_Scaling):
    """Uniform with variance 2 / (fan in + fan out), also known as Xavier initialization.

    >>> GlorotUniform()((3, 3)).abs().max() <= 1
    tensor(True)
    """

    _scaling = (1.0, "fan_avg", "uniform")


@INITIALIZERS.register()
class GlorotNormal(_Scaling):
    """Truncated normal with variance 2 / (fan in + fan out).

    >>> round(GlorotNormal(seed=0)((400, 400)).std().item(), 2)
    0.05
    """

    _scaling = (1.0, "fan_avg", "truncated_normal")


@INITIALIZERS.register()
class LecunUniform(_Scaling):
    """Uniform with variance 1 / fan in.

    >>> round(LecunUniform(seed=0)((400, 400)).std().item(), 2)
    0.05
    """

    _scaling = (1.0, "fan_in", "uniform")


@INITIALIZERS.register()
class LecunNormal(_Scaling):
    """Truncated normal with variance 1 / fan in.

    >>> round(LecunNormal(seed=0)((400, 400)).std().item(), 2)
    0.05
    """

    _scaling = (1.0, "fan_in", "truncated_normal")


@INITIALIZERS.register()
class HeUniform(_Scaling):
    """Uniform with variance 2 / fan in, for layers with relu.

    >>> round(HeUniform(seed=0)((400, 400)).std().item(), 2)
    0.07
    """

    _scaling = (2.0, "fan_in", "uniform")


@INITIALIZERS.register()
class HeNormal(_Scaling):
    """Truncated normal with variance 2 / fan in, for layers with relu.

    >>> round(HeNormal(seed=0)((400, 400)).std().item(), 2)
    0.07
    """

    _scaling = (2.0, "fan_in", "truncated_normal")


@INITIALIZERS.register("OrthogonalInitializer")
class Orthogonal(_Random):
    """``gain`` times a random matrix with orthonormal rows or columns, whichever are fewer.

    For a shape of more than two axes, all but the last are flattened.

    Raises:
        ValueError: when called, the shape has fewer than two axes.

    >>> q = Orthogonal()((3, 2))
    >>> torch.allclose(q.T @ q, torch.eye(2), atol=1e-5)
    True
    """

    _arguments = ("gain", "seed")

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        if len(shape) < 2:
            raise ValueError(
                "The tensor to initialize must be at least two-dimensional. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        return super()._values(shape, dtype, device)

    def _fill(self, values: Tensor, generator: Generator) -> None:
        nn.init.orthogonal_(values.flatten(0, -2), self.gain, generator)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return fan in and fan out of a kernel, as described in `VarianceScaling`.

    >>> fans(()), fans((5,)), fans((2, 3)), fans((7, 2, 3))
    ((1, 1), (5, 5), (2, 3), (14, 21))
    """
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _fill_truncated(values: Tensor, mean: float, stddev: float, generator: Generator) -> None:
    nn.init.trunc_normal_(values, generator=generator).mul_(stddev).add_(mean)


def _one_of(argument: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"Invalid `{argument}` argument: {value!r}. Please use one of {allowed}.")
    return value

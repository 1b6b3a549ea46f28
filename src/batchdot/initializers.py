"""Keras's weight initializers: functions from a shape and a dtype to a tensor of initial values.

With a seed, an initializer returns the same values at every call and on every device. Without one it uses
torch's global generator (``torch.manual_seed``).

>>> initializer = get({"class_name": "GlorotUniform", "config": {"seed": 3}})
>>> initializer((2, 2)).equal(GlorotUniform(seed=3)(shape=(2, 2), dtype="float32"))
True
>>> get("zeros"), get("RandomNormal"), get(None)
(Zeros(), RandomNormal(mean=0.0, stddev=0.05, seed=None), None)

Source: ``tf.keras.initializers``. The distributions are Keras's; the random numbers are torch's.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import torch
from torch import Tensor, nn

from batchdot.config import float_dtype
from batchdot.convert import DTypeLike, TensorLike, as_tensor, parse_dtype
from batchdot.keras_names.lookup import module_attribute
from batchdot.registry import Config, Configurable, Registry

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

Initialize: TypeAlias = Callable[..., Tensor]
Device: TypeAlias = torch.device | str | None
Generator: TypeAlias = torch.Generator | None
Shape: TypeAlias = tuple[int, ...]

TRUNCATED_STDDEV = 0.87962566103423978
"""The standard deviation of the standard normal distribution cut off at -2 and 2."""

INITIALIZERS = Registry[Initialize]("initializer", "keras.initializers")
get, serialize, deserialize = INITIALIZERS.get, INITIALIZERS.serialize, INITIALIZERS.deserialize


class Initializer(Configurable):
    """Base of the initializers. A subclass defines ``__call__``, and ``get_config`` if it has arguments.

    >>> class Halves(Initializer):
    ...     def __call__(self, shape, dtype=None, device=None):
    ...         return torch.full(shape, 0.5)
    >>> Halves()((2,))
    tensor([0.5000, 0.5000])
    """

    def __call__(self, shape: Sequence[int], dtype: DTypeLike | None = None, device: Device = None) -> Tensor:
        """Return a tensor of initial values.

        Args:
            shape: the shape, a sequence of integers.
            dtype: a dtype of torch or numpy, or its name; None for `floatx`.
            device: the device of the tensor; None for torch's default device.

        Raises:
            TypeError: torch has no such dtype.
            ValueError: the initializer does not support the shape or the dtype.
        """
        dtype = float_dtype() if dtype is None else parse_dtype(dtype)
        return self._values(tuple(map(operator.index, shape)), dtype, device)

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Create the initializer from what `get_config` returned, here or in Keras."""
        # tf.keras 1.x wrote a dtype. Keras 3 writes axes; None is the behaviour implemented here.
        unset = {"dtype"} | {name for name in ("input_axes", "output_axes") if config.get(name) is None}
        return cls(**{name: value for name, value in config.items() if name not in unset})


@INITIALIZERS.register("zero")
class Zeros(Initializer):
    """Zeros of any dtype.

    >>> Zeros()((2,)), Ones()((2,), dtype=torch.int64)
    (tensor([0., 0.]), tensor([1, 1]))
    """

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)


@INITIALIZERS.register("one")
class Ones(Initializer):
    """Ones of any dtype.

    >>> Ones()((2,))
    tensor([1., 1.])
    """

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        return torch.ones(shape, dtype=dtype, device=device)


@INITIALIZERS.register()
class Constant(Initializer):
    """A constant: a number, or an array that is reshaped (same number of elements) or broadcast.

    Raises:
        ValueError: when called, the array can be neither reshaped nor broadcast to the shape.

    >>> Constant(3)((2,)), Constant([[1.0, 2.0]])((2, 1))
    (tensor([3., 3.]), tensor([[1.],
            [2.]]))
    """

    def __init__(self, value: TensorLike = 0) -> None:
        self.value = value

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        if isinstance(self.value, bool | int | float | complex):
            return torch.full(shape, self.value, dtype=dtype, device=device)
        device = torch.get_default_device() if device is None else device
        value = as_tensor(self.value).detach().to(device, dtype, copy=True)
        if value.numel() == math.prod(shape):
            return value.reshape(shape)
        try:
            return value.expand(shape).clone()
        except RuntimeError:
            raise ValueError(
                f"Constant cannot fill the shape {shape} with a value of shape {tuple(value.shape)}."
            ) from None

    def get_config(self) -> Config:
        """Return the value; an array as nested lists."""
        return {"value": self.value.tolist() if hasattr(self.value, "tolist") else self.value}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Create the initializer from what `get_config` returned, here or in Keras."""
        value = config.get("value")
        # Keras wraps arrays: {"class_name": "__numpy__", "config": {"value": ..., "dtype": ...}}
        return super().from_config(config | value["config"] if isinstance(value, dict) else config)

    def __repr__(self) -> str:
        return f"Constant(value={self.value!r})"


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


@INITIALIZERS.register("IdentityInitializer")
class Identity(Initializer):
    """``gain`` times the identity matrix.

    Raises:
        ValueError: when called, the shape does not have two axes.

    >>> Identity(2.0)((2, 3))
    tensor([[2., 0., 0.],
            [0., 2., 0.]])
    """

    _arguments = ("gain",)

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        return nn.init.eye_(torch.empty(shape, dtype=dtype, device=device)).mul_(self.gain)


zeros, ones, constant = Zeros, Ones, Constant
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, orthogonal, identity = VarianceScaling, Orthogonal, Identity
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
he_uniform, he_normal = HeUniform, HeNormal


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


def __dir__() -> list[str]:
    return sorted(__all__)


__path__: list[str] = []  # lets `from ... import` ask KerasImports for what is not here

if not TYPE_CHECKING:  # with a __getattr__, every name would be valid for a type checker

    def __getattr__(name: str) -> object:
        return module_attribute(__name__, name)

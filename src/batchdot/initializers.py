"""Initializers: a shape in, a tensor of first values for weights of that shape out.

An initializer with a seed gives the same numbers at every call and on every device. Without one it draws
from torch's own generator, which ``torch.manual_seed`` governs.

>>> initializer = get({"class_name": "GlorotUniform", "config": {"seed": 3}})
>>> initializer((2, 2)).equal(GlorotUniform(seed=3)(shape=(2, 2), dtype="float32"))
True
>>> get("zeros"), get("RandomNormal"), get(None)
(Zeros(), RandomNormal(mean=0.0, stddev=0.05, seed=None), None)

Source: ``tf.keras.initializers``; the numbers are torch's, the distributions Keras's.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from batchdot.config import float_dtype
from batchdot.convert import as_tensor, read_dtype
from batchdot.registry import Configurable, Registry

if TYPE_CHECKING:
    from typing import Self

Initialize: TypeAlias = Callable[..., Tensor]
Device: TypeAlias = torch.device | str | None
Generator: TypeAlias = torch.Generator | None
Shape: TypeAlias = tuple[int, ...]

TRUNCATED_STDDEV = 0.87962566103423978
"""The standard deviation of the standard normal distribution cut off at -2 and 2."""

_registry = Registry[Initialize]("initializer", "keras.initializers")
get, serialize, deserialize = _registry.get, _registry.serialize, _registry.deserialize


class Initializer(Configurable):
    """Base of the initializers. A subclass defines ``__call__``, and ``get_config`` if it has arguments."""

    def __call__(
        self, shape: Sequence[int], dtype: torch.dtype | str | None = None, device: Device = None
    ) -> Tensor:
        """Return a tensor of values.

        Args:
            shape: a sequence of integers.
            dtype: a torch dtype, a numpy one, or the name of either; None stands for `backend.floatx()`.
            device: where the tensor is to be; None stands for torch's default device.

        Raises:
            TypeError: a dtype that torch does not have.
            ValueError: a shape or a dtype that this initializer has no values for.
        """
        dtype = float_dtype() if dtype is None else read_dtype(dtype)
        return self._values(tuple(map(operator.index, shape)), dtype, device)

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Self":
        """Make the initializer from what `get_config` returned, here or in Keras."""
        # tf.keras 1.x wrote a dtype; Keras 3 writes axes, whose None means what is done here.
        unset = {"dtype"} | {name for name in ("input_axes", "output_axes") if config.get(name) is None}
        return cls(**{name: value for name, value in config.items() if name not in unset})


@_registry.register("zero")
class Zeros(Initializer):
    """Zeros, of any dtype.

    >>> Zeros()((2,)), Ones()((2,), dtype=torch.int64)
    (tensor([0., 0.]), tensor([1, 1]))
    """

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=device)


@_registry.register("one")
class Ones(Initializer):
    """Ones, of any dtype."""

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        return torch.ones(shape, dtype=dtype, device=device)


@_registry.register()
class Constant(Initializer):
    """A number everywhere, or an array: reshaped if it has as many elements, broadcast otherwise.

    Raises:
        ValueError: called with a shape that the array does not fit.

    >>> Constant(3)((2,)), Constant([[1.0, 2.0]])((2, 1))
    (tensor([3., 3.]), tensor([[1.],
            [2.]]))
    """

    def __init__(self, value: Any = 0) -> None:
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

    def get_config(self) -> dict[str, Any]:
        """Return the value, an array as nested lists."""
        return {"value": self.value.tolist() if hasattr(self.value, "tolist") else self.value}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Self":
        """Make the initializer from what `get_config` returned, here or in Keras."""
        value = config.get("value")
        # Keras wraps an array: {"class_name": "__numpy__", "config": {"value": ..., "dtype": ...}}
        return super().from_config(config | value["config"] if isinstance(value, dict) else config)

    def __repr__(self) -> str:
        return f"Constant(value={self.value!r})"


class _Random(Initializer):
    """Base of what draws numbers, of floating dtypes only. A subclass defines ``_fill``."""

    _fill: Callable[[Tensor, Generator], Any]

    def __init__(self, seed: int | None) -> None:
        self.seed = None if seed is None else operator.index(seed)

    def _values(self, shape: Shape, dtype: torch.dtype, device: Device) -> Tensor:
        if not dtype.is_floating_point:
            raise ValueError(f"{type(self).__name__} expects a floating point type, got {dtype}.")
        device = torch.get_default_device() if device is None else device
        place, generator = device, None
        if self.seed is not None:  # the same numbers wherever they end up
            place, generator = "cpu", torch.Generator("cpu").manual_seed(self.seed)
        # 16 bits are too few to draw with: float16 has no QR, and its tails are coarse.
        values = torch.empty(shape, dtype=torch.promote_types(dtype, torch.float32), device=place)
        self._fill(values, generator)
        return values.to(device, dtype)


@_registry.register("normal")
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


@_registry.register()
class TruncatedNormal(RandomNormal):
    """A normal distribution whose values beyond two standard deviations are drawn again."""

    def _fill(self, values: Tensor, generator: Generator) -> None:
        _fill_truncated(values, self.mean, self.stddev, generator)


@_registry.register("uniform")
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


@_registry.register()
class VarianceScaling(_Random):
    """A distribution of mean 0 and variance ``scale / n``, where n counts the inputs or outputs of a unit.

    Args:
        scale: a positive number.
        mode: what n is: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``, the mean of both.
        distribution: ``"truncated_normal"`` (also called ``"normal"``), ``"untruncated_normal"`` or
            ``"uniform"``.
        seed: an integer, or None.

    A kernel is of shape (I, J), or (..., I, J) with a receptive field in front: fan in is I and fan out
    is J, times the size of the field. Both are the length of a vector, and 1 for a scalar.

    Raises:
        ValueError: an argument that is none of these.

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
    """Base of the variance scalings that have names: all but the seed is in the class."""

    _arguments = ("seed",)
    _scaling: ClassVar[tuple[float, str, str]]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._scaling, seed=seed)


@_registry.register()
class GlorotUniform(_Scaling):
    """Uniform, of variance 2 / (fan in + fan out): Glorot's, also called Xavier's.

    >>> GlorotUniform()((3, 3)).abs().max() <= 1
    tensor(True)
    """

    _scaling = (1.0, "fan_avg", "uniform")


@_registry.register()
class GlorotNormal(_Scaling):
    """Truncated normal, of variance 2 / (fan in + fan out)."""

    _scaling = (1.0, "fan_avg", "truncated_normal")


@_registry.register()
class LecunUniform(_Scaling):
    """Uniform, of variance 1 / fan in."""

    _scaling = (1.0, "fan_in", "uniform")


@_registry.register()
class LecunNormal(_Scaling):
    """Truncated normal, of variance 1 / fan in."""

    _scaling = (1.0, "fan_in", "truncated_normal")


@_registry.register()
class HeUniform(_Scaling):
    """Uniform, of variance 2 / fan in: for relu."""

    _scaling = (2.0, "fan_in", "uniform")


@_registry.register()
class HeNormal(_Scaling):
    """Truncated normal, of variance 2 / fan in: for relu."""

    _scaling = (2.0, "fan_in", "truncated_normal")


@_registry.register("OrthogonalInitializer")
class Orthogonal(_Random):
    """``gain`` times a random matrix with orthonormal rows or columns, whichever are fewer.

    A shape of more than two axes is that of a matrix of shape (..., J), flattened.

    Raises:
        ValueError: called with a shape of fewer than two axes.

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


@_registry.register("IdentityInitializer")
class Identity(Initializer):
    """``gain`` times the identity matrix.

    Raises:
        ValueError: called with a shape that does not have two axes.

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
    """Return how many inputs and how many outputs a unit with a kernel of this shape has.

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

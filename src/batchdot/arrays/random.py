"""Random tensors under the names of keras.backend.

The numbers come from torch's generator, or from one with the given seed, and differ from TensorFlow's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from batchdot import initializers
from batchdot.convert import DTypeLike, dtype_or_floatx


def random_normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: DTypeLike | None = None,
    seed: int | None = None,
) -> Tensor:
    """Return samples from a normal distribution.

    Raises:
        ValueError: the dtype is not floating, or a size of the shape is not known.

    >>> random_normal((2, 3), mean=5.0, stddev=0.0)[0]
    tensor([5., 5., 5.])
    """
    return initializers.RandomNormal(mean, stddev, seed)(_sizes(shape), dtype)


def truncated_normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: DTypeLike | None = None,
    seed: int | None = None,
) -> Tensor:
    """Return samples from a normal distribution, all within two standard deviations of the mean.

    Raises:
        ValueError: as for `random_normal`.

    >>> bool((truncated_normal((1000,)).abs() <= 2).all())
    True
    """
    return initializers.TruncatedNormal(mean, stddev, seed)(_sizes(shape), dtype)


def random_uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: DTypeLike | None = None,
    seed: int | None = None,
) -> Tensor:
    """Return samples from the uniform distribution over [minval, maxval).

    Raises:
        ValueError: as for `random_normal`.

    >>> random_uniform((2, 3)).shape
    torch.Size([2, 3])
    """
    return initializers.RandomUniform(minval, maxval, seed)(_sizes(shape), dtype)


def random_bernoulli(
    shape: Sequence[int], p: float = 0.0, dtype: DTypeLike | None = None, seed: int | None = None
) -> Tensor:
    """Return samples that are 1 with probability p, and else 0.

    Raises:
        ValueError: as for `random_normal`.

    >>> random_bernoulli((3,), p=1.0)
    tensor([1., 1., 1.])
    """
    draws = random_uniform(shape, dtype=torch.float32, seed=seed)
    return (draws < p).to(dtype_or_floatx(dtype))


random_binomial = random_bernoulli


def _sizes(shape: Sequence[int]) -> tuple[int, ...]:
    if any(size is None for size in shape):
        raise ValueError(
            f"A random tensor has a known size. Received: shape={tuple(shape)}. Draw it in the function of a "
            "Lambda layer, which runs on tensors: Lambda(lambda x: x + K.random_normal(K.shape(x)))."
        )
    return tuple(int(size) for size in shape)

"""Windows of PyTorch's convolutions and pools lie where a loop over Keras's definition puts them."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from batchdot.porting.source.helpers.space import average_same, pad_same
from batchdot.porting.translation.layers.windows import conv_padding, pool_padding, transposed_crop

SIZES = (1, 2, 3, 6, 7, 8)
GRID = [*itertools.product((1, 2, 3, 4, 5), (1, 2, 3))]
"""Kernels and strides."""


def windows(size, kernel, stride):
    """Return the indices of each window of "same" padding along one axis, those outside left out.

    The definition: ceil(size / stride) windows, which together reach beyond both ends alike, or by one more
    beyond the second.
    """
    count = -(-size // stride)
    beyond = max((count - 1) * stride + kernel - size, 0)
    starts = [number * stride - beyond // 2 for number in range(count)]
    return [range(start, start + kernel) for start in starts]


def signal(size):
    return np.random.default_rng(size).standard_normal(size).astype(np.float32)


def as_tensor(array):
    return torch.from_numpy(array)[None, None]


@pytest.mark.parametrize(("kernel", "stride"), GRID)
@pytest.mark.parametrize("known", [True, False])
def test_conv_padding_of_same_gives_the_windows_of_keras(kernel, stride, known):
    for size in SIZES:
        x, weight = signal(size), signal(kernel)
        want = [
            sum(weight[tap] * x[at] for tap, at in enumerate(window) if 0 <= at < size)
            for window in windows(size, kernel, stride)
        ]
        plan = conv_padding((size if known else None,), (kernel,), (stride,), "same")
        padded = as_tensor(x)
        if plan.measured:
            assert not known
            padded = pad_same(padded, (kernel,), (stride,))
        elif plan.call:
            padded = functional.pad(padded, plan.call[0])
        got = functional.conv1d(padded, as_tensor(weight), stride=stride, padding=plan.module[0])
        np.testing.assert_allclose(got[0, 0], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kernel", "stride"), GRID)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("average", [True, False])
def test_pool_padding_of_same_gives_the_windows_of_keras(kernel, stride, known, average):
    for size in SIZES:
        x = signal(size)
        inside = [[x[at] for at in window if 0 <= at < size] for window in windows(size, kernel, stride)]
        want = [np.mean(each) if average else np.max(each) for each in inside]
        plan = pool_padding((size if known else None,), (kernel,), (stride,), "same")
        if plan is None:
            assert not known
            if average:
                got = average_same(nn.AvgPool1d(kernel, stride), as_tensor(x), (kernel,), (stride,))
            else:
                got = functional.max_pool1d(
                    pad_same(as_tensor(x), (kernel,), (stride,), -torch.inf), kernel, stride
                )
        else:
            count = {"count_include_pad": False} if average else {}
            pool = (nn.AvgPool1d if average else nn.MaxPool1d)(
                kernel, stride, padding=plan.module[0], ceil_mode=plan.ceil, **count
            )
            got = pool(as_tensor(x))[..., plan.skip[0] if plan.skip else 0 :]
        np.testing.assert_allclose(got[0, 0], want, rtol=1e-5, atol=1e-6)


def test_pool_padding_mixed_axes_keeps_the_windows_of_each():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 6, 7)).astype(np.float32))
    plan = pool_padding((6, 7), (2, 3), (1, 2), "same")
    pool = nn.AvgPool2d((2, 3), (1, 2), padding=plan.module, ceil_mode=plan.ceil, count_include_pad=False)
    got = pool(x)[:, :, plan.skip[0] :, plan.skip[1] :][0, 0]
    rows, columns = windows(6, 2, 1), windows(7, 3, 2)
    want = [
        [
            np.mean([x[0, 0, i, j] for i in row if 0 <= i < 6 for j in column if 0 <= j < 7])
            for column in columns
        ]
        for row in rows
    ]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def transposed(x, kernel, stride, size, before):
    """Return the gradient of a convolution: each x is spread over the window that it came from."""
    out = np.zeros(size, np.float32)
    for number, value in enumerate(x):
        for tap, factor in enumerate(kernel):
            at = number * stride - before + tap
            if 0 <= at < size:
                out[at] += value * factor
    return out


@pytest.mark.parametrize(("kernel", "stride"), GRID)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_transposed_crop_gives_the_gradient_of_the_convolution(kernel, stride, padding):
    for size in SIZES:
        x, weight = signal(size), signal(kernel)
        extras = [None, *range(stride)]
        for extra in extras:
            if extra is None:
                out = size * stride + (0 if padding == "same" else max(kernel - stride, 0))
            else:
                cut = 2 * (kernel // 2) if padding == "same" else 0
                out = (size - 1) * stride + kernel - cut + extra
            if out < 1:
                continue
            beyond = max((size - 1) * stride + kernel - out, 0) if padding == "same" else 0
            want = transposed(x, weight, stride, out, beyond // 2)
            crop = transposed_crop((kernel,), (stride,), padding, None if extra is None else (extra,))
            full = functional.conv_transpose1d(
                as_tensor(x),
                as_tensor(weight),
                stride=stride,
                padding=crop.padding[0],
                output_padding=crop.output_padding[0],
            )[0, 0]
            np.testing.assert_allclose(full[: len(full) - crop.cut[0]], want, rtol=1e-5, atol=1e-6)


def test_transposed_crop_of_a_declared_size_is_that_of_keras_1():
    assert transposed_crop((3, 2), (2, 2), "same", None, (12, 13)) == transposed_crop(
        (3, 2), (2, 2), "same", (1, 1)
    )

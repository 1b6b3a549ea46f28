"""Autocast: the dtype of a result is what it is without, whatever runs inside."""

import itertools

import pytest
import torch
from tests.ops.test_transforms import SHAPES, tensors
from tests.support.keras_models import MODELS, feed

import batchdot
from batchdot import batch_dot, dot, layers

LOWER = pytest.mark.parametrize("lower", [torch.bfloat16, torch.float16], ids=str)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DEVICE = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])


def close(out: torch.Tensor, right: torch.Tensor, lower: torch.dtype) -> None:
    """Of the same dtype, and near, by the digits of the lower one."""
    assert (out.dtype, out.shape) == (right.dtype, right.shape)
    coarse = max(torch.finfo(lower).eps, torch.finfo(out.dtype).eps)
    torch.testing.assert_close(out, right, rtol=8 * coarse, atol=16 * coarse)


@pytest.mark.usefixtures("each_kernel")
@DEVICE
@LOWER
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_batch_dot(name: str, normalize: bool, lower: torch.dtype, device: str) -> None:
    """Of every two dtypes, and with their gradients."""
    for kinds in itertools.product(FLOATS, repeat=2):
        x, y = (t.to(device, kind) for t, kind in zip(tensors(name), kinds, strict=True))
        right = batch_dot(x, y, SHAPES[name][2], normalize=normalize)
        x, y = x.requires_grad_(), y.requires_grad_()
        with torch.autocast(device, lower):
            close(batch_dot(x.detach(), y.detach(), SHAPES[name][2], normalize=normalize), right, lower)
            out = batch_dot(x, y, SHAPES[name][2], normalize=normalize)
        close(out.detach(), right, lower)
        found = torch.autograd.grad(out.sum(), (x, y))
        exact = torch.autograd.grad(batch_dot(x, y, SHAPES[name][2], normalize=normalize).sum(), (x, y))
        for gradient, wanted, tensor in zip(found, exact, (x, y), strict=True):
            assert gradient.dtype == tensor.dtype
            close(gradient, wanted, torch.bfloat16)


@DEVICE
@LOWER
@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64, torch.complex64], ids=str)
def test_other_calls(dtype: torch.dtype, lower: torch.dtype, device: str) -> None:
    """Of dtypes that autocast leaves alone too; of sparse matrices; compiled."""
    x, y = (torch.randint(-9, 9, shape).to(device, dtype) for shape in ((3, 4), (4, 5)))
    compiled = torch.compile(dot, backend="aot_eager")
    calls = [
        lambda: dot(x, y),
        lambda: dot(x, y[:, 0]),
        lambda: dot(x[0], y[:, 0]),
        lambda: batch_dot(x[None], y[None]),
        lambda: layers.Dot((2, 1))([x[None], y[None]]),
        lambda: compiled(x, y),
    ]
    if device == "cpu" or dtype not in (torch.float16, torch.bfloat16):
        calls += [lambda: dot(x.to_sparse(), y), lambda: dot(x.to_sparse_csr(), y)]
    for call in calls:
        right = call()
        with torch.autocast(device, lower):
            out = call()
        assert out.dtype == right.dtype
        torch.testing.assert_close(out, right, rtol=0.02, atol=0.5)


@DEVICE
@LOWER
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_dense_returns_the_dtype_of_its_kernel(dtype: torch.dtype, lower: torch.dtype, device: str) -> None:
    for shape, kind in itertools.product(((4, 3), (4, 5, 3)), FLOATS):
        layer = layers.Dense(2, activation="tanh", dtype=dtype, autocast=False)
        x = torch.randn(shape, device=device, dtype=kind)
        layer(x.cpu())
        layer.to(device)
        right = layer(x)
        with torch.autocast(device, lower):
            out = layer(x)
        close(out.detach(), right.detach(), lower)
        assert out.dtype == dtype


MODELS_OF_FLOATS = [name for name in MODELS if name != "integers"]


@DEVICE
@pytest.mark.parametrize("name", MODELS_OF_FLOATS)
@pytest.mark.usefixtures("native_kernel")
def test_models(name: str, device: str) -> None:
    """Outputs as without; gradients of every trained weight, in its dtype, near those without."""
    torch.manual_seed(0)
    model = MODELS[name](batchdot).eval()
    inputs = [torch.from_numpy(array) for array in feed(model)]
    model(inputs)
    model, inputs = model.to(device), [x.to(device) for x in inputs]
    outputs, gradients = [], []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=enabled):
            found = model(inputs)
        found = found if isinstance(found, list) else [found]
        outputs.append([output.detach() for output in found])
        if model.trainable_weights:
            sum(output.sum() for output in found if output.requires_grad).backward()
        gradients.append([weight.grad for weight in model.trainable_weights])
    for right, out in zip(*outputs, strict=True):
        assert out.dtype == right.dtype
        torch.testing.assert_close(out, right, rtol=0.1, atol=0.1)
    for weight, right, gradient in zip(model.trainable_weights, *gradients, strict=True):
        assert gradient.dtype == weight.dtype
        scale = right.abs().max().item()
        torch.testing.assert_close(gradient, right, rtol=0, atol=0.1 * scale + 0.01)

"""Functions and classes that are printed into ported files: over images, and normalization."""

import itertools

import numpy as np
import pytest
import torch
from tests.support.live_keras import tf
from torch import nn

from batchdot.porting.source.helpers.batch_norm import BatchNorm, FrozenBatchNorm, SampleNorm
from batchdot.porting.source.helpers.locally_connected import LocallyConnected1d, LocallyConnected2d
from batchdot.porting.source.helpers.space import center_crop, resize_bicubic, smart_resize, upsample_corners


def images(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_upsample_corners_takes_pixel_i_over_scale():
    x, scale = images(2, 3, 4, 5), (2, 3)
    want = np.empty((2, 3, 8, 15))
    for row, column in itertools.product(range(8), range(15)):
        at = row / 2, column / 3
        near = [int(each) for each in at]
        far = [min(each + 1, size - 1) for each, size in zip(near, (4, 5), strict=True)]
        part = [each - int(each) for each in at]
        corners = x.numpy()
        upper = corners[:, :, near[0], near[1]] * (1 - part[1]) + corners[:, :, near[0], far[1]] * part[1]
        lower = corners[:, :, far[0], near[1]] * (1 - part[1]) + corners[:, :, far[0], far[1]] * part[1]
        want[:, :, row, column] = upper * (1 - part[0]) + lower * part[0]
    np.testing.assert_allclose(upsample_corners(x, scale), want, atol=1e-12)


@pytest.mark.keras
@pytest.mark.parametrize("size", [(14, 18), (4, 5), (3, 11), (7, 6), (1, 1), (29, 2)])
def test_resize_bicubic_any_size_is_that_of_tensorflow(size):
    x = images(2, 3, 7, 6).float()
    want = tf.image.resize(x.permute(0, 2, 3, 1).numpy(), size, method="bicubic").numpy()
    np.testing.assert_allclose(resize_bicubic(x, size).permute(0, 2, 3, 1), want, atol=2e-5)


@pytest.mark.parametrize("size", [(2, 4), (4, 2), (5, 7), (9, 3), (3, 9), (8, 8)])
def test_smart_resize_is_the_middle_of_that_aspect_ratio(size):
    x = images(1, 1, 5, 7)
    height, width = min(5, int(7 * size[0] / size[1])), min(7, int(5 * size[1] / size[0]))
    top, left = int((5 - height) / 2), int((7 - width) / 2)
    want = nn.functional.interpolate(
        x[:, :, top : top + height, left : left + width], size=size, mode="bilinear"
    )
    torch.testing.assert_close(smart_resize(x, size), want)


def test_center_crop_cuts_the_middle_and_resizes_smaller_images():
    x = images(1, 1, 6, 7)
    torch.testing.assert_close(center_crop(x, (4, 4)), x[:, :, 1:5, 1:5])
    torch.testing.assert_close(center_crop(x, (8, 4)), smart_resize(x, (8, 4)))


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (4, 3, 5, 2), (2, 3, 2, 2, 2)])
def test_batch_norm_while_training_remembers_the_plain_variance(shape):
    norm, x = BatchNorm(3, momentum=0.25).double(), images(*shape) * 3 + 1
    y = norm(x.requires_grad_())
    y.sum().backward()
    y, x = y.detach(), x.detach()
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    mean, var = x.numpy().mean(axes), x.numpy().var(axes)
    np.testing.assert_allclose(norm.running_mean, 0.25 * mean)
    np.testing.assert_allclose(norm.running_var, 0.75 + 0.25 * var)
    broadcast = (3, *(1,) * (len(shape) - 2))
    want = (x.numpy() - mean.reshape(broadcast)) / np.sqrt(var.reshape(broadcast) + 1e-5)
    np.testing.assert_allclose(y, want)
    norm.eval()
    mean, var = (part.numpy().reshape(broadcast) for part in (norm.running_mean, norm.running_var))
    np.testing.assert_allclose(norm(x).detach(), (x.numpy() - mean) / np.sqrt(var + 1e-5))
    np.testing.assert_allclose(norm.running_var, var.reshape(-1))


def test_frozen_batch_norm_while_training_changes_nothing():
    norm, x = FrozenBatchNorm(3), images(4, 3, 2, 2).float()
    norm.running_mean += 1
    trained = norm.train()(x)
    assert (norm.running_mean == 1).all()
    assert norm.num_batches_tracked == 0
    torch.testing.assert_close(trained, norm.eval()(x))
    torch.testing.assert_close(trained, (x - 1) / (1 + 1e-5) ** 0.5)


def test_sample_norm_is_keras_1s_mode_1():
    norm, x = SampleNorm(4, eps=0.01).double(), images(3, 2, 4)
    nn.init.constant_(norm.weight, 2)
    mean, std = x.numpy().mean(-1, keepdims=True), np.sqrt(x.numpy().var(-1, keepdims=True) + 0.01)
    np.testing.assert_allclose(norm(x).detach(), 2 * (x.numpy() - mean) / (std + 0.01))


@pytest.mark.parametrize("bias", [True, False])
def test_locally_connected_is_a_convolution_by_position(bias):
    layer, x = LocallyConnected2d(3, 2, (2, 3), (3, 2), (2, 1), bias).double(), images(4, 3, 5, 4)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    weight = layer.weight.detach().numpy()
    for row, column in itertools.product(range(2), range(3)):
        patch = x.numpy()[:, :, 2 * row : 2 * row + 3, column : column + 2]
        want = np.einsum("bcyx,ocyx->bo", patch, weight[row, column])
        if bias:
            want = want + layer.bias.detach().numpy()[:, row, column]
        np.testing.assert_allclose(layer(x)[:, :, row, column].detach(), want, atol=1e-12)
    flat = LocallyConnected1d(3, 2, 2, 3, 2, bias).double()
    flat.load_state_dict(
        {
            key: value[:, 0, ..., 0] if key == "weight" else value[..., 0]
            for key, value in layer.state_dict().items()
        }
    )
    want = torch.einsum("bclk,lock->bol", x[..., 0].unfold(2, 3, 2), flat.weight)
    torch.testing.assert_close(flat(x[..., 0]), want + flat.bias if bias else want)


@pytest.mark.parametrize(
    "helper",
    [
        lambda: lambda x: upsample_corners(x, (2, 2)),
        lambda: lambda x: resize_bicubic(x, (3, 9)),
        lambda: lambda x: center_crop(x, (2, 2)),
        lambda: lambda x: smart_resize(x, (2, 3)),
        lambda: BatchNorm(3).eval(),
        lambda: FrozenBatchNorm(3),
    ],
)
def test_helper_of_an_empty_batch_half_precision_and_meta_runs(helper):
    module = helper()
    for dtype in (torch.float64, torch.bfloat16):
        if isinstance(module, nn.Module):
            module = module.to(dtype)
        assert module(torch.zeros(2, 3, 4, 5, dtype=dtype)).dtype == dtype
        assert len(module(torch.zeros(0, 3, 4, 5, dtype=dtype))) == 0
    if isinstance(module, nn.Module):
        module = module.to("meta")
    assert module(torch.zeros(2, 3, 4, 5, dtype=torch.bfloat16, device="meta")).is_meta

"""Layers of Keras 1 against their formulas in NumPy."""

import numpy as np
import torch

from batchdot.porting.source.helpers.keras1 import Maxout, SReLU


def test_srelu_is_keras1s_formula():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 4)).astype("float32") * 3
    t_left, a_left, t_right, a_right = rng.standard_normal((4, 4)).astype("float32")
    layer = SReLU((4,))
    state = {"t_left": t_left, "a_left": a_left, "t_right": t_right, "a_right": a_right}
    layer.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    end = t_left + np.abs(t_right)
    middle = np.clip(x - t_left, 0, end - t_left) - a_left * np.maximum(t_left - x, 0)
    expected = t_left + middle + np.maximum(x - end, 0) * a_right
    np.testing.assert_allclose(layer(torch.tensor(x)).detach(), expected, atol=1e-5)


def test_maxout_is_the_largest_of_its_functions():
    layer = Maxout(3, 2, 4, bias=True)
    x = torch.randn(5, 3)
    weights, bias = layer.linear.weight.reshape(4, 2, 3), layer.linear.bias.reshape(4, 2)
    expected = torch.stack([x @ weight.T + each for weight, each in zip(weights, bias, strict=True)]).amax(0)
    torch.testing.assert_close(layer(x), expected)

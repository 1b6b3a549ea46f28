"""Functions that are printed into ported files: activations, products and noise, against their formulas."""

import numpy as np
import pytest
import torch

from batchdot.porting.source.helpers.activations import (
    hard_sigmoid,
    softmax_over,
    sparse_plus,
    sparsemax,
    squareplus,
    thresholded_relu,
)
from batchdot.porting.source.helpers.merging import quotient_of_products
from batchdot.porting.source.helpers.noise import (
    add_noise,
    multiply_noise,
    shared_alpha_dropout,
    shared_dropout,
)

X = np.linspace(-4, 4, 81)  # 0, 1 and -1 are among them


def relu_with_all(x):
    """Clip to 3 above 0.5; below, a line of slope 0.1 through 0.5."""
    return np.where(x >= 3, 3, np.where(x > 0.5, x, 0.1 * (x - 0.5)))


FORMULAS = {
    "hard_sigmoid": (hard_sigmoid, lambda x: np.minimum(1, np.maximum(0, 0.2 * x + 0.5))),
    "squareplus": (lambda x: squareplus(x, 4), lambda x: (x + np.hypot(x, 2)) / 2),
    "sparse_plus": (sparse_plus, lambda x: np.where(x <= -1, 0, np.where(x < 1, 0.25 * (x + 1) ** 2, x))),
    "thresholded_relu": (lambda x: thresholded_relu(x, 0.5, 0.1, 3), relu_with_all),
    "thresholded_relu without a ceiling": (
        lambda x: thresholded_relu(x, 1, 0),
        lambda x: np.where(x > 1, x, 0),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_activation_of_numbers_is_its_formula(name):
    function, formula = FORMULAS[name]
    np.testing.assert_allclose(function(torch.tensor(X)), formula(X), atol=1e-12)
    assert function(torch.zeros(0, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_softmax_over_two_axes_sums_to_one_over_both():
    x = np.random.default_rng(0).normal(size=(2, 3, 4)) * 300  # exp(300) is no float32
    exponents = np.exp(x - x.max((1, 2), keepdims=True))
    want = exponents / exponents.sum((1, 2), keepdims=True)
    np.testing.assert_allclose(softmax_over(torch.tensor(x), (1, 2)), want, atol=1e-12)


def test_sparsemax_has_the_threshold_of_keras():
    """Keras sums the sums of all numbers in the support, where the paper (Martins 2016) has the last one."""
    x = np.random.default_rng(1).normal(size=(50, 6))
    want = []
    for row in x:
        falling = np.sort(row)[::-1]
        sums = falling.cumsum()
        count = sum(falling[k] * (k + 1) > sums[k] - 1 for k in range(6))
        want.append(np.maximum(row - (sums[:count].sum() - 1) / count, 0))
    np.testing.assert_allclose(sparsemax(torch.tensor(x)), want, atol=1e-12)


def test_quotient_of_products_of_matrices_divides_each():
    xy, xx, yy = torch.tensor([[6.0, 0.0]]), torch.tensor([[4.0, 0.0]]), torch.tensor([[9.0, 1.0]])
    assert quotient_of_products(xy, xx, yy).tolist() == [[[1.0, 0.0]]]


WIDE = torch.full((400, 300), 2.0)
NOISE = {
    "add_noise": (lambda x, training: add_noise(x, 0.5, training), 2.0, 0.5),
    "multiply_noise": (lambda x, training: multiply_noise(x, 0.2, training), 2.0, 1.0),
    "shared_dropout": (lambda x, training: shared_dropout(x, 0.2, (None, None), training), 2.0, 1.0),
}


@pytest.mark.parametrize("name", NOISE)
def test_noise_in_training_has_mean_and_deviation_of_keras(name):
    torch.manual_seed(0)
    function, mean, deviation = NOISE[name]
    assert function(WIDE, False).equal(WIDE)
    found = function(WIDE, True)
    assert abs(found.mean() - mean) < 0.02
    assert abs(found.std() - deviation) < 0.02


@pytest.mark.parametrize("function", [shared_dropout, shared_alpha_dropout])
def test_shared_noise_is_one_along_axes_of_1(function):
    torch.manual_seed(0)
    x = torch.full((5, 7, 4), 2.0)
    found = function(x, 0.5, (None, 1, 4), True)
    assert found.equal(found[:, :1].expand_as(found))
    assert len(found.unique()) == 2
    assert len(found[:, 0].unique(dim=0)) > 1
    assert function(x, 0.5, (None, 1, 4), False).equal(x)


def test_shared_alpha_dropout_keeps_mean_0_and_deviation_1():
    torch.manual_seed(0)
    found = shared_alpha_dropout(torch.randn(400, 300), 0.3, (None, None), True)
    assert abs(found.mean()) < 0.02
    assert abs(found.std() - 1) < 0.02

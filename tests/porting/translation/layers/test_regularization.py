"""Dropouts and noises: identity in ``eval()``, in ``train()`` the noise that Keras means."""

import pytest
import torch
from tests.support.porting.saved import entry, functional, given, write

from batchdot import porting

SHAPE = (40, 8, 25)

ROWS = {
    "Dropout": ("Dropout", {"rate": 0.2}, 1.0, 0.5),
    "Dropout shared": ("Dropout", {"rate": 0.2, "noise_shape": [None, 1, 25]}, 1.0, 0.5),
    "SpatialDropout1D": ("SpatialDropout1D", {"rate": 0.2}, 1.0, 0.5),
    "GaussianNoise": ("GaussianNoise", {"stddev": 0.5}, 1.0, 0.5),
    "GaussianDropout": ("GaussianDropout", {"rate": 0.2}, 1.0, 0.5),
    "AlphaDropout": ("AlphaDropout", {"rate": 0.2}, None, None),
    "AlphaDropout shared": ("AlphaDropout", {"rate": 0.2, "noise_shape": [None, 1, 25]}, None, None),
}
"""Layer, config, mean and deviation of what it makes of ones; alpha dropout keeps those of normal numbers."""

SHARED = ("Dropout shared", "SpatialDropout1D", "AlphaDropout shared")


def ported(folder, row, **arguments):
    class_name, config, *_ = ROWS[row]
    layer = entry(class_name, "noise", ["x"], **config)
    layer["inbound_nodes"][0][0][3].update(arguments)
    return porting.port(
        write(folder / "m.json", functional([given("x", *SHAPE[1:]), layer], ["x"], ["noise"]))
    )


def assert_noise(row, run):
    """Compare 60,000 samples with the mean and deviation, and look for what is shared over steps."""
    _, _, mean, deviation = ROWS[row]
    torch.manual_seed(0)
    x = torch.ones(SHAPE) if mean else torch.randn(SHAPE[0], 1, SHAPE[2]).expand(SHAPE)
    found = torch.stack([run(x) for _ in range(60)])
    assert abs(found.mean() - (mean or x.mean())) < 0.03
    assert abs(found.std() - (deviation or x.std())) < 0.03
    assert torch.allclose(found, found[:, :, :1]) == (row in SHARED)


@pytest.mark.parametrize("row", ROWS)
def test_load_of_noise_acts_in_training_only(row, tmp_path):
    module = ported(tmp_path, row).module()
    x = torch.randn(SHAPE)
    assert module(x).equal(x)
    assert_noise(row, module.train())


@pytest.mark.parametrize("row", ROWS)
def test_load_of_noise_called_with_training_obeys_the_call(row, tmp_path):
    assert_noise(row, ported(tmp_path, row, training=True).module())
    silent = ported(tmp_path, row, training=False)
    x = torch.randn(SHAPE)
    assert silent.module().train()(x).equal(x)
    assert "rop" not in silent.source.partition("class ")[2].partition("if __name__")[0]


@pytest.mark.parametrize("row", ROWS)
def test_port_of_noise_runs_in_any_dtype(row, tmp_path):
    module = ported(tmp_path, row).module().train()
    for dtype in (torch.float64, torch.bfloat16):
        assert module.to(dtype)(torch.ones(SHAPE, dtype=dtype)).dtype == dtype
    assert module(torch.ones(0, *SHAPE[1:], dtype=torch.bfloat16)).shape == (0, *SHAPE[1:])

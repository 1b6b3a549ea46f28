"""AOTInductor: a two-tower model as a package that runs without its Python code."""

import shutil
from pathlib import Path

import pytest
import torch
from tests.support.keras_models import MODELS, feed

import batchdot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("g++") is None, reason="torch compiles packages with g++, and there is none"
    ),
    # torch's own
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


def test_a_two_tower_model_is_packaged_loaded_and_run(tmp_path: Path) -> None:
    model = MODELS["two_towers"](batchdot).eval()
    inputs = [torch.from_numpy(array) for array in feed(model)]
    batch = torch.export.Dim("batch", min=2, max=1024)
    with torch.no_grad():
        program = torch.export.export(model, (inputs,), dynamic_shapes={"args": (([{0: batch}] * 2),)})
        path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "towers.pt2"))
    packaged = torch._inductor.aoti_load_package(path)
    for size in (5, 2, 100):
        more = [torch.from_numpy(array) for array in feed(model, batch=size, seed=size)]
        torch.testing.assert_close(packaged(more), model(more).detach(), rtol=1e-5, atol=1e-6)

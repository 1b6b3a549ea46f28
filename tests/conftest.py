"""What the whole suite needs before anything is imported, and which tests this machine cannot run."""

import os
from collections.abc import Iterator

import pytest
import torch

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

torch.sparse.check_sparse_tensor_invariants.enable()  # torch warns until one says which

# What torch says once a process of parts of its own, whoever meets them first.
TORCH_WARNINGS = (
    "ignore:ComplexHalf support is experimental:UserWarning",
    "ignore:Sparse CS. tensor support is in beta state:UserWarning",
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    for warning in TORCH_WARNINGS:
        config.addinivalue_line("filterwarnings", warning)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device here"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _use_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Have plans made anew: with the native kernel where it has no reason against one, or by ATen alone."""
    from batchdot import kernels
    from batchdot.ops import arguments, plan_cache

    native, aten = kernels.KERNELS
    if name == "aten":
        monkeypatch.setattr(kernels, "AVAILABLE", (aten,))
    elif reasons := native.unavailable_reasons():
        pytest.skip(f"the native kernel is {reasons[0]}")
    arguments.clear()
    plan_cache.clear()
    yield name
    arguments.clear()
    plan_cache.clear()


@pytest.fixture
def native_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _use_kernel("native", monkeypatch)


@pytest.fixture
def aten_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _use_kernel("aten", monkeypatch)


@pytest.fixture(params=["native", "aten"])
def each_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _use_kernel(request.param, monkeypatch)

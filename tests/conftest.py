"""Set-up of the whole test suite: warnings, markers, recorded answers of Keras, and kernels."""

import gc
import random
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from tests.support import live_keras, triton_interpreter
from tests.support.keras_record import KerasSays, save

from batchdot import kernels
from batchdot.ops import arguments, plan_cache

KERNELS = {kernel.name: kernel for kernel in kernels.KERNELS}
NOT_CHOSEN = ("not asked for", "turned off")
"""How a reason begins that says that the kernel is not wanted; for any other a test is skipped."""
CHOSEN = [
    name
    for name, kernel in KERNELS.items()
    if not any(reason.startswith(NOT_CHOSEN) for reason in kernel.unavailable_reasons())
]

torch.sparse.check_sparse_tensor_invariants.enable()  # torch warns until one says which

# Warnings of torch, each given once a process, in the first test that causes it.
TORCH_WARNINGS = (
    "ignore:ComplexHalf support is experimental:UserWarning",
    "ignore:Sparse CS. tensor support is in beta state:UserWarning",
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning",
)


# Warnings of live Keras and TensorFlow, ignored in tests that are marked `keras`.
KERAS_WARNINGS = (
    "ignore::DeprecationWarning:tensorflow.*",
    "ignore::DeprecationWarning:tf_keras.*",
    "ignore::DeprecationWarning:keras.*",
    "ignore:.*:UserWarning:keras.*",
    "ignore:Do not pass an `input_shape`:UserWarning",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected: a third of its time, for objects that stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-keras", action="store_true", help="rewrite tests/data/keras, with -m keras")


def pytest_configure(config: pytest.Config) -> None:
    for warning in TORCH_WARNINGS:
        config.addinivalue_line("filterwarnings", warning)


@pytest.hookimpl(trylast=True)  # of the tests that -m and -k select
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = [name for name in live_keras.MODULES if find_spec(name) is None]
    if not torch.cuda.is_available():
        _skip_as_one(config, items, "cuda", "torch sees no CUDA device here")
    for item in items:
        if item.get_closest_marker("keras"):
            for warning in KERAS_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"{missing[0]} is missing: the extra `test-keras`"))


def _skip_as_one(config: pytest.Config, items: list[pytest.Item], marker: str, reason: str) -> None:
    """Skip the first test of each file with a marker, and deselect the others: one row says why."""
    found = [item for item in items if item.get_closest_marker(marker)]
    first = {item.path: item for item in reversed(found)}
    for item in first.values():
        item.add_marker(pytest.mark.skip(reason=reason))
    others = {item for item in found if item is not first[item.path]}
    config.hook.pytest_deselected(items=list(others))
    items[:] = [item for item in items if item not in others]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("--record-keras"):
        save(whole=exitstatus == pytest.ExitCode.OK and not session.config.option.keyword)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Give each test the same numbers alone as among others; Keras draws its seeds from `random`."""
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)  # torch.manual_seed formats three stack traces, 1 ms a test
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)


def pytest_runtest_setup(item: pytest.Item) -> None:
    live_keras.allowed = item.get_closest_marker("keras") is not None


@pytest.fixture(params=["recorded", pytest.param("live", marks=pytest.mark.keras)])
def keras_says(request: pytest.FixtureRequest) -> KerasSays:
    """Keras's answers: recorded ones, and in a second run of the test those of live Keras."""
    live = request.param == "live"
    return KerasSays(live, rewrite=live and request.config.getoption("--record-keras"))


def _use_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Empty the caches and make one kernel, followed by ATen for plans it does not support, the only ones."""
    if reasons := KERNELS[name].unavailable_reasons():
        pytest.skip(f"the {name} kernel is {reasons[0]}")
    monkeypatch.setattr(kernels, "AVAILABLE", tuple(dict.fromkeys((KERNELS[name], KERNELS["aten"]))))
    arguments.clear()
    plan_cache.clear()
    with torch.device("cuda") if name == "triton" else nullcontext():  # where its tensors have to be
        yield name
    arguments.clear()
    plan_cache.clear()


@pytest.fixture
def native_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _use_kernel("native", monkeypatch)


@pytest.fixture
def aten_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _use_kernel("aten", monkeypatch)


@pytest.fixture
def triton_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    triton_interpreter.use_on_the_cpu(monkeypatch)
    arguments.clear()
    plan_cache.clear()
    yield
    triton_interpreter.assert_sound()
    arguments.clear()
    plan_cache.clear()


@pytest.fixture(params=CHOSEN)
def each_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    yield from _use_kernel(request.param, monkeypatch)

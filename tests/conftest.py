"""What the whole suite needs before anything is imported, and which tests this machine cannot run."""

import os

import pytest
import torch

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

torch.sparse.check_sparse_tensor_invariants.enable()  # torch warns until one says which


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device here"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)

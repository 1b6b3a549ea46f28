"""Dispatch: the first handler that claims the inputs of a call runs it."""

import subprocess
import sys

import pytest
import torch

from batchdot import Input, batch_dot, dot
from batchdot.ops import handlers
from batchdot.ops.handlers import HANDLERS, Handler, register


class Quantity:
    """An input of a kind that batchdot does not know."""


@pytest.fixture
def _handlers():
    before = list(HANDLERS)
    yield
    HANDLERS[:] = before


def test_handlers_are_asked_in_order():
    names = [handler.name for handler in HANDLERS]
    assert names == ["symbolic", "constant in shape inference", "sharded", "sparse", "dense"]
    assert HANDLERS is handlers.HANDLERS


@pytest.mark.usefixtures("_handlers")
def test_registered_handler_runs_what_it_claims():
    claims = lambda operation, x, y: isinstance(x, Quantity)  # noqa: E731
    with pytest.raises(TypeError, match="Quantity"):
        batch_dot(Quantity(), torch.ones(2, 3))
    register(Handler("quantity", claims, lambda operation, x, y: (operation.function, operation.options)))
    assert batch_dot(Quantity(), 3, axes=1)[1]["axes"] == 1
    assert dot(Quantity(), 3) == ("dot", {})
    assert dot(torch.ones(2), torch.ones(2)) == 2
    register(Handler("quantity", claims, lambda operation, x, y: "replaced"))
    assert dot(Quantity(), 3) == "replaced"
    assert [handler.name for handler in HANDLERS].count("quantity") == 1


def test_symbolic_tensor_goes_before_other_kinds():
    assert batch_dot(Input((3,)), [[1.0, 2.0, 3.0]], axes=1).shape == (1, 1)
    assert dot(torch.eye(3).to_sparse(), Input((5,), batch_size=3)).shape == (3, 5)


SCRIPT = """
from batchdot import batch_dot
from batchdot.symbolic.tensor import KerasTensor
try:
    batch_dot(KerasTensor((2, 3)), KerasTensor((2, 3)), 1)
except RuntimeError as error:
    print(error)
import batchdot.layers
print(batch_dot(KerasTensor((2, 3)), KerasTensor((2, 3)), 1).shape)
"""


def test_symbolic_call_needs_layers():
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    refused, shape = result.stdout.splitlines()
    assert "import batchdot.layers first" in refused
    assert shape == "(2, 1)"

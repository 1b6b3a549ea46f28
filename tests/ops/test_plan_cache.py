"""The two caches: arguments -> Operation, and signature of the tensors -> plan."""

import pickle

import pytest
import torch

from batchdot import batch_dot, dot
from batchdot.layers import Dot
from batchdot.ops import arguments, dispatch, plan_cache
from batchdot.ops.arguments import OPERATION_CACHE_SIZE, batch_dot_operation
from batchdot.ops.plan_cache import PLAN_CACHE_SIZE


@pytest.fixture
def plans(monkeypatch):
    """Collect the plans that are made."""
    made = []
    select = dispatch.select_kernel
    monkeypatch.setattr(dispatch, "select_kernel", lambda p: made.append(p) or select(p))
    plan_cache.clear()
    return made


def test_second_call_makes_no_plan(plans):
    x, y = torch.randn(3, 17, 5), torch.randn(3, 5, 19)
    for _ in range(3):
        batch_dot(x, y, (2, 1))
        batch_dot(x.clone(), y.clone(), [2, 1])
        Dot((2, 1))([x, y])
    assert len(plans) == 1
    batch_dot(x, y, (2, 1), normalize=True)
    batch_dot(x, y, (2, 1), normalize=True, epsilon=1e-3)
    batch_dot(x.double(), y.double(), (2, 1))
    batch_dot(x[:2], y[:2], (2, 1))
    batch_dot(x.mT.contiguous().mT, y, (2, 1))
    batch_dot(x.to("meta"), y.to("meta"), (2, 1))
    assert len(plans) == 7
    assert len({id(p) for p in plans}) == 7


@pytest.mark.parametrize(
    "call", [lambda x, y: batch_dot(x, y, 1), dot, Dot(1)], ids=["batch_dot", "dot", "Dot"]
)
def test_clear_forgets_plans(call, plans):
    x = torch.randn(5, 5)
    for _ in range(2):
        call(x, x)
    plan_cache.clear()
    call(x, x)
    assert len(plans) == 2


def test_clear_forgets_operations():
    first = batch_dot_operation(1)
    assert batch_dot_operation(1) is first
    arguments.clear()
    assert batch_dot_operation(1) is not first
    assert batch_dot_operation(1) == first


def test_caches_are_bounded():
    operation = batch_dot_operation(1)
    y = torch.ones(1, 1)
    for size in range(PLAN_CACHE_SIZE + 10):
        x = torch.empty(1, 1, 1).as_strided((1, 1, 1), (size + 1, 1, 1))
        dispatch.run(operation, x, y)
    assert 0 < len(operation.plans.entries) <= PLAN_CACHE_SIZE
    for number in range(OPERATION_CACHE_SIZE + 10):
        batch_dot_operation(1, epsilon=1.0 + number)
    assert 0 < len(arguments._operations) <= OPERATION_CACHE_SIZE


def test_call_is_not_taken_for_another():
    x, y = torch.randn(2, 3, 3), torch.randn(2, 3, 3)
    swapped, cosines = torch.einsum("bik,bkj->bij", x, y), batch_dot(x, y, [1, 2], normalize=True)
    pair, axes = (2, 1), [1, 2]
    for _ in range(2):
        torch.testing.assert_close(batch_dot(x, y, pair), swapped)
        torch.testing.assert_close(batch_dot(x, y, axes), torch.einsum("bki,bjk->bij", x, y))
        axes.reverse()
        torch.testing.assert_close(batch_dot(x, y, axes), swapped)
        axes.reverse()
        torch.testing.assert_close(batch_dot(x, y, axes, normalize=True), cosines)
        assert batch_dot(x, y, 2, batch_dims=2).shape == (2, 3)
        assert batch_dot(x, y, 2).shape == (2, 3, 3)
        assert batch_dot(0 * x + 1, y, 1, normalize=True, epsilon=1e12).max() < 1e-5
        assert batch_dot(0 * x + 1, 0 * y + 1, 1, normalize=True).min() > 0.99
        with pytest.raises(ValueError, match="shared"):
            batch_dot(x, y, 1, batch_dims=2)


# Equal to arguments that are cached, and no integers.
WRONG = {
    "a bool axis": {"axes": True},
    "a bool in a pair": {"axes": (2, True)},
    "a bool before": {"axes": (True, 1)},
    "a float axis": {"axes": 1.0},
    "a float in a pair": {"axes": (2.0, 1)},
    "a bool in a group": {"axes": ((1, 2), (2, True))},
    "bool batch_dims": {"axes": 2, "batch_dims": True},
    "float batch_dims": {"axes": 2, "batch_dims": 1.0},
    "bool epsilon": {"axes": 2, "epsilon": True},
}


@pytest.mark.parametrize("name", WRONG)
def test_equal_argument_of_wrong_type_is_refused(name):
    x = torch.randn(2, 3, 3)
    for axes in (1, (2, 1), 2, ((1, 2), (2, 1))):
        batch_dot(x, x, axes)
        batch_dot(x, x, axes, epsilon=1.0)
    for _ in range(2):
        with pytest.raises((TypeError, ValueError)):
            batch_dot(x, x, **WRONG[name])


def test_operation_is_a_value():
    operation = batch_dot_operation((1, -1), normalize=True)
    assert operation == batch_dot_operation([1, -1], normalize=True)
    assert operation != batch_dot_operation((1, -1))
    assert hash(operation) == hash(batch_dot_operation([1, -1], normalize=True))
    assert "axes" in repr(operation)
    with pytest.raises(AttributeError):
        operation.epsilon = None
    plain = operation.without_normalization()
    assert plain.epsilon is None
    assert plain.plans is not operation.plans


def test_dot_layer_pickles_without_plans():
    layer = Dot(1)
    x = torch.ones(2, 3)
    layer([x, x])
    assert pickle.loads(pickle.dumps(layer))([x, x]).tolist() == [[3.0], [3.0]]


# What makes a cached call's tensors unlike themselves: each has to be noticed.
MODES = {
    "requires_grad": lambda call, x: torch.autograd.grad(call(x.requires_grad_()).sum(), x)[0],
    "torch.func.grad": lambda call, x: torch.func.grad(lambda t: call(t).sum())(x),
    "forward mode": lambda call, x: torch.func.jvp(call, (x,), (x,))[1],
    "dual tensors": lambda call, x: _dual(call, x),
    "vmap": lambda call, x: torch.vmap(lambda t: call(t[None])[0])(x),
    "autocast": lambda call, x: _autocast(call, x),
    "inference mode": lambda call, x: _inference(call, x),
}


def _dual(call, x):
    forward = torch.autograd.forward_ad
    with forward.dual_level():
        return forward.unpack_dual(call(forward.make_dual(x, x))).tangent


def _autocast(call, x):
    with torch.autocast("cpu", torch.bfloat16):
        return call(x)


def _inference(call, x):
    with torch.inference_mode():
        return call(x)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", MODES)
def test_cached_call_notices_mode(name, normalize):
    """As a call that nothing was cached for, entering the mode and after leaving it."""

    def call(x):
        return batch_dot(x, torch.ones(len(x), 5, 3), (2, 1), normalize=normalize)

    x = torch.randn(4, 2, 5)
    plan_cache.clear()
    wanted = MODES[name](call, x.clone())
    plain = torch.einsum("bik,bkj->bij", x, torch.ones(4, 5, 3))
    plan_cache.clear()
    for _ in range(3):
        before = call(x)
        assert not before.requires_grad
        if not normalize:
            torch.testing.assert_close(before, plain)
        torch.testing.assert_close(MODES[name](call, x.clone()), wanted)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensor_is_not_asked_for_its_strides(layout):
    """The guard's question for them ended the process."""
    x = torch.ones(2, 3, 4)
    nested = torch.nested.nested_tensor([torch.ones(3, 4), torch.ones(1, 4)], layout=layout)
    for call in (lambda a, b: batch_dot(a, b, 2), dot, Dot(2)):
        for _ in range(3):
            call(x, x.mT if call is dot else x)
        for pair in ((nested, x), (x, nested)):
            with pytest.raises(TypeError, match=r"nested|jagged"):
                call(*pair)

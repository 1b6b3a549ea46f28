"""What changes a call after calls that were nothing but `call`: alone, in a model, in a model inside one."""

import copy
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.graphs import Counter
from tests.support.tiers import one_of
from torch import Tensor, nn
from torch.nn.modules import module

import batchdot
from batchdot import layers

X = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
BASE = X.sum(1, keepdim=True)


def make() -> layers.Dense:
    return layers.Dense(1, use_bias=False, kernel_initializer="ones")


def in_model(layer: Any) -> Any:
    x = batchdot.Input((2,))
    return batchdot.Model(x, layer(layers.Activation("linear")(x)))


def in_model_in_model(layer: Any) -> Any:
    x = batchdot.Input((2,))
    return batchdot.Model(x, layers.Activation("linear")(in_model(layer)(x)))


PLACES = pytest.mark.parametrize(
    "place", [lambda layer: layer, in_model, in_model_in_model], ids=["alone", "model", "model in model"]
)


def warmed(call: Any, *inputs: Any) -> Any:
    """Return what has been called often enough to have no more to ask."""
    for _ in range(3):
        call(*(inputs or (X,)))
    return call


# Each change makes the layer's output twice as large, and returns what undoes it.

Change = Callable[[Any], Callable[[], Any]]


def _only(layer: Any, hook: Callable[..., Any]) -> Callable[..., Any]:
    return lambda called, *args: hook(called, *args) if called is layer else None


def _replace(name: str, make_new: Callable[[Any], Any]) -> Change:
    def change(layer: Any) -> Callable[[], Any]:
        before = getattr(layer, name)
        setattr(layer, name, make_new(layer))
        return lambda: setattr(layer, name, before)

    return change


def _replace_method(name: str) -> Change:
    def change(layer: Any) -> Callable[[], Any]:
        before = getattr(layer, name)
        setattr(layer, name, lambda *args: 2 * before(*args))
        return lambda: delattr(layer, name)

    return change


def _compile(layer: Any) -> Callable[[], Any]:
    def backend(graph: Any, _: Any) -> Any:
        return lambda *args: [2 * out for out in graph(*args)]

    torch.compiler.reset()
    layer.compile(backend=backend)
    torch.testing.assert_close(layer.forward(X), BASE)  # which is not what was compiled
    return lambda: setattr(layer, "_compiled_call_impl", None)


def _load(layer: Any) -> Callable[[], Any]:
    before = layer.state_dict()
    layer.load_state_dict({"kernel": torch.full((2, 1), 2.0)}, assign=True)
    return lambda: layer.load_state_dict(before, assign=True)


def _parametrize(layer: Any) -> Callable[[], Any]:
    class Twice(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 2 * weight

    nn.utils.parametrize.register_parametrization(layer, "kernel", Twice())
    return lambda: nn.utils.parametrize.remove_parametrizations(layer, "kernel", leave_parametrized=False)


def _in_place(layer: Any) -> Callable[[], Any]:
    with torch.no_grad():
        layer.kernel.mul_(2)
    return lambda: layer.kernel.data.div_(2)


class Louder(layers.Dense):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return 2 * super().forward(*args, **kwargs)


CHANGES: dict[str, Change] = {
    "hook": lambda layer: layer.register_forward_hook(lambda _, args, out: 2 * out).remove,
    "hook before": lambda layer: layer.register_forward_pre_hook(lambda _, args: (2 * args[0],)).remove,
    "hook with keywords": lambda layer: (
        layer.register_forward_hook(lambda _, args, kwargs, out: 2 * out, with_kwargs=True).remove
    ),
    "global hook": lambda layer: (
        module.register_module_forward_hook(_only(layer, lambda _, args, out: 2 * out)).remove
    ),
    "global hook before": lambda layer: (
        module.register_module_forward_pre_hook(_only(layer, lambda _, args: (2 * args[0],))).remove
    ),
    "table of hooks": _replace("_forward_hooks", lambda _: OrderedDict({0: lambda _, args, out: 2 * out})),
    "compiled": _compile,
    "forward": _replace_method("forward"),
    "call": _replace_method("call"),
    "class": _replace("__class__", lambda _: Louder),
    "activation": _replace("activation", lambda _: lambda x: 2 * x),
    "weight": _replace("kernel", lambda _: nn.Parameter(torch.full((2, 1), 2.0))),
    "weight in place": _in_place,
    "state": _load,
    "parametrization": _parametrize,
}


@PLACES
@pytest.mark.parametrize("name", CHANGES)
def test_change_after_calls_heeded_and_undone(name: str, place: Any) -> None:
    layer = make()
    call = warmed(place(layer))
    for _ in range(2):
        undo = CHANGES[name](layer)
        for _ in range(3):
            torch.testing.assert_close(call(X), 2 * BASE)
        undo()
        for _ in range(3):
            torch.testing.assert_close(call(X), BASE)


# Hooks that come later a compiled call passes over, as torch.compile does by default.
LATER = [name for name in CHANGES if "hook" not in name and name != "compiled"]


@PLACES
@pytest.mark.parametrize("name", one_of(2, LATER))
def test_change_after_compile_heeded_and_undone(name: str, place: Any) -> None:
    torch.compiler.reset()
    layer = make()
    compiled = torch.compile(warmed(place(layer)), backend="eager")
    torch.testing.assert_close(compiled(X), BASE)
    for _ in range(2):
        undo = CHANGES[name](layer)
        torch.testing.assert_close(compiled(X), 2 * BASE)
        undo()
        torch.testing.assert_close(compiled(X), BASE)


@PLACES
def test_compiled_call_runs_present_hooks(place: Any) -> None:
    torch.compiler.reset()
    layer = make()
    call = warmed(place(layer))
    layer.register_forward_hook(lambda _, args, out: 2 * out)
    torch.testing.assert_close(torch.compile(call, backend="eager")(X), 2 * BASE)


@PLACES
def test_mode_changes_do_not_recompile(place: Any) -> None:
    layer = make()
    call = warmed(place(layer))
    counter = Counter()
    torch.compiler.reset()
    compiled = torch.compile(call, backend=counter)
    for mode in (True, False, True, False):
        call.train(mode)
        torch.testing.assert_close(compiled(X), call(X))
    assert counter.graphs <= 2  # of a mode each


@PLACES
def test_a_compiled_function_takes_other_weights(place: Any) -> None:
    torch.compiler.reset()
    call = warmed(place(make()))
    (key,) = dict(call.named_parameters())

    def function(weight: Tensor) -> Any:
        return torch.func.functional_call(call, {key: weight}, (X,))

    compiled = torch.compile(function, backend="eager", fullgraph=True)
    for factor in (2.0, 3.0):
        torch.testing.assert_close(compiled(torch.full((2, 1), factor)), factor * BASE)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("place", [in_model, in_model_in_model])
def test_exported_model_keeps_weight_names(place: Any, strict: bool) -> None:
    model = place(make())
    program = torch.export.export(model, (X,), strict=strict)
    assert list(program.state_dict) == list(model.state_dict())
    torch.testing.assert_close(program.module()(X), BASE)


BACKWARD: dict[str, Callable[[Any, Any], Any]] = {
    "own": lambda layer, hook: layer.register_full_backward_hook(hook),
    "own, before": lambda layer, hook: layer.register_full_backward_pre_hook(hook),
    "global": lambda layer, hook: module.register_module_full_backward_hook(_only(layer, hook)),
    "global, before": lambda layer, hook: module.register_module_full_backward_pre_hook(_only(layer, hook)),
}


@PLACES
@pytest.mark.parametrize("name", BACKWARD)
def test_hooks_of_the_backward_pass_fire_and_stop(name: str, place: Any) -> None:
    layer, fired = make(), []
    call, x = warmed(place(layer)), X.clone().requires_grad_()
    for count in (2, 4):
        handle = BACKWARD[name](layer, lambda *_: fired.append(1))
        call(x).sum().backward(), call(x).sum().backward()
        handle.remove()
        call(x).sum().backward()
        assert len(fired) == count


def test_a_model_has_hooks_of_its_own() -> None:
    inner = in_model(make())
    x = batchdot.Input((2,))
    outer = warmed(batchdot.Model(x, inner(x)))
    for model in (inner, outer):
        handle = model.register_forward_hook(lambda _, args, out: 2 * out)
        torch.testing.assert_close(outer(X), 2 * BASE)
        handle.remove()
        torch.testing.assert_close(outer(X), BASE)


@PLACES
def test_a_call_with_care_in_between_hides_no_change(place: Any) -> None:
    layer = make()
    call = warmed(place(layer))
    layer(X, training=True)
    layer.activity_regularizer = torch.sum
    call(X)
    assert len(call.losses) == 1


@PLACES
def test_losses_come_and_go_with_the_regularizer(place: Any) -> None:
    layer = make()
    call = warmed(place(layer))
    for _ in range(2):
        layer.activity_regularizer = torch.sum
        for scale in (1.0, 2.0, 3.0):
            call(scale * X)
            assert [loss.item() for loss in call.losses] == [scale * BASE.sum().item() / 2]
        layer.activity_regularizer = None
        call(X)
        assert call.losses == []


def test_losses_of_both_calls_of_inner_model() -> None:
    layer = make()
    inner = in_model(layer)
    x = batchdot.Input((2,))
    outer = warmed(batchdot.Model(x, layers.Add()([inner(x), inner(x)])))
    layer.activity_regularizer = torch.sum
    for _ in range(2):
        outer(X)
        assert [loss.item() for loss in outer.losses] == [BASE.sum().item() / 2] * 2


@PLACES
def test_a_dtype_and_a_cast_set_later_hold(place: Any) -> None:
    layer = make()
    call = warmed(place(layer))
    layer.double()
    assert call(X).dtype == torch.float64
    layer.float()
    assert call(X).dtype == torch.float32
    adder = layers.Add()
    warmed(adder, [X, X])
    adder.autocast = True
    for _ in range(3):
        assert adder([X.double(), X.double()]).dtype == torch.float32


@PLACES
def test_functional_call_and_vmap_take_other_weights(place: Any) -> None:
    call = warmed(place(make()))
    (key,) = dict(call.named_parameters())
    for factor in (2.0, 3.0):
        out = torch.func.functional_call(call, {key: torch.full((2, 1), factor)}, (X,))
        torch.testing.assert_close(out, factor * BASE)
    torch.testing.assert_close(call(X), BASE)
    many = torch.arange(3.0).reshape(3, 1, 1).expand(3, 2, 1)
    out = torch.vmap(lambda weight: torch.func.functional_call(call, {key: weight}, (X,)))(many)
    torch.testing.assert_close(out, torch.stack([factor * BASE for factor in range(3)]))


@PLACES
def test_tied_weights_stay_tied(place: Any) -> None:
    one, other = make(), make()
    calls = [warmed(place(one)), warmed(place(other))]
    other.kernel = one.kernel
    sum(call(X).sum() for call in calls).backward()
    assert torch.equal(one.kernel.grad, 2 * X.sum(0).unsqueeze(1))
    with torch.no_grad():
        one.kernel.mul_(2)
    torch.testing.assert_close(calls[1](X), 2 * BASE)


@PLACES
def test_the_mode_is_asked_for_at_every_call(place: Any) -> None:
    ones = torch.ones(50, 2)
    call = warmed(place(layers.Dropout(0.5)), ones)
    for _ in range(2):
        assert set(call(ones).unique().tolist()) == {0.0, 2.0}
        assert torch.equal(call.eval()(ones), ones)
        assert set(call(ones, training=True).unique().tolist()) == {0.0, 2.0}
        assert torch.equal(call(ones), ones)
        call.train()


@PLACES
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_called_by_itself(again: Any, place: Any) -> None:
    layer = make()
    call = warmed(place(layer))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = again(call)
    torch.testing.assert_close(other(X), BASE)
    copied = next(inner for inner in other.modules() if isinstance(inner, layers.Dense))
    handle = module.register_module_forward_hook(_only(copied, lambda _, args, out: 2 * out))
    torch.testing.assert_close(other(X), 2 * BASE)
    handle.remove()
    if again is not copy.copy:  # whose weights and hooks are those of the original
        layer.register_forward_hook(lambda _, args, out: 2 * out)
        torch.testing.assert_close(other(X), BASE)
        torch.testing.assert_close(call(X), 2 * BASE)
        with torch.no_grad():
            next(iter(other.parameters())).mul_(3)
        torch.testing.assert_close(other(X), 3 * BASE)


def test_compiled_layer_copied_uncompiled() -> None:
    layer = warmed(make())
    _compile(layer)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(other(X), BASE)


class Called(layers.Activation):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        out = super().__call__(*args, **kwargs)
        return 2 * out if isinstance(out, Tensor) else out


class Forwarded(layers.Activation):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = super().forward(*args, **kwargs)
        return 2 * out if isinstance(out, Tensor) else out


@PLACES
@pytest.mark.parametrize("kind", [Called, Forwarded])
def test_a_subclass_that_calls_differently_is_heard(kind: Any, place: Any) -> None:
    call = place(kind("linear"))
    for _ in range(3):
        torch.testing.assert_close(call(X), 2 * X)


class Quiet(layers.Dense):
    """A subclass that adds a loss, by a function of another module, only for large inputs."""

    def call(self, inputs: Tensor) -> Any:
        if inputs.sum() > 100:
            penalize(self, inputs)
        return super().call(inputs)


def penalize(layer: Any, inputs: Tensor) -> None:
    layer.add_loss(inputs.sum())


@PLACES
def test_subclass_of_a_built_in_layer_loss_added_later_is_of_that_call(place: Any) -> None:
    """It does not inherit the promise that its `call` adds none."""
    layer = Quiet(1, use_bias=False, kernel_initializer="ones")
    call = warmed(place(layer))
    for scale, count in ((1, 0), (100, 1), (100, 1), (1, 0)):
        call(scale * X)
        assert len(layer.losses) == count
    layer.add_loss(1.0)  # outside a call
    call(X)
    assert len(layer.losses) == 1


class Loud(layers.Layer):
    def call(self, inputs: Tensor) -> Tensor:
        self.add_loss(inputs.sum())
        return inputs


@pytest.mark.parametrize("compiled", [False, True])
def test_layer_called_from_a_call_of_another_keeps_losses_of_the_latest_call(compiled: bool) -> None:
    """It is no attribute of the other, which could not find it."""
    torch.compiler.reset()
    inner = Loud()

    class Outer(layers.Layer):
        def call(self, inputs: Tensor) -> Any:
            return inner(inner(inputs))

    outer = Outer()
    call = torch.compile(outer, backend="eager", fullgraph=True) if compiled else outer
    for scale in (1.0, 2.0, 3.0):
        call(scale * X)
        assert [loss.item() for loss in inner.losses] == [scale * X.sum().item()] * 2


@pytest.mark.parametrize("method", ["register_forward_hook", "register_forward_pre_hook"])
def test_hook_of_a_fast_layer_in_a_compiled_function_made_before_fires(method: str) -> None:
    torch.compiler.reset()
    layer, fired = warmed(make()), []
    getattr(layer, method)(lambda *_: fired.append(1))
    torch.compile(layer, backend="eager")(X)
    assert fired == [1]


class Lazy(layers.Layer):
    """A layer that makes a layer in its first call."""

    def call(self, inputs: Tensor) -> Any:
        if not hasattr(self, "inner"):
            self.inner = layers.Dropout(0.5)
        return self.inner(inputs)


def test_a_layer_made_in_a_call_is_told_of_training() -> None:
    layer, ones = Lazy(), torch.ones(50, 2)
    warmed(layer, ones)
    assert torch.equal(layer(ones, training=False), ones)
    assert not torch.equal(layer(ones, training=True), ones)


# What layers return that is no tensor, beside tensors or in place of them.


class Beside(layers.Layer):
    def call(self, inputs: Tensor) -> Any:
        return [None, inputs, 3, inputs + 1]


class Array(layers.Layer):
    """A layer whose value is an array where it has numbers."""

    def call(self, inputs: Tensor) -> Any:
        return inputs if inputs.is_meta else inputs.detach().numpy() * 2


class Weight(layers.Layer):
    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight("table", (2, 2), initializer="ones")

    def call(self, inputs: Tensor) -> Any:
        return self.table


def test_what_is_no_tensor_moves_no_values() -> None:
    x = batchdot.Input((2,))
    _, first, three, second = Beside()(x)
    assert three == 3
    model = batchdot.Model(x, [layers.Subtract()([second, first]), first])
    for _ in range(3):
        difference, same = model(X)
        torch.testing.assert_close(difference, torch.ones_like(X))
        torch.testing.assert_close(same, X)


def test_an_array_in_between_becomes_a_tensor() -> None:
    x = batchdot.Input((2,))
    layer = Array()
    model = batchdot.Model(x, layers.Add()([layers.Activation("relu")(layer(x)), x]))
    for _ in range(4):
        torch.testing.assert_close(model(X), 3 * X)


def test_a_parameter_in_between_is_a_tensor() -> None:
    x = batchdot.Input((2,))
    model = batchdot.Model(x, layers.Add()([Weight()(x), x]))
    for _ in range(4):
        torch.testing.assert_close(model(X), X + 1)
        torch.testing.assert_close(model(nn.Parameter(X)), X + 1)


INPUTS: dict[str, Callable[[Tensor, Tensor], tuple[Any, ...]]] = {
    "list": lambda x, y: ([x, y],),
    "tuple": lambda x, y: ((x, y),),
    "one by one": lambda x, y: (x, y),
    "by name": lambda x, y: ({"right": y, "left": x},),
    "arrays": lambda x, y: ([x.numpy(), y.numpy()],),
    "numbers": lambda x, y: ([x.tolist(), y.tolist()],),
    "a tensor and an array": lambda x, y: ([x, y.numpy()],),
    "parameters": lambda x, y: ([nn.Parameter(x), nn.Parameter(y)],),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_of_every_kind_after_lists_of_tensors(name: str) -> None:
    left, right = batchdot.Input((2,), name="left"), batchdot.Input((2,), name="right")
    model = batchdot.Model([left, right], {"out": layers.Subtract()([left, right])})
    warmed(model, [X, X])
    for _ in range(2):
        out = model(*INPUTS[name](3 * X, X))
        torch.testing.assert_close(out["out"], 2 * X)
    with pytest.raises(ValueError, match=r"has 2 inputs\. Received: 3"):
        model([X, X, X])


def test_unfit_inputs_raise_in_later_calls() -> None:
    model = warmed(in_model(make()))
    with pytest.raises(ValueError, match=r"has shape \(2,\) instead of \(None, 2\)"):
        model(X[0])
    with pytest.raises(ValueError, match=r"has 1 input\. Received: 2"):
        model([X, X])
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 2"):
        model(torch.ones(1, 3))
    torch.testing.assert_close(model(X), BASE)


def test_a_model_of_2000_layers_runs_and_is_copied() -> None:
    x = batchdot.Input((2,))
    value = x
    for index in range(2000):
        value = layers.Activation("linear")(value) if index % 2 else layers.Add()([value, x])
    model = warmed(batchdot.Model(x, value))
    for again in (model, copy.deepcopy(model)):
        for _ in range(3):
            torch.testing.assert_close(again(X), 1001 * X)


@pytest.fixture
def _traced() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and in use
        yield


@pytest.mark.usefixtures("_traced")
@PLACES
def test_jit_trace_sees_the_layers(place: Any) -> None:
    class Outer(nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Any:
            return self.inner(x)

    call = warmed(place(make()))
    traced = torch.jit.trace(Outer(call), (X,))
    torch.testing.assert_close(traced(2 * X), 2 * BASE)
    (dense,) = [inner for inner in traced.modules() if inner.original_name == "Dense"]
    assert "aten::linear" in str(dense.graph)


def test_predict_changes_the_mode_and_back() -> None:
    x = batchdot.Input((2,))
    model = batchdot.Model(x, layers.Dropout(0.5)(x))
    warmed(model, torch.ones(50, 2))
    assert np.array_equal(model.predict(np.ones((50, 2))), np.ones((50, 2)))
    assert not torch.equal(model(torch.ones(50, 2)), torch.ones(50, 2))

"""Layers that users write: eager, in a graph, from a config, and as the torch modules that they are."""

import copy
import io
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import batchdot as keras
from batchdot import Dot, Input, Layer, Model
from batchdot.layers.base.naming import clear_names, snake_case


@pytest.fixture(autouse=True)
def _fresh_names() -> Iterator[None]:
    clear_names()
    yield
    clear_names()


class Affine(Layer):
    """Has what a weight may have: a regularizer, a constraint, a count that is not trained."""

    def __init__(self, units: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.units), regularizer="l2")
        self.shift = self.add_weight("bias", (self.units,), initializer="zeros", constraint="non_neg")
        self.seen = self.add_weight("seen", (), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        return inputs @ self.kernel + self.shift

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"units": self.units}


class Gate(Layer):
    """Does in training, and where it is given a mask, something else."""

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        if mask is not None:
            inputs = inputs * mask
        return inputs * 2 if training else inputs


class Penalized(Layer):
    """Adds losses in a call, in ways that `extra` says."""

    def __init__(self, extra: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extra = extra

    def call(self, inputs: Any) -> Any:
        self.add_loss(inputs.sum())
        self.add_loss([2.0, None, (inputs * 0).sum()])
        if self.extra == "conditional":
            self.add_loss(inputs.mean(), inputs=inputs)
        if self.extra == "callable":
            self.add_loss(lambda: 5.0)
        return inputs


class PenalizedElsewhere(Layer):
    def call(self, inputs: Any) -> Any:
        return self.penalize(inputs)

    def penalize(self, inputs: Any) -> Any:
        if inputs.sum() > 0:
            self.add_loss(inputs.sum())
        return inputs


class Tower(Layer):
    """Layers inside, of both kinds, one of them made in build, some in a list."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = Affine(3)
        self.linear = nn.Linear(3, 3)
        self.blocks = nn.ModuleList([Affine(3), nn.Linear(3, 3)])

    def build(self, input_shape: Any) -> None:
        self.last = Affine(2)

    def call(self, inputs: Any) -> Any:
        hidden = self.linear(self.first(inputs))
        for block in self.blocks:
            hidden = block(hidden)
        return self.last(hidden)


CUSTOM = {cls.__name__: cls for cls in (Affine, Gate, Penalized, Tower)}


def real(*sizes: int) -> Tensor:
    return torch.arange(1.0, 1 + np.prod(sizes)).reshape(sizes)


def refused(kind: type[Exception], text: str, function: Any, *args: Any, **kwargs: Any) -> None:
    """Check that a call raises exactly this."""
    with pytest.raises(kind) as caught:
        function(*args, **kwargs)
    assert type(caught.value) is kind
    assert str(caught.value) == text


# Eager, in a graph, from a config.


@pytest.mark.parametrize("make", [Affine, Tower, Gate, lambda: Affine(2, activity_regularizer="l1")])
def test_subclass_same_eager_symbolic_from_config(make: Any) -> None:
    layer, x = make().eval(), torch.randn(5, 3)
    x_in = Input((3,))
    model = Model(x_in, layer(x_in)).eval()
    wanted = layer(x)
    assert torch.equal(model(x), wanted)
    assert model.output_shape == (None, *wanted.shape[1:])
    for again in (
        keras.models.model_from_json(model.to_json(), CUSTOM),
        Model.from_config(model.get_config(), CUSTOM),
    ):
        again.eval().set_weights(model.get_weights())
        assert torch.equal(again(x), wanted)
        assert [inner.name for inner in again.layers] == [inner.name for inner in model.layers]
        torch.testing.assert_close(again.losses, model.losses)
    alone = type(layer).from_config(layer.get_config()).eval()
    alone(x)
    alone.set_weights(layer.get_weights())
    assert torch.equal(alone(x), wanted)


def test_weight_named_by_its_attribute() -> None:
    layer = Affine()
    layer(real(2, 3))
    assert [name for name, _ in layer.named_parameters()] == ["kernel", "shift"]
    assert [name for name, _ in layer.named_buffers()] == ["seen"]
    assert list(layer.state_dict()) == ["kernel", "shift", "seen"]
    for mine, theirs in zip(layer.weights, [layer.kernel, layer.shift, layer.seen], strict=True):
        assert mine is theirs
    assert [len(layer.trainable_weights), len(layer.non_trainable_weights)] == [2, 1]
    assert layer.count_params() == 3 * 4 + 4 + 1
    assert [w.shape for w in layer.get_weights()] == [(3, 4), (4,), ()]


def test_weight_with_two_attributes_or_none() -> None:
    class Two(Layer):
        def build(self, input_shape: Any) -> None:
            self.one = self.other = self.add_weight("w", (1,), initializer="ones")
            self.count = self.total = self.add_weight("c", (1,), initializer="ones", trainable=False)
            self.add_weight("nameless", (1,), initializer="ones")
            self.add_weight("nameless", (1,), initializer="ones")

        def call(self, inputs: Any) -> Any:
            return inputs * self.one * self.other * self.count * self.total * self.nameless

    layer = Two()
    assert layer(real(1, 1)).item() == 1
    assert len(layer.weights) == 4
    assert {"one", "other", "count", "total", "nameless", "nameless_1"} == set(layer.state_dict())
    layer.double()
    assert layer.count.dtype == layer.total.dtype == torch.float64
    assert layer.one is layer.other


def test_regularizer_on_access_constraint_on_request() -> None:
    layer = Affine()
    layer(real(2, 3))
    before = layer.losses[0].item()
    assert before == pytest.approx(0.01 * layer.kernel.square().sum().item())
    with torch.no_grad():
        layer.kernel.mul_(2)
        layer.shift.fill_(-1)
    assert layer.losses[0].item() == pytest.approx(4 * before)
    layer.apply_constraints()
    assert layer.shift.tolist() == [0.0] * 4


@pytest.mark.parametrize("how", [{"trainable": False}, {"synchronization": "ON_READ"}])
def test_untrained_weight_not_trainable(how: Any) -> None:
    layer = Layer()
    weight = layer.add_weight("w", (2,), initializer="ones", **how)
    assert not isinstance(weight, nn.Parameter)
    assert not weight.requires_grad
    assert layer.trainable_weights == []
    assert layer.non_trainable_weights[0] is weight


def test_on_read_is_read_from_an_enumeration_too() -> None:
    class Synchronization:
        name = "ON_READ"

    assert not Layer().add_weight("w", (1,), synchronization=Synchronization()).requires_grad


BAD_WEIGHTS = [
    ({"shape": (None, 2)}, "Layer layer cannot make weight 'w' of an unknown size: (None, 2)."),
    (
        {"shape": (2,), "initializer": lambda shape, dtype: torch.ones(3)},
        "Layer layer asked for weight 'w' of shape (2,), and its initializer gave (3,).",
    ),
    (
        {"shape": (2,), "dtype": "floatish"},
        "An initializer for variable w of type floatish is required for layer layer.",
    ),
    (
        {"shape": (2,), "dtype": "string", "initializer": "ones"},
        "Layer layer cannot make weight 'w' of dtype 'string'.",
    ),
]


@pytest.mark.parametrize(("arguments", "text"), BAD_WEIGHTS)
def test_add_weight_bad_argument_raises(arguments: Any, text: str) -> None:
    refused(ValueError, text, Layer().add_weight, "w", **arguments)


def test_failed_build_leaves_no_weights() -> None:
    class Fails(Affine):
        fail = True

        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.inner = Affine()
            if self.fail:
                raise ValueError("not now")

    layer = Fails()
    for _ in range(2):
        with pytest.raises(ValueError, match="not now"):
            layer(real(2, 3))
    assert (layer.built, layer.weights, list(layer.children())) == (False, [], [])
    layer.fail = False
    layer(real(2, 3))
    with pytest.warns(UserWarning, match="self.declare_weight"):  # of `inner`, which is never called
        assert list(layer.state_dict()) == ["kernel", "shift", "seen"]


# Training and masks.


def test_training_and_mask_by_name_or_position() -> None:
    layer, x = Gate(), real(2, 3)
    mask = torch.tensor([[1.0], [0.0]])
    assert torch.equal(layer(x), 2 * x)  # a module that trains
    assert torch.equal(layer(x, training=False), x)
    assert torch.equal(layer(x, None, False), x)
    assert torch.equal(layer(x, mask, True), 2 * x * mask)
    assert torch.equal(layer(x, mask=mask, training=False), x * mask)
    layer.eval()
    assert torch.equal(layer(x), x)
    assert torch.equal(layer(x, training=True), 2 * x)
    x_in = Input((3,))
    assert torch.equal(Model(x_in, layer(x_in, None, True)).eval()(x), 2 * x)
    assert torch.equal(Model(x_in, layer(x_in, training=True)).eval()(x), 2 * x)


def test_training_argument_reaches_inner_layers() -> None:
    class Around(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Gate()

        def call(self, inputs: Any) -> Any:
            return self.inner(inputs)

    layer, x = Around(), real(2, 3)
    x_in = Input((3,))
    for outer in (layer, Model(x_in, layer(x_in))):
        assert torch.equal(outer(x, training=False), x)
        assert torch.equal(outer(x, training=True), 2 * x)
        assert torch.equal(outer.eval()(x), x)
        assert torch.equal(outer.train()(x), 2 * x)


def test_call_returning_none_raises() -> None:
    class Nothing(Layer):
        def call(self, inputs: Any) -> Any:
            pass

    says = "The `call` of layer nothing returned None: it should return a tensor, or several."
    refused(ValueError, says, Nothing(), real(1))


def test_layer_without_call_raises() -> None:
    refused(NotImplementedError, "Layer does not define `call`.", Layer(), real(1, 1))


def test_arrays_and_lists_take_the_layer_dtype() -> None:
    for layer in (Affine(), Affine().double(), Affine(dtype="float64"), Affine(dtype="float32").double()):
        kind = getattr(torch, layer.dtype)
        assert layer(np.ones((2, 3))).dtype == kind
        assert layer([[1.0, 2.0, 3.0]]).dtype == kind
    kinds = [Affine().dtype, Affine().double().dtype, Affine().half().dtype]
    assert kinds == ["float32", "float64", "float16"]


def test_input_cast_to_given_dtype_only() -> None:
    x = real(2, 3)
    assert Gate()(x.double()).dtype == torch.float64
    assert Gate()(x.half()).dtype == torch.float16
    assert Gate(dtype="float64")(x).dtype == torch.float64
    assert Gate(dtype="float64")(x.int()).dtype == torch.int32
    assert Gate(dtype="float64", autocast=False)(x).dtype == torch.float32


# Losses and updates.


def losses_of(layer: Any) -> list[float]:
    return [loss.item() for loss in layer.losses]


def test_losses_of_a_call_are_those_of_the_latest() -> None:
    layer = Penalized()
    for step in range(1, 4):
        layer(torch.full((2,), float(step)))
        assert losses_of(layer) == [2 * step, 2, 0]


LOSSES = [3.0, 3, torch.tensor(3.0), lambda: 3.0, lambda: torch.tensor(3.0), np.float32(3)]


@pytest.mark.parametrize("loss", LOSSES, ids=range(len(LOSSES)))
def test_losses_outside_a_call_stay(loss: Any) -> None:
    layer = Penalized()
    layer.add_loss(loss)
    layer.add_loss([loss, (loss,)])
    for _ in range(3):
        layer(torch.zeros(2))
    assert losses_of(layer) == [3, 3, 3, 0, 2, 0]
    assert all(isinstance(value, Tensor) for value in layer.losses)


def test_callable_loss_evaluated_on_access() -> None:
    layer, count = Layer(), iter([1.0, 2.0, 3.0])
    layer.add_loss(lambda: next(count))
    assert [losses_of(layer), losses_of(layer), layer.get_losses_for(None)[0].item()] == [[1], [2], 3]


def test_conditional_losses_by_inputs() -> None:
    layer, x = Penalized("conditional"), real(4)
    layer(x)
    assert [loss.item() for loss in layer.get_losses_for(x)] == [2.5]
    assert [loss.item() for loss in layer.get_losses_for(None)] == [10, 2, 0]
    assert layer.get_losses_for(real(4)) == []
    # In a graph: of two calls, each has its own.
    shared = Penalized("conditional")
    a, b = Input((4,)), Input((4,))
    shared(a), shared(b)
    (of_a,), (of_b,) = shared.get_losses_for(a), shared.get_losses_for(b)
    assert of_a is not of_b
    assert shared.get_losses_for([a, b]) == [of_a, of_b]
    assert shared.get_losses_for(Input((4,))) == []
    assert len(shared.get_losses_for(None)) == 6


def test_losses_added_by_other_function_replaced() -> None:
    def penalize(layer: Any, inputs: Any) -> Any:
        if inputs.sum() > 0:
            layer.add_loss(inputs.sum())
        return inputs

    class Outside(Layer):
        def call(self, inputs: Any) -> Any:
            return penalize(self, inputs)

    for layer in (PenalizedElsewhere(), Outside()):
        layer(torch.zeros(2))  # the first call adds nothing
        for step in range(1, 4):
            layer(torch.full((2,), float(step)))
            assert losses_of(layer) == [2 * step]
        layer(torch.zeros(2))
        assert losses_of(layer) == []


def test_losses_do_not_pile_up_over_a_training_loop() -> None:
    x_in = Input((3,))
    shared = Affine(3, activity_regularizer="l2")
    model = Model(x_in, Penalized("callable")(Tower()(shared(shared(x_in)))))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    counts, totals = [], []
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(real(2, 3)).square().mean() + sum(model.losses)
        loss.backward()
        optimizer.step()
        counts.append(len(model.losses))
        totals.append(loss.item())
    # 4 kernels, 2 calls with an activity, 4 of Penalized
    assert counts == [10] * 5
    assert totals[-1] < totals[0]


def test_activity_loss_divided_by_batch() -> None:
    layer = Affine(2, activity_regularizer=lambda output: output.sum())
    for size in (2, 8):
        out = layer(real(size, 3))
        torch.testing.assert_close(layer.losses[0], out.sum() / size)
        assert len(layer.losses) == 2
    x_in = Input((3,))
    fresh = Affine(2, activity_regularizer=lambda output: output.sum())
    model = Model(x_in, fresh(x_in))
    assert len(fresh.get_losses_for(x_in)) == 1
    out = model(real(4, 3))
    assert len(model.losses) == 2
    torch.testing.assert_close(model.losses[0], out.sum() / 4)


def test_activity_loss_of_shared_layer_per_call() -> None:
    x_in, y_in = Input((3,)), Input((3,))
    layer = Affine(2, activity_regularizer=torch.sum)
    model = Model([x_in, y_in], [layer(x_in), layer(y_in)])
    one, two = model([real(4, 3), 2 * real(4, 3)])
    wanted = sorted([one.sum() / 4, two.sum() / 4])
    torch.testing.assert_close(sorted(model.losses[:2]), wanted)
    assert len(model.losses) == 3


def test_activity_regularizer_changed_after_call() -> None:
    layer = Dot(1)
    layer(real(2, 3), real(2, 3))
    layer.activity_regularizer = torch.sum
    out = layer(real(2, 3), real(2, 3))
    assert losses_of(layer) == [out.sum().item() / 2]
    layer.activity_regularizer = None
    layer(real(2, 3), real(2, 3))
    assert losses_of(layer) == []


def test_losses_have_gradients() -> None:
    layer = Affine(activity_regularizer="l2")
    layer(real(2, 3))
    sum(layer.losses).backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_updates_symbolic_kept_eager_ignored() -> None:
    class Counts(Layer):
        def build(self, input_shape: Any) -> None:
            self.count = self.add_weight("count", (), initializer="zeros", trainable=False)

        def call(self, inputs: Any) -> Any:
            self.add_update(self.count + 1, inputs=inputs)
            self.add_update([self.count + 2])
            return inputs

    layer = Counts()
    layer(real(1, 2))
    assert layer.updates == []
    a, b = Input((2,)), Input((2,))
    layer(a), layer(b)
    assert len(layer.updates) == 4
    assert len(layer.get_updates_for(a)) == len(layer.get_updates_for(b)) == 1
    assert len(layer.get_updates_for(None)) == 2
    around = Tower()
    around.blocks.append(layer)
    around.again = layer
    assert len(around.updates) == 4
    layer.trainable = False
    assert (layer.updates, layer.get_updates_for(a), layer.get_updates_for(None)) == ([], [], [])


# What PyTorch owns.


def copies(module: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    return {
        "deepcopy": copy.deepcopy(module),
        "pickle": pickle.loads(pickle.dumps(module)),
        "torch.save": torch.load(buffer, weights_only=False),
    }


@pytest.mark.parametrize("called", ["never", "eager", "symbolic"])
def test_layer_copy_has_weights_without_nodes(called: str) -> None:
    layer = Tower(name="tower")
    if called == "eager":
        layer(real(5, 3))
    if called == "symbolic":
        layer(Input((3,)))
    for name, other in copies(layer).items():
        assert other.name == "tower"
        assert other.inbound_nodes == [], name
        if called != "never":
            assert torch.equal(other(real(5, 3)), layer(real(5, 3))), name
            own = {weight.data_ptr() for weight in layer.weights}
            assert not own & {weight.data_ptr() for weight in other.weights}, name
    assert len(layer.inbound_nodes) == (called == "symbolic")


def test_model_copy_has_its_nodes() -> None:
    x_in, y_in = Input((3,), name="x"), Input((3,), name="y")
    shared = Tower(name="tower")
    model = Model([x_in, y_in], {"dot": Dot(1)([shared(x_in), shared(y_in)]), "x": shared(x_in)})
    inputs = [real(5, 3), torch.randn(5, 3)]
    wanted = model(inputs)
    for name, other in copies(model).items():
        given = other(inputs)
        assert list(given) == ["dot", "x"], name
        assert all(torch.equal(given[key], wanted[key]) for key in wanted), name
        assert other.get_config() == model.get_config()
        tower = other.get_layer("tower")
        assert tower is not shared
        assert len(tower.inbound_nodes) == 3
        assert tower.get_output_at(0).node.layer is tower
        assert {node.layer.name for node in tower.outbound_nodes} == {"dot"}
        inner = Model(other.inputs, tower.get_output_at(1))
        assert torch.equal(inner(inputs), tower(inputs[1]))
        with torch.no_grad():
            for weight in other.weights:
                weight.zero_()
        assert torch.equal(model(inputs)["dot"], wanted["dot"]), name


def test_state_loaded_before_first_call() -> None:
    source, target = Tower(), Tower()
    source(real(5, 3))
    wanted, state = source(real(5, 3)), source.state_dict()
    assert str(target.load_state_dict(state)) == "<All keys matched successfully>"
    assert target.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in target.state_dict().items())
    third = Tower()
    third.load_state_dict(copy.deepcopy(target).state_dict())
    with torch.no_grad():
        source.first.kernel.zero_()  # what was loaded is a copy
    assert torch.equal(target(real(5, 3)), wanted)
    assert torch.equal(third(real(5, 3)), wanted)


def test_state_loaded_inside_torch_module() -> None:
    def make() -> nn.Module:
        return nn.Sequential(Affine(3), nn.Linear(3, 3), Affine(2))

    source, target = make(), make()
    source(real(5, 3))
    target.load_state_dict(source.state_dict())
    assert torch.equal(target(real(5, 3)), source(real(5, 3)))


STATES_THAT_DO_NOT_FIT = {
    "kernel has shape (3, 5), not (3, 4), shift has shape (5,), not (4,)": lambda state: state,
    "shift is missing": lambda state: {"kernel": torch.ones(3, 5), "seen": state["seen"]},
    "there is no other": lambda state: {
        "kernel": torch.ones(3, 5),
        "shift": torch.ones(5),
        "seen": state["seen"],
        "other": torch.ones(1),
    },
}


@pytest.mark.parametrize("problem", STATES_THAT_DO_NOT_FIT)
def test_state_unfit_for_unbuilt_layer_raises_at_call(problem: str) -> None:
    source, target = Affine(4), Affine(5, name="target")
    source(real(5, 3))
    target.load_state_dict(STATES_THAT_DO_NOT_FIT[problem](source.state_dict()))
    says = f"Layer target cannot take the state it was given before it was built: {problem}."
    for _ in range(2):
        refused(ValueError, says, target, real(5, 3))
    assert not target.built


def test_state_unfit_for_built_layer_raises() -> None:
    source, target = Affine(4), Affine(5)
    source(real(5, 3)), target(real(5, 3))
    with pytest.raises(RuntimeError, match="size mismatch for kernel"):
        target.load_state_dict(source.state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        target.load_state_dict({})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        target.load_state_dict(target.state_dict() | {"other": torch.ones(1)})


MOVES = {"double": {"dtype": torch.float64}, "half": {"dtype": torch.float16}, "meta": {"device": "meta"}}


@pytest.mark.parametrize("name", MOVES)
def test_layer_moved_before_build_built_there(name: str) -> None:
    early, late, x = Tower(), Tower(), real(5, 3)
    late(x)
    for layer in (early, late):
        layer.to(**MOVES[name])
    there = x.to(**MOVES[name])
    out = early(there)
    assert (out.dtype, out.device) == (there.dtype, there.device)
    assert late(there).dtype == out.dtype
    assert {(w.dtype, w.device) for w in early.weights} == {(w.dtype, w.device) for w in late.weights}


def test_state_loaded_before_build_is_moved() -> None:
    source, target = Affine(), Affine()
    source(real(5, 3))
    target.load_state_dict(source.state_dict())
    target.double()
    assert target(real(5, 3).double()).dtype == torch.float64
    assert torch.equal(target.kernel, source.kernel.double())


@pytest.mark.parametrize("make", [Affine, lambda: Dot(1), Gate, lambda: keras.layers.Dense(2)])
def test_hooks_fire_at_every_call(make: Any) -> None:
    layer, fired = make(), []
    arguments = [real(2, 3).requires_grad_()]
    if isinstance(layer, Dot):
        arguments.append(real(2, 3))
    layer(*arguments)
    handles = [
        layer.register_forward_pre_hook(lambda *_: fired.append("pre")),
        layer.register_forward_hook(lambda *_: fired.append("forward")),
        layer.register_full_backward_hook(lambda *_: fired.append("backward")),
    ]
    layer(*arguments).sum().backward()
    layer(*arguments).sum().backward()
    assert fired == ["pre", "forward", "backward"] * 2
    for handle in handles:
        handle.remove()
    layer(*arguments)
    assert len(fired) == 6


def test_hooks_of_layers_in_a_model_fire() -> None:
    x_in = Input((3,))
    layer, fired = Affine(), []
    model = Model(x_in, layer(x_in))
    layer.register_forward_hook(lambda *_: fired.append("forward"))
    assert fired == []
    model(real(2, 3)), model(real(2, 3))
    assert fired == ["forward"] * 2


def test_train_and_eval_reach_all_layers() -> None:
    x_in = Input((3,))
    model = Model(x_in, Tower()(x_in))
    for mode in (False, True):
        assert model.train(mode) is model
        assert {module.training for module in model.modules()} == {mode}
    assert model.eval().training is False


def test_optimizer_changes_parameters_only() -> None:
    layer = Affine()
    out = layer(real(2, 3))
    before = layer.get_weights()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    out.sum().backward()
    optimizer.step()
    changed = [not np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True)]
    assert changed == [True, True, False]


@pytest.mark.parametrize("make", [Affine, lambda: keras.layers.Dense(4)])
def test_functional_call_replaces_the_weights(make: Any) -> None:
    layer, x = make(), real(2, 3)
    layer(x)
    parameters = dict(layer.named_parameters())
    zeros = {name: torch.zeros_like(value) for name, value in parameters.items()}
    assert torch.func.functional_call(layer, zeros, (x,)).abs().sum() == 0
    gradient = torch.func.grad(lambda p: torch.func.functional_call(layer, p, (x,)).sum())(parameters)
    assert gradient["kernel"].tolist() == [[5.0] * 4, [7.0] * 4, [9.0] * 4]
    assert layer.kernel is parameters["kernel"]


def test_first_call_in_inference_mode_trains_later() -> None:
    for layer in (Affine(), Tower(), keras.layers.Dense(2), keras.layers.Embedding(20, 2)):
        x = torch.ones(2, 3, dtype=torch.int64) if isinstance(layer, keras.layers.Embedding) else real(2, 3)
        with torch.inference_mode():
            layer(x)
        layer(x).sum().backward()
        assert next(layer.parameters()).grad is not None
    layer = Affine()
    with torch.no_grad():
        layer(real(2, 3))
    assert layer(real(2, 3)).requires_grad


def test_lists_and_dicts_of_layers_are_found() -> None:
    class Lists(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.blocks: Any = []
            for _ in range(3):
                self.blocks.append(Affine(3))
            self.by_name = {"a": Affine(3)}
            self.pair = (nn.Linear(3, 3), Affine(3))
            self.sizes = [3, 3]

        def call(self, inputs: Any) -> Any:
            for block in [*self.blocks, *self.pair, self.by_name["a"]]:
                inputs = block(inputs)
            return inputs

    layer = Lists()
    layer(real(2, 3))
    assert len(layer.weights) == 5 * 3 + 2
    assert len(list(layer.parameters())) == 5 * 2 + 2
    assert {key.split(".")[0] for key in layer.state_dict()} == {"blocks", "by_name", "pair"}
    assert layer.sizes == [3, 3]


# trainable, get_weights, set_weights, count_params.


def test_trainable_reaches_inner_layers() -> None:
    layer = Tower()
    layer(real(5, 3))
    total, trained = len(layer.weights), len(layer.trainable_weights)
    assert (total, trained) == (3 * 3 + 2 * 2, 3 * 2 + 2 * 2)
    layer.trainable = False
    assert [len(layer.trainable_weights), len(layer.non_trainable_weights)] == [0, total]
    assert not any(parameter.requires_grad for parameter in layer.parameters())
    assert [layer.first.trainable, layer.blocks[0].trainable, layer.last.trainable] == [False] * 3
    assert not layer(real(5, 3)).requires_grad
    layer.trainable = True
    assert [len(layer.trainable_weights), len(layer.non_trainable_weights)] == [trained, total - trained]
    assert not layer.first.seen.requires_grad
    assert layer(real(5, 3)).requires_grad


def test_trainable_before_the_build_holds_after_it() -> None:
    layer = Affine(trainable=False)
    layer(real(5, 3))
    assert layer.trainable_weights == []
    assert not layer(real(5, 3)).requires_grad
    layer.trainable = True
    assert len(layer.trainable_weights) == 2
    inner = Tower()
    inner.trainable = False
    inner(real(5, 3))
    assert inner.trainable_weights == []
    assert not inner(real(5, 3)).requires_grad


def test_weights_are_set_all_or_none() -> None:
    layer = Affine(2, name="affine")
    layer(real(5, 3))
    before = layer.get_weights()
    count = (
        'You called `set_weights(weights)` on layer "affine" with a weight list of length 1, but the layer '
        "was expecting 3 weights."
    )
    shape = "Layer affine weight shape (2,) is not compatible with provided weight shape (3,)."
    refused(ValueError, count, layer.set_weights, [np.ones((3, 2))])
    refused(ValueError, shape, layer.set_weights, [np.ones((3, 2)), np.ones(3), np.ones(())])
    for old, new in zip(before, layer.get_weights(), strict=True):
        assert np.array_equal(old, new)
    layer.set_weights([np.full((3, 2), 2.0), [1.0, 2.0], 7.0])
    assert layer(real(1, 3)).tolist() == [[13.0, 14.0]]
    assert layer.seen.item() == 7
    got = layer.get_weights()
    got[0][:] = 0
    assert layer.kernel.abs().sum() > 0


def test_weights_argument_set_at_build() -> None:
    arrays = [np.full((3, 2), 2.0), np.ones(2), np.zeros(())]
    assert Affine(2, weights=arrays)(real(1, 3)).tolist() == [[13.0, 13.0]]
    with pytest.raises(ValueError, match="expecting 3 weights"):
        Affine(2, weights=arrays[:1])(real(1, 3))


def test_bfloat16_weights_come_out_as_float32() -> None:
    layer = Affine().bfloat16()
    layer(real(2, 3).bfloat16())
    assert {weight.dtype.name for weight in layer.get_weights()} == {"float32"}


def test_count_params_needs_a_built_layer() -> None:
    layer = Affine()
    says = (
        "You tried to call `count_params` on layer affine, but the layer isn't built. You can build it "
        "manually via: `affine.build(input_shape)`."
    )
    refused(ValueError, says, layer.count_params)
    layer(Input((3,)))
    assert layer.count_params() == 17


# Names.


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("Dot", "dot"),
        ("Foo", "foo"),
        ("HTTPDot", "http_dot"),
        ("Dot2D", "dot2d"),
        ("_Priv", "private__priv"),
        ("BatchNormalization", "batch_normalization"),
        ("MyLayerV2", "my_layer_v2"),
        ("LSTM", "lstm"),
        ("ABTest", "ab_test"),
        ("snake_already", "snake_already"),
        ("A", "a"),
    ],
)
def test_names_are_class_names_in_snake_case(class_name: str, name: str) -> None:
    assert snake_case(class_name) == name
    assert type(class_name, (Layer,), {})().name == name


def test_names_are_numbered_until_they_are_cleared() -> None:
    assert [Dot(1).name for _ in range(3)] == ["dot", "dot_1", "dot_2"]
    assert Dot(1, name="mine").name == "mine"
    assert Dot(1, name="dot_7").name == "dot_7"
    assert Dot(1).name == "dot_3"
    keras.backend.clear_session()
    assert Dot(1).name == "dot"
    clear_names()
    assert Dot(1).name == "dot"
    assert [Input((1,)).node.layer.name for _ in range(2)] == ["input_1", "input_2"]
    x = Input((1,))
    assert [Model(x, Dot(1)([x, x])).name for _ in range(2)] == ["model", "model_1"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": 3}, "Expected `name` argument to be a string, but got: 3"),
        ({"trainable": "x"}, "Expected `trainable` argument to be a boolean, but got: 'x'"),
        ({"foo": 1, "bar": 2}, "Affine has no argument 'foo', 'bar'."),
        ({"dtype": "floatish"}, "Expected a torch.dtype or the name of one, but got: 'floatish'"),
    ],
)
def test_arguments_that_no_layer_has_are_refused(arguments: Any, text: str) -> None:
    refused(TypeError, text, Affine, **arguments)


def test_a_config_is_a_copy() -> None:
    axes = [1, 2]
    layer = Dot(axes, name="dot")
    axes[0] = 7
    config = layer.get_config()
    assert config["axes"] == [1, 2]
    config["axes"][0] = 9
    assert layer.axes == [1, 2]
    again = Dot.from_config(config | {"axes": axes})
    axes[1] = 5
    assert again.axes == [7, 2]


def test_a_layer_prints_its_config() -> None:
    assert repr(Dot((1, 2), name="dot")) == "Dot(name='dot', axes=(1, 2), normalize=False)"
    assert "(first): Affine(name='affine', units=3)" in repr(Tower())


class Unwritten(Layer):
    """A layer whose config has a fault."""

    def get_config(self) -> dict[str, Any]:
        return {"units": self.nothing}


def test_a_layer_without_a_config_prints_its_name() -> None:
    assert repr(Unwritten(name="mine")) == "Unwritten(name='mine')"
    x = Input((4,))
    model = Model(x, keras.layers.TorchModuleWrapper(torch.nn.Linear(4, 2), name="wrapped")(x))
    assert "(module): Linear(in_features=4, out_features=2, bias=True)" in repr(model)

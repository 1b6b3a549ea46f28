"""Weights before a layer is built: placeholders as in torch's lazy modules, or a warning."""

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.support.one_truth import leaves
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter, is_lazy

import batchdot
from batchdot import Input, Layer, Model
from batchdot.layers import Dense, Embedding
from batchdot.models import Sequential

X = torch.arange(8.0).reshape(2, 4) / 8
IDS = torch.tensor([[0, 2], [1, 1]])


class Unknown(Layer):
    """A user's layer as Keras code has it."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight("scale", input_shape[-1:], initializer="ones")
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self.scale


class Declared(Unknown):
    def __init__(self) -> None:
        super().__init__()
        self.declare_weight("scale")


class DeclaredByAttribute(Layer):
    """The weight is given another name than the attribute, under which it is declared."""

    def __init__(self) -> None:
        super().__init__()
        self.declare_weight("kernel")

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(name="W", shape=(input_shape[-1], 2))

    def call(self, inputs: Tensor) -> Tensor:
        return inputs @ self.kernel


class Listed(Model):
    """A model that keeps its layers in a list that it fills, and in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: Any = []
        for _ in range(2):
            self.blocks.append(Dense(4))
        self.heads = {"a": Dense(2), "b": Dense(2)}

    def call(self, inputs: Tensor) -> Any:
        for block in self.blocks:
            inputs = block(inputs)
        return self.heads["a"](inputs) + self.heads["b"](inputs)


class TorchOutside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), Dense(2)

    def forward(self, x: Tensor) -> Any:
        return self.second(self.first(x))


LAZY: dict[str, Callable[[], Any]] = {
    "Dense": lambda: Dense(2),
    "Dense without bias": lambda: Dense(2, use_bias=False),
    "Embedding": lambda: Embedding(4, 2),
    "in nn.Sequential": lambda: nn.Sequential(nn.Linear(4, 4), Dense(2)),
    "in a module": TorchOutside,
    "in nn.ModuleList": lambda: nn.Sequential(*nn.ModuleList([Dense(3), Dense(2)])),
    "Sequential": lambda: Sequential([Dense(3), Dense(2)]),
    "nested Sequential": lambda: Sequential([Sequential([Dense(3)]), Dense(2)]),
    "in lists and dicts": Listed,
    "declared": Declared,
    "declared by its attribute": DeclaredByAttribute,
}


def make(case: str) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    return LAZY[case](), IDS if case == "Embedding" else X


def unbuilt_kernel(module: nn.Module) -> Any:
    return next(parameter for parameter in module.parameters() if is_lazy(parameter))


@pytest.mark.parametrize("case", LAZY)
def test_optimizer_made_before_the_first_call_trains_all(case: str) -> None:
    model, x = make(case)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    given = list(model.parameters())
    assert any(map(is_lazy, given))
    assert [name for name, _ in model.named_parameters()] == list(model.state_dict())
    optimizer.step()  # nothing to do yet
    output = model(x)
    assert not any(map(is_lazy, given))
    assert leaves(output) == set(given) == set(model.parameters())
    before = [parameter.detach().clone() for parameter in given]
    output.square().sum().backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(given, before, strict=True))


@pytest.mark.parametrize("case", LAZY)
def test_symbolic_call_and_build_fill_the_same_placeholders(case: str) -> None:
    if case.startswith("in ") and case != "in lists and dicts":
        pytest.skip("a module of torch takes no symbolic tensor")
    model, x = make(case)
    given = list(model.parameters())
    model(Input(x.shape[1:], dtype=x.dtype))
    assert list(model.parameters()) == given
    assert not any(map(is_lazy, given))
    assert leaves(model(x)) == set(given)


@pytest.mark.parametrize("case", LAZY)
@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_copy_before_the_first_call_is_lazy_and_its_own(way: str, case: str) -> None:
    model, x = make(case)
    if way == "torch.save":
        buffer = io.BytesIO()
        torch.save(model, buffer)
        buffer.seek(0)
        copied = torch.load(buffer, weights_only=False)
    else:
        copied = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    given = list(copied.parameters())
    copied(x)
    assert leaves(copied(x)) == set(given)
    assert any(map(is_lazy, model.parameters()))


@pytest.mark.parametrize("case", LAZY)
def test_state_is_loaded_before_the_first_call(case: str) -> None:
    source, x = make(case)
    source(x)
    for assign in (False, True):
        target, _ = make(case)
        optimizer = torch.optim.SGD(target.parameters(), lr=1.0)
        assert not any(
            target.load_state_dict(source.state_dict(), assign=assign and not is_lazy_model(target))
        )
        assert target.state_dict().keys() == source.state_dict().keys()
        torch.testing.assert_close(target(x), source(x))
        assert all(p in set(target.parameters()) for p in optimizer.param_groups[0]["params"])
    lacking = dict(source.state_dict())
    gone = [key for key in lacking if "scale" in key or "kernel" in key or "embeddings" in key][-1]
    del lacking[gone]
    with pytest.raises(RuntimeError, match=rf'Missing key.*"{gone}"'):
        make(case)[0].load_state_dict(lacking)


def is_lazy_model(model: nn.Module) -> bool:
    return any(map(is_lazy, model.parameters()))


@pytest.mark.parametrize("case", LAZY)
def test_unbuilt_state_is_loaded_by_an_unbuilt_model(case: str) -> None:
    model, x = make(case)
    other, _ = make(case)
    assert not any(other.load_state_dict(model.state_dict()))
    other(x)


MOVES: dict[str, Callable[[Any], Any]] = {
    "double": lambda model: model.double(),
    "bfloat16": lambda model: model.bfloat16(),
    "to a dtype": lambda model: model.to(torch.float64),
    "to meta": lambda model: model.to("meta"),
    "to_empty": lambda model: model.to_empty(device="meta"),
    "twice": lambda model: model.half().double(),
}


@pytest.mark.parametrize("case", LAZY)
@pytest.mark.parametrize("move", MOVES)
def test_placeholders_move_with_the_layer(move: str, case: str) -> None:
    model, x = make(case)
    kernel = unbuilt_kernel(model)
    moved = MOVES[move](model)
    sample = next(p for p in moved.parameters() if is_lazy(p))
    dtype, device = sample.dtype, sample.device
    assert unbuilt_kernel(model) is kernel
    x = x.to(device) if x.dtype == torch.int64 else x.to(device=device, dtype=dtype)
    moved(x)
    assert {(p.dtype, p.device) for p in moved.parameters()} == {(dtype, device)}


@pytest.mark.parametrize("case", LAZY)
def test_frozen_before_the_first_call_stays_frozen(case: str) -> None:
    model, x = make(case)
    model.requires_grad_(False)
    assert not model(x).requires_grad
    model, x = make(case)
    for parameter in model.parameters():
        parameter.requires_grad = False
    assert not model(x).requires_grad
    model, x = make(case)
    assert all(parameter.requires_grad_(False) is parameter for parameter in model.parameters())
    assert not model(x).requires_grad
    model.requires_grad_(True)
    assert leaves(model(x)) == set(model.parameters())


def test_keras_lists_are_empty_before_the_first_call() -> None:
    layer = Dense(2)
    assert (layer.weights, layer.trainable_weights, layer.get_weights(), layer.built) == ([], [], [], False)
    assert isinstance(layer.kernel, UninitializedParameter)
    with pytest.raises(ValueError, match="isn't built"):
        layer.count_params()
    layer.trainable = False
    assert not layer.kernel.requires_grad


NEEDS_VALUES: dict[str, Callable[[Any], Any]] = {
    "shape": lambda model: unbuilt_kernel(model).shape,
    "ndim": lambda model: [p for p in model.parameters() if p.ndim > 1],  # as rules for weight decay ask
    "size": lambda model: [p.size(0) for p in model.parameters()],
    "optimizer with values": lambda model: torch.optim.Adagrad(model.parameters()),
    "numel": lambda model: sum(p.numel() for p in model.parameters()),
    "vector": lambda model: nn.utils.parameters_to_vector(model.parameters()),
    "average": lambda model: torch.optim.swa_utils.AveragedModel(model).update_parameters(called(model)),
    "own average": lambda model: [
        e.detach().lerp_(p, 0.1)
        for e, p in zip(copy.deepcopy(model).parameters(), called(model).parameters(), strict=True)
    ],
    "stacked": lambda model: torch.func.stack_module_state([model, copy.deepcopy(model)]),
    "replicas": lambda model: [module._replicate_for_data_parallel() for module in model.modules()],
    "initializer": lambda model: nn.init.xavier_uniform_(unbuilt_kernel(model)),
    "arithmetic": lambda model: unbuilt_kernel(model) + 1,
    "parametrize": lambda model: nn.utils.parametrizations.weight_norm(list(model.modules())[-1], "kernel"),
}


def called(model: Any) -> Any:
    model(X)
    return model


@pytest.mark.parametrize("what", NEEDS_VALUES)
@pytest.mark.parametrize("case", ["Dense", "in nn.Sequential", "Sequential"])
def test_what_needs_values_says_to_call_once(case: str, what: str) -> None:
    model, _ = make(case)
    with pytest.raises((ValueError, RuntimeError), match="call it once first"):
        NEEDS_VALUES[what](model)


@pytest.mark.parametrize("case", ["Dense", "Dense without bias", "declared", "declared by its attribute"])
@pytest.mark.parametrize("kind", [nn.Parameter, torch.Tensor.clone])
def test_functional_call_before_the_first_call_uses_what_it_is_lent(kind: Any, case: str) -> None:
    source, x = make(case)
    wanted = source(x)
    lent = {key: kind(value.detach().clone()).requires_grad_() for key, value in source.named_parameters()}
    model, _ = make(case)
    model.load_state_dict({key: torch.zeros_like(value) for key, value in lent.items()})
    given = list(model.parameters())
    output = torch.func.functional_call(model, lent, (x,))
    torch.testing.assert_close(output, wanted)
    assert leaves(output) == set(lent.values())
    torch.testing.assert_close(list(lent.values()), list(source.parameters()), check_dtype=False)
    assert leaves(model(x)) == set(given) == set(model.parameters())
    assert not any(parameter.count_nonzero() for parameter in given)


@pytest.mark.parametrize("case", ["Dense", "declared", "declared by its attribute"])
def test_parameter_assigned_before_the_first_call_is_the_weight(case: str) -> None:
    source, x = make(case)
    wanted = source(x)
    model, _ = make(case)
    for key, value in source.named_parameters():
        setattr(model, key, value)  # tied
    torch.testing.assert_close(model(x), wanted)
    assert leaves(model(x)) == set(source.parameters()) == set(model.parameters()) == set(model.weights)


def test_parameter_of_a_wrong_shape_assigned_before_the_first_call_is_named() -> None:
    layer = Dense(2)
    layer.kernel = nn.Parameter(torch.ones(5, 2))
    with pytest.raises(ValueError, match=r"'kernel' of layer .* of shape \(5, 2\).* shape \(4, 2\)"):
        layer(X)
    assert leaves(layer(torch.ones(2, 5))) == set(layer.parameters())


@pytest.mark.parametrize("case", LAZY)
def test_state_is_assigned_to_an_unbuilt_model_on_meta(case: str) -> None:
    source, x = make(case)
    wanted = source.bfloat16()(x if x.dtype == torch.int64 else x.bfloat16())
    with torch.device("meta"):
        target, _ = make(case)
    target.load_state_dict(source.state_dict(), assign=True)
    torch.testing.assert_close(target(x if x.dtype == torch.int64 else x.bfloat16()), wanted)


def test_state_saved_before_the_first_call_is_read_with_weights_only() -> None:
    model, x = make("Sequential")
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    model.load_state_dict(torch.load(buffer, weights_only=True))
    model(x)


@pytest.fixture
def process_group(tmp_path: Any) -> Any:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("case", ["Dense", "in nn.Sequential", "Sequential"])
def test_unbuilt_model_is_not_wrapped_for_processes(case: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    with pytest.raises((ValueError, RuntimeError), match="call it once first"):
        fully_shard(make(case)[0], mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(
        RuntimeError, match=r"call it once first|Run a dummy forward pass"
    ):  # torch's own words
        nn.parallel.DistributedDataParallel(make(case)[0])


def test_build_that_fails_leaves_the_placeholders() -> None:
    layer = Dense(2, bias_initializer=lambda shape, dtype=None: 1 / 0)
    kernel, bias = layer.parameters()
    with pytest.raises(ZeroDivisionError):
        layer(X)
    assert list(layer.parameters()) == [kernel, bias]
    assert is_lazy(kernel)
    layer.bias_initializer = torch.zeros
    assert leaves(layer(X)) == {kernel, bias}


@pytest.mark.parametrize("case", ["Dense", "Embedding", "Sequential", "declared"])
def test_compiled_before_the_first_call(case: str) -> None:
    model, x = make(case)
    given = list(model.parameters())
    compiled = torch.compile(model, backend="eager")
    for _ in range(2):
        torch.testing.assert_close(compiled(x), model(x))
    assert leaves(compiled(x)) == set(given) == set(model.parameters())


# A user's layer that cannot know its weights.

UNKNOWN: dict[str, Callable[[], Any]] = {
    "a layer": Unknown,
    "in nn.Sequential": lambda: nn.Sequential(nn.Linear(4, 4), Unknown()),
    "in Sequential": lambda: Sequential([Dense(2), Unknown()]),
}
LISTINGS: dict[str, Callable[[Any], Any]] = {
    "parameters": lambda model: list(model.parameters()),
    "named_parameters": lambda model: dict(model.named_parameters()),
    "state_dict": lambda model: model.state_dict(),
    "optimizer": lambda model: torch.optim.Adam([*model.parameters(), nn.Parameter(X)]),
    "requires_grad_": lambda model: model.requires_grad_(False),
}
SILENT: dict[str, Callable[[Any], Any]] = {
    "call": lambda model: model(X),
    "to": lambda model: model.double(),
    "train": lambda model: model.eval().train(),
    "modules": lambda model: list(model.modules()),
    "copy": copy.deepcopy,
    "repr": repr,
    "trainable": lambda model: [setattr(module, "trainable", False) for module in model.modules()],
    "weights": lambda model: getattr(model, "weights", None),
    "compile": lambda model: torch.compile(model, backend="eager")(X) if isinstance(model, Layer) else None,
    "symbolic": lambda model: Model(i := Input((4,)), model(i)) if isinstance(model, Layer) else None,
    "predict": lambda model: model.predict(X) if isinstance(model, Model) else None,
    "load_state_dict": lambda model: model.load_state_dict({}, strict=False),
}


@pytest.mark.parametrize("case", UNKNOWN)
@pytest.mark.parametrize("listing", LISTINGS)
def test_listing_unknown_weights_warns_once(listing: str, case: str) -> None:
    model = UNKNOWN[case]()
    with pytest.warns(UserWarning, match=r"makes its weights when it is built.*declare_weight"):
        LISTINGS[listing](model)
    LISTINGS[listing](model)  # warnings are errors here
    model(X)
    LISTINGS[listing](model)  # warnings are errors here


@pytest.mark.parametrize("case", UNKNOWN)
@pytest.mark.parametrize("use", SILENT)
def test_other_uses_of_unknown_weights_are_silent(use: str, case: str) -> None:
    SILENT[use](UNKNOWN[case]())


def test_declared_or_built_layer_does_not_warn() -> None:
    list(Declared().parameters())
    layer = Unknown()
    layer.build((None, 4))
    list(layer.parameters())


def test_weight_beside_the_declared_ones_is_told_of_when_it_is_made() -> None:
    class More(Declared):
        def build(self, input_shape: Any) -> None:
            self.more = self.add_weight("more", ())
            self.inner = Dense(2)
            super().build(input_shape)

    layer = More()
    list(layer.parameters())
    with pytest.warns(UserWarning, match="has made more, inner.kernel, inner.bias after its parameters"):
        layer(X)
    layer = More()
    layer(X)  # nobody had a list


@pytest.mark.keras
def test_weights_before_the_first_call_are_those_of_keras() -> None:
    import tf_keras

    for keras in (tf_keras, batchdot):
        for layer in (keras.layers.Dense(2), keras.layers.Embedding(3, 2)):
            assert (layer.built, layer.weights, layer.trainable_weights, layer.get_weights()) == (
                False,
                [],
                [],
                [],
            )
            with pytest.raises(ValueError, match="isn't built"):
                layer.count_params()


def test_torch_lazy_modules_inside_are_left_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lazy = nn.LazyLinear(2)
    model = Tower(lazy)
    assert model.weights == []
    model.trainable = False
    model.trainable = True
    assert leaves(model(X)) == set(model.parameters()) == set(model.weights)


class Tower(Model):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def call(self, inputs: Tensor) -> Any:
        return self.inner(inputs)


@pytest.mark.parametrize("case", UNKNOWN)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_listing_a_copy_of_unknown_weights_warns(copied: Any, case: str) -> None:
    with pytest.warns(UserWarning, match=r"makes its weights when it is built"):
        list(copied(UNKNOWN[case]()).parameters())
    list(copied(Declared()).parameters())  # warnings are errors here

"""One truth: after any of torch's tools, ``parameters()`` are the tensors that a call's gradient reaches."""

import copy
import io
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tests.support.one_truth import check, leaves
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from batchdot import Input, Layer, Model, layers
from batchdot.layers import Dense, Embedding
from batchdot.models import Sequential

X = torch.arange(8.0).reshape(2, 4) / 8
IDS = torch.tensor([[0, 2], [1, 1]])


class Scale(Layer):
    """A user's layer, whose weight is assigned to no attribute."""

    def build(self, input_shape: Any) -> None:
        self.add_weight("kernel", (input_shape[-1], 4), initializer="glorot_uniform", regularizer="l2")
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs @ self.kernel


class Tower(Model):
    def __init__(self) -> None:
        super().__init__()
        self.head = Dense(4, name="head")

    def call(self, inputs: Tensor) -> Any:
        return self.head(inputs)


def functional() -> Any:
    x = Input((4,))
    return Model(x, Dense(3)(Dense(4, name="head")(x)))


def nested() -> Any:
    x = Input((4,))
    return Model(x, Dense(2)(Sequential([Input((4,)), Dense(4, name="head")], name="inner")(x)))


MAKERS: dict[str, Callable[[], Any]] = {
    "dense": lambda: Dense(4, kernel_regularizer="l2"),
    "embedding": lambda: Embedding(4, 4),
    "own layer": Scale,
    "functional": functional,
    "sequential": lambda: Sequential([Dense(4, name="head"), Dense(2)]),
    "subclass": Tower,
    "nested": nested,
}


def make(kind: str) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    model, x = MAKERS[kind](), IDS if kind == "embedding" else X
    model(x)
    return model, x


def owner(model: Any) -> tuple[nn.Module, str]:
    """Return a layer inside, or the layer itself, and the name of its weight."""
    layer = next(m for m in model.modules() if isinstance(m, Dense | Embedding | Scale))
    return layer, "embeddings" if isinstance(layer, Embedding) else "kernel"


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


class LoRA(nn.Module):
    """A frozen layer and a trained product of low rank beside it."""

    def __init__(self, base: Any, inner: int, outer: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a, self.b = nn.Parameter(torch.ones(inner, 1)), nn.Parameter(torch.ones(1, outer))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.a @ self.b  # type: ignore[no-any-return]


def of_weight(tool: Callable[[nn.Module, str], Any]) -> Callable[[Any, Tensor], Any]:
    def apply(model: Any, x: Tensor) -> Any:
        tool(*owner(model))
        return model

    return apply


def pruned_for_good(layer: nn.Module, name: str) -> None:
    prune.l1_unstructured(layer, name, 4)
    prune.remove(layer, name)


def twice_pruned(layer: nn.Module, name: str) -> None:
    prune.random_unstructured(layer, name, 0.25)
    prune.ln_structured(layer, name, 1, n=2, dim=0)


def parametrized_for_good(layer: nn.Module, name: str) -> None:
    parametrize.register_parametrization(layer, name, Doubled())
    parametrize.remove_parametrizations(layer, name)


def weight_set(layer: nn.Module, name: str) -> None:
    setattr(layer, name, nn.Parameter(getattr(layer, name).detach() + 1))


def swapped(layer: nn.Module, name: str) -> None:
    other = nn.Parameter(getattr(layer, name).detach().clone() + 1)
    torch.utils.swap_tensors(getattr(layer, name), other)


def old(tool: Callable[..., Any]) -> Callable[[nn.Module, str], None]:
    def apply(layer: nn.Module, name: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated, still widely used
            tool(layer, name)

    return apply


WEIGHT_TOOLS: dict[str, Callable[[nn.Module, str], Any]] = {
    "prune l1": lambda layer, name: prune.l1_unstructured(layer, name, 4),
    "prune random": lambda layer, name: prune.random_unstructured(layer, name, 0.5),
    "prune random structured": lambda layer, name: prune.random_structured(layer, name, 1, dim=0),
    "prune ln structured": lambda layer, name: prune.ln_structured(layer, name, 1, n=2, dim=1),
    "prune custom": lambda layer, name: prune.custom_from_mask(layer, name, torch.eye(4)),
    "prune identity": lambda layer, name: prune.identity(layer, name),
    "prune global": lambda layer, name: prune.global_unstructured(
        [(layer, name)], pruning_method=prune.L1Unstructured, amount=3
    ),
    "prune twice": twice_pruned,
    "prune removed": pruned_for_good,
    "parametrize": lambda layer, name: parametrize.register_parametrization(layer, name, Doubled()),
    "parametrize twice": lambda layer, name: [
        parametrize.register_parametrization(layer, name, Doubled()) for _ in range(2)
    ],
    "parametrize removed": parametrized_for_good,
    "weight_norm": lambda layer, name: parametrizations.weight_norm(layer, name),
    "spectral_norm": lambda layer, name: parametrizations.spectral_norm(layer, name),
    "orthogonal": lambda layer, name: parametrizations.orthogonal(layer, name),
    "old weight_norm": old(nn.utils.weight_norm),
    "old spectral_norm": old(nn.utils.spectral_norm),
    "setattr": weight_set,
    "swap_tensors": swapped,
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("tool", WEIGHT_TOOLS)
def test_weight_after_a_tool_is_what_a_call_uses(tool: str, kind: str) -> None:
    model, x = make(kind)
    layer, name = owner(model)
    before = model(x).detach()
    WEIGHT_TOOLS[tool](layer, name)
    check(model, x)
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    assert not torch.equal(model(x), before)


def load_assigned(model: Any, x: Tensor) -> Any:
    model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True)
    return model


def pickled(model: Any, x: Tensor) -> Any:
    return pickle.loads(pickle.dumps(model))


def saved(model: Any, x: Tensor) -> Any:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def averaged(model: Any, x: Tensor) -> Any:
    average = torch.optim.swa_utils.AveragedModel(model)
    average.update_parameters(model)
    return average


def replicated(model: Any, x: Tensor) -> Any:
    """Replicate as nn.DataParallel does; CPUs stand for its devices. Return the second replica."""
    from torch.nn.parallel import replicate

    copies: list[list[Tensor]] = []

    def broadcast(tensors: Any, devices: Any, detach: bool = False) -> Any:
        copies.append([tensor.detach().clone().requires_grad_() for tensor in tensors])
        return [tensors, copies[-1]]

    module: Any = __import__("sys").modules["torch.nn.parallel.replicate"]
    before = module._broadcast_coalesced_reshape, module._get_device_index
    module._broadcast_coalesced_reshape, module._get_device_index = broadcast, lambda x, *_: x
    try:
        replica = replicate(model, [0, 1])[1]
    finally:
        module._broadcast_coalesced_reshape, module._get_device_index = before
    wanted = set(copies[0])
    for _ in range(2):
        assert leaves(replica(x)) == wanted
    return model


MODEL_TOOLS: dict[str, Callable[[Any, Tensor], Any]] = {
    "deepcopy": lambda model, x: copy.deepcopy(model),
    "pickle": pickled,
    "torch.save": saved,
    "load_state_dict assign": load_assigned,
    "to float64 and back": lambda model, x: model.double().float(),
    "AveragedModel": averaged,
    "requires_grad_": lambda model, x: model.requires_grad_(False).requires_grad_(True),
    "DataParallel": lambda model, x: nn.DataParallel(model),
    "replicas": replicated,
    "share_memory": lambda model, x: model.share_memory(),
    "Sequential of torch": lambda model, x: nn.Sequential(model),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("tool", MODEL_TOOLS)
def test_model_after_a_tool_calls_its_own_weights(tool: str, kind: str) -> None:
    model, x = make(kind)
    result = MODEL_TOOLS[tool](model, x)
    check(result, x)
    check(model, x)


# Modules replaced inside a model.


def parent_of(model: Any) -> tuple[Any, str, Any]:
    """Return the module that holds the layer ``head``, its key there, and the layer."""
    for module in model.modules():
        for key, child in module.named_children():
            if isinstance(child, Dense) and child.name == "head":
                return module, key, child
    raise AssertionError


def set_by_setattr(model: Any, module: nn.Module) -> None:
    parent, key, _ = parent_of(model)
    setattr(parent, key, module)


def set_by_set_submodule(model: Any, module: nn.Module) -> None:
    parent, key, _ = parent_of(model)
    path = next(name for name, found in model.named_modules() if found is parent)
    model.set_submodule(f"{path}.{key}" if path else key, module)


def set_in_modules(model: Any, module: nn.Module) -> None:
    parent, key, _ = parent_of(model)
    parent._modules[key] = module


def set_by_add_module(model: Any, module: nn.Module) -> None:
    parent, key, _ = parent_of(model)
    parent.add_module(key, module)


WAYS_TO_SET = {
    "setattr": set_by_setattr,
    "set_submodule": set_by_set_submodule,
    "_modules": set_in_modules,
    "add_module": set_by_add_module,
}
REPLACEMENTS: dict[str, Callable[[Any], nn.Module]] = {
    "nn.Linear": lambda old: nn.Linear(4, 4),
    "Dense": lambda old: Dense(4),
    "nn.Sequential": lambda old: nn.Sequential(nn.Linear(4, 4), Dense(4)),
    "LoRA": lambda old: LoRA(old, 4, 4),
    "a model": lambda old: Tower(),
    "a loss": lambda old: Dense(4, activity_regularizer="l2"),
}
MODELS = ("functional", "sequential", "subclass", "nested")


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("way", WAYS_TO_SET)
@pytest.mark.parametrize("what", REPLACEMENTS)
def test_replaced_module_is_called(what: str, way: str, kind: str) -> None:
    model, x = make(kind)
    model(x)
    before = model(x).detach()
    module = REPLACEMENTS[what](parent_of(model)[2])
    WAYS_TO_SET[way](model, module)
    model(x)
    check(model, x)
    calls: list[Any] = []
    hook = module.register_forward_hook(lambda *_: calls.append(1))
    assert not torch.equal(model(x), before)
    assert calls == [1]
    hook.remove()
    check(copy.deepcopy(model), x)
    check(pickle.loads(pickle.dumps(model)), x)
    state = {key: 2 * value for key, value in model.named_parameters()}
    wanted = copy.deepcopy(model)
    wanted.load_state_dict(state)
    torch.testing.assert_close(torch.func.functional_call(model, state, (x,)), wanted(x))


@pytest.mark.parametrize("way", WAYS_TO_SET)
def test_replaced_head_changes_the_shape(way: str) -> None:
    x = Input((4,))
    model = Model(x, Dense(2, name="head")(x))
    assert model.output_shape == (None, 2)
    WAYS_TO_SET[way](model, nn.Linear(4, 7))
    assert model(X).shape == (2, 7)
    assert (model.output_shape, model.compute_output_shape((5, 4))) == ((None, 7), (5, 7))
    assert model.predict(X).shape == (2, 7)
    outer = Model(x, model(x))
    assert (outer.output_shape, outer(X).shape) == ((None, 7), (2, 7))
    assert len(list(model.parameters())) == len(model.weights) == 2
    assert model.count_params() == 4 * 7 + 7
    model.summary(print_fn=lambda line: None)
    with pytest.raises(ValueError, match="another module than its graph for head"):
        model.get_config()


def test_model_that_shares_the_layer_keeps_it() -> None:
    x = Input((4,))
    head = Dense(2, name="head")
    first, second = Model(x, head(x)), Model(x, head(x))
    second.head = nn.Linear(4, 7)
    assert (first(X).shape, second(X).shape) == ((2, 2), (2, 7))


def test_deleted_layer_is_named() -> None:
    model, x = make("functional")
    del model.head
    with pytest.raises(ValueError, match="calls its layer 'head', which was deleted"):
        model(x)
    model.head = nn.Identity()
    assert model(x).shape == (2, 3)


def test_stack_with_a_replaced_layer_does_not_grow() -> None:
    model, _ = make("sequential")
    model.head = nn.Linear(4, 7)
    with pytest.raises(ValueError, match="was replaced"):
        model.add(Dense(2))


def test_module_beside_the_graph_is_a_weight() -> None:
    model, _ = make("functional")
    model.extra = nn.Linear(2, 2)
    assert {*model.parameters()} == {*model.weights}


def test_masks_stop_at_a_module_of_torch() -> None:
    x = Input((3,))
    hidden = Dense(4, name="head")(Embedding(5, 4, mask_zero=True)(x))
    model = Model(x, layers.Dot(1)([hidden, hidden]))
    ids = torch.tensor([[1, 2, 0]])
    model(ids)
    model.head = nn.Linear(4, 4)
    assert model.compute_mask(ids) is None
    assert model(ids).shape == (1, 4, 4)


@pytest.mark.parametrize("way", WAYS_TO_SET)
def test_compiled_model_follows(way: str) -> None:
    model, x = make("functional")
    compiled = torch.compile(model, backend="eager")
    before = compiled(x)
    WAYS_TO_SET[way](model, nn.Linear(4, 4))
    if way in ("_modules", "add_module"):
        torch.compiler.reset()  # a compiled call does not look at `_modules`, which these write
    assert not torch.equal(compiled(x), before)
    torch.testing.assert_close(compiled(x), model(x))


def test_quantized_module_is_called() -> None:
    model, x = make("functional")
    model.head = nn.Linear(4, 4)
    float_output = model(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tool, which moves to torchao
        quantized: Any = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    packed = quantized.head
    assert type(packed) is not nn.Linear
    torch.testing.assert_close(quantized(x), float_output, atol=0.1, rtol=0.1)
    zero = torch.quantize_per_tensor(torch.zeros(4, 4), 1.0, 0, torch.qint8)
    bias = packed.bias().detach()
    packed.set_weight_bias(zero, bias)
    hidden = bias.expand(2, 4)
    torch.testing.assert_close(quantized(x), quantized.layers[-1](hidden))


# Calls with weights from outside.


@pytest.mark.parametrize("kind", MAKERS)
def test_functional_call_uses_what_it_is_given(kind: str) -> None:
    model, x = make(kind)
    given = {key: (2 * value).detach().requires_grad_() for key, value in model.named_parameters()}
    for _ in range(2):
        output = torch.func.functional_call(model, given, (x,))
        assert leaves(output) == set(given.values())
    check(model, x)


@pytest.mark.parametrize("kind", MAKERS)
def test_stacked_models_are_mapped(kind: str) -> None:
    models = [make(kind)[0] for _ in range(3)]
    x = make(kind)[1]
    for number, model in enumerate(models):
        for parameter in model.parameters():
            torch.nn.init.constant_(parameter, number + 1.0)
    base = copy.deepcopy(models[0])
    # The keys are those of the model, in whatever order the three were made.
    parameters, buffers = torch.func.stack_module_state(models)
    outputs = torch.vmap(lambda p, b: torch.func.functional_call(base, (p, b), (x,)))(parameters, buffers)
    torch.testing.assert_close(outputs, torch.stack([model(x) for model in models]))


# Processes.


@pytest.fixture(scope="module")
def process_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    import torch.distributed as dist

    path = tmp_path_factory.mktemp("gloo") / "store"
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def distributed(model: Any) -> Any:
    return nn.parallel.DistributedDataParallel(model)


def sharded(model: Any) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(model, mesh=init_device_mesh("cpu", (1,)))


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("wrap", [distributed, sharded])
def test_wrapped_for_processes_trains_its_parameters(wrap: Any, kind: str) -> None:
    model, x = make(kind)
    wrapped = wrap(model)
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=1.0)
    outputs = []
    for _ in range(2):
        optimizer.zero_grad()
        outputs.append(wrapped(x))
        outputs[-1].square().sum().backward()
        assert all(parameter.grad is not None for parameter in wrapped.parameters())
        optimizer.step()
    assert not torch.equal(*outputs)
    assert set(model.weights) == set(model.parameters())

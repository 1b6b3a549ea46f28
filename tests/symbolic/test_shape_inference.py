"""Shape inference: functions of torch on symbolic tensors and constants, and what they leave alone."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.live_keras import tf, tf_keras
from tests.support.threads import run_together
from torch import Tensor, nn

from batchdot import Input, Model, backend, batch_dot, layers, top_k
from batchdot.symbolic.shape_inference import infer
from batchdot.symbolic.tensor import KerasTensor

C = torch.tensor([1.0, 2.0, 3.0, 4.0])
W = torch.arange(8.0).reshape(4, 2)
GENERATOR = torch.Generator()
SCRIPTED = torch.jit.script(nn.Linear(4, 2))


def autocast(t: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return t @ W


def set_item(t: Tensor) -> Tensor:
    own = C.clone()
    own[0] = 5.0
    return t * own


# Functions of a tensor of shape (B, 4) that close over real tensors. The oracle is the function itself.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "minus a constant": lambda t: t - C,
    "a constant minus": lambda t: C - t,
    "backend.dot": lambda t: backend.dot(t, W),
    "batch_dot": lambda t: batch_dot(t, t * C, 1),
    "cosine": lambda t: batch_dot(t[:, None], C.expand(t.shape[0], 1, 4), 2, normalize=True),
    "zeros of its shape": lambda t: t + torch.zeros(t.shape),
    "zeros on its device": lambda t: t + torch.zeros(t.shape, device=t.device),
    "zeros on the cpu": lambda t: t + torch.zeros(t.shape, device="cpu"),
    "new_zeros": lambda t: t.new_zeros(t.shape[0], 2),
    "matmul": lambda t: t @ W,
    "linear": lambda t: nn.functional.linear(t, W.T),
    "einsum": lambda t: torch.einsum("bi,ij->bj", t, W),
    "cat": lambda t: torch.cat([t, C.expand(t.shape)], 1),
    "where": lambda t: torch.where(t > 0, t, C),
    "embedding": lambda t: nn.functional.embedding(t.long() % 4, W),
    "float64 constant": lambda t: t * C.double(),
    "int64": lambda t: (t - C).long(),
    "bool": lambda t: t > C,
    "to": lambda t: t.to("cpu", torch.float64),
    "cpu": lambda t: t.cpu().half(),
    "from_numpy": lambda t: t * torch.from_numpy(np.ones(4, np.float32)),
    "as_tensor": lambda t: t * torch.as_tensor(np.ones(4)),
    "scalar of numpy": lambda t: np.float32(2) * t,
    "value of a constant": lambda t: t * C.sum().item(),
    "if on a constant": lambda t: t if C[0] > 0 else t[:, :1],
    "mask by a constant": lambda t: t[:, C > 2],
    "index by a constant": lambda t: t[:, torch.tensor([0, 2])],
    "sizes of a constant": lambda t: t[:, : int(C[1])],
    "set an item": set_item,
    "in place": lambda t: t.mul(2).add_(C),
    "topk": lambda t: t.topk(2),
    "batch twice": lambda t: torch.cat([t, t]),
    "dict": lambda t: {"sum": t + C, "first": t[:, :1]},
    "vmap": lambda t: torch.vmap(lambda row: row * C)(t),
    "functional_call": lambda t: torch.func.functional_call(
        nn.Linear(4, 2), {"weight": W.T, "bias": torch.zeros(2)}, (t,)
    ),
    "autocast": autocast,
    "scripted module": SCRIPTED,
    "random": lambda t: t + torch.rand_like(t) + torch.rand(4) + torch.rand(4, generator=GENERATOR),
    "dropout of a constant": lambda t: t * nn.functional.dropout(C),
    "normal_": lambda t: t * torch.empty(4).normal_(),
}


BATCH = 11
"""The size of the batch, in tests that find it in shapes: neither it nor its double is any other size."""


def same_structure(symbolic: Any, real: Any, batch: int | None) -> None:
    """Check symbolic outputs against real ones, whose size ``B`` is BATCH."""
    if isinstance(real, Tensor):
        assert symbolic.dtype == real.dtype
        sizes = {BATCH: batch, 2 * BATCH: batch and 2 * batch}
        assert symbolic.shape == tuple(sizes.get(size, size) for size in real.shape)
        return
    if isinstance(real, dict):
        assert list(symbolic) == list(real)
        symbolic, real = symbolic.values(), real.values()
    for each, value in zip(symbolic, real, strict=True):
        same_structure(each, value, batch)


@pytest.mark.parametrize("batch", [None, BATCH])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_of_a_symbolic_tensor_has_the_shape_and_dtype_of_its_value(
    name: str, batch: int | None
) -> None:
    function = FUNCTIONS[name]
    before = [torch.get_rng_state(), GENERATOR.get_state(), C.clone(), W.clone()]
    outputs = layers.Lambda(function)(Input((4,), batch))
    inferred = infer(function, KerasTensor((batch, 4)))
    for value, was in zip([torch.get_rng_state(), GENERATOR.get_state(), C, W], before, strict=True):
        assert torch.equal(value, was)
    real = function(torch.ones(BATCH, 4))
    same_structure(outputs, real, batch)
    same_structure(inferred, real, batch)


def caught(t: Tensor, test: Callable[[Tensor], Any] = bool) -> Tensor:
    """Return the input as integers; another shape if the test fails, which it does without values only."""
    try:
        return t.long() * (1 if test(t.sum()) else 2)
    except Exception:
        return t[:, :1]


# Functions that need values, with the dtype of their output.
NEED_VALUES: dict[str, tuple[Callable[[Tensor], Any], torch.dtype]] = {
    "item": (lambda t: t * t.sum().item(), torch.float32),
    "float": (lambda t: t.double() * float(t[0, 0]), torch.float64),
    "if": (lambda t: t.long() if t.sum() >= 0 else -t.long(), torch.int64),
    "size by a value": (lambda t: t[:, : int(t.sum()) + 4] > 0, torch.bool),
    "caught": (caught, torch.int64),
    "caught by numpy's name": (lambda t: caught(t, lambda t: t.numpy().any()), torch.int64),
    "tolist": (lambda t: torch.tensor(t.tolist()), torch.float32),
    "numpy": (lambda t: torch.from_numpy(t.numpy() > 0), torch.bool),
    "array operand": (lambda t: t * np.ones(4, np.float32), torch.float32),
    "nonzero": (lambda t: t.nonzero(), torch.int64),
    "where": (lambda t: torch.where(t == 0)[0], torch.int64),
    "mask": (lambda t: t[t == 0], torch.float32),
    "masked_select": (lambda t: torch.masked_select(t, t == 0).half(), torch.float16),
    "unique": (lambda t: torch.unique(t), torch.float32),
    "loop": (lambda t: t.int() * sum(int(k) for k in torch.arange(3)), torch.int32),
    "changed constant": (lambda t: t * torch.zeros(4).add_(t.sum()).sum().item(), torch.float32),
}


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")
@pytest.mark.parametrize("name", NEED_VALUES)
def test_function_that_needs_values_asks_for_the_output_shape(name: str) -> None:
    function, dtype = NEED_VALUES[name]
    with pytest.raises(ValueError, match=r"needs values.*output_shape=") as caught:
        layers.Lambda(function)(Input((4,)))
    assert "\n" not in str(caught.value)
    assert not re.search("(?i)meta|fake|10007", str(caught.value))
    known = layers.Lambda(function, output_shape=(4,))(Input((4,)))
    assert (known.shape, known.dtype) == ((None, 4), dtype)


class Subclass(layers.Layer):
    """A layer with everything that a call may touch: weights, buffers, attributes, torch modules."""

    def __init__(self) -> None:
        super().__init__()
        self.constant = C
        self.seen: Any = None
        self.linear = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.rnn = nn.LSTM(4, 3, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.register_buffer("running", torch.zeros(4))

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight("kernel", (4, 4))
        self.count = self.add_weight("count", (), initializer="zeros", trainable=False)

    def call(self, inputs: Tensor) -> Tensor:
        hidden = self.linear(inputs @ self.kernel * self.constant)
        with torch.no_grad():
            self.running = self.running * 0.9 + hidden.mean(0)
            self.count.add_(1)
        self.seen = hidden
        if not hasattr(self, "late"):
            self.late = nn.Linear(4, 4)
        steps = self.late(hidden)[:, None]
        return torch.cat([self.rnn(steps)[0], self.attention(steps, steps, steps)[0]], -1)


def test_symbolic_call_leaves_the_layer_alone() -> None:
    layer = Subclass()
    layer.build((None, 4))
    layer.built = True
    before = {key: (value, value.clone()) for key, value in layer.state_dict(keep_vars=True).items()}
    state = torch.get_rng_state()
    out = layer(Input((4,)))
    assert (out.shape, out.dtype) == ((None, 1, 7), torch.float32)
    assert torch.equal(state, torch.get_rng_state())
    after = layer.state_dict(keep_vars=True)
    assert after.keys() == before.keys()
    for key, (tensor, value) in before.items():
        assert after[key] is tensor
        assert torch.equal(tensor, value)
    assert layer.seen is None
    assert not hasattr(layer, "late")
    assert layer(torch.ones(2, 4)).shape == (2, 1, 7)
    assert layer.count.item() == 1
    assert layer.late.weight.device.type == "cpu"


def test_layers_built_in_a_symbolic_call_have_real_weights() -> None:
    class Outer(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.Dense(3)

        def call(self, inputs: Tensor) -> Any:
            if not hasattr(self, "late"):
                self.late = layers.Dense(2, kernel_initializer="ones")
                self.factor = self.add_weight("factor", (2,), initializer="ones")
            return self.late(self.inner(inputs)) * self.factor

    outer = Outer()
    model = Model(x := Input((4,)), outer(x))
    assert sorted(tuple(weight.shape) for weight in outer.weights) == [(2,), (2,), (3,), (3, 2), (4, 3)]
    assert not any(weight.is_meta for weight in outer.weights)
    assert torch.equal(model(torch.ones(5, 4)), outer.late(outer.inner(torch.ones(5, 4))))


def test_lazy_module_of_torch_gets_real_weights_in_a_symbolic_call() -> None:
    class Outer(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())

        def call(self, inputs: Tensor) -> Any:
            return self.inner(inputs)

    outer = Outer()
    assert outer(Input((4,))).shape == (None, 3)
    assert outer.inner[0].weight.shape == (3, 4)
    assert outer.inner[0].weight.device.type == "cpu"
    assert torch.equal(outer.inner[1].running_mean, torch.zeros(3))
    assert type(outer.inner[0]) is nn.Linear
    assert outer(torch.ones(2, 4)).shape == (2, 3)


# torch modules and functions, as `infer` is called for them; the oracle is the call on a tensor.
MODULES: dict[str, tuple[Callable[..., Any], list[tuple[int | None, ...]]]] = {
    "Linear": (nn.Linear(4, 2), [(None, 4)]),
    "LSTM": (nn.LSTM(4, 2, batch_first=True), [(None, 5, 4)]),
    "GRU of two layers": (nn.GRU(4, 2, 2, batch_first=True, bidirectional=True), [(None, 5, 4)]),
    "LayerNorm": (nn.LayerNorm(4), [(None, 4)]),
    "BatchNorm": (nn.BatchNorm1d(4), [(None, 4)]),
    "BatchNorm by counts": (nn.BatchNorm1d(4, momentum=0.1), [(None, 4)]),
    "Conv1d": (nn.Conv1d(4, 2, 3), [(None, 4, 7)]),
    "Embedding with max_norm": (lambda t: nn.Embedding(9, 4, max_norm=1.0)(t.long()), [(None, 5)]),
    "encoder": (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), [(None, 5, 4)]),
    "Bilinear": (nn.Bilinear(4, 4, 2), [(None, 4), (None, 4)]),
    "cat": (lambda x, y: torch.cat([x, y], dim=1), [(None, 4), (None, 2)]),
    "normalize": (nn.functional.normalize, [(None, 4)]),
    "cosine_similarity": (nn.functional.cosine_similarity, [(None, 4), (None, 4)]),
}


@pytest.mark.parametrize("name", MODULES)
def test_infer_of_a_module_agrees_with_its_call(name: str) -> None:
    function, shapes = MODULES[name]
    state = {} if not isinstance(function, nn.Module) else function.state_dict()
    before = {key: value.clone() for key, value in state.items()}
    outputs = infer(function, *[KerasTensor(shape) for shape in shapes])
    for key, value in before.items():
        assert torch.equal(state[key], value)
    real = function(*[torch.ones([BATCH if size is None else size for size in shape]) for shape in shapes])
    same_structure(outputs, real, None)


def test_infer_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"Linear cannot be called on an input of shape \(None, 3\): .*None"):
        infer(nn.Linear(4, 2), KerasTensor((None, 3)))


# Of these functions tf_keras is asked, on a symbolic tensor of shape (None, 4).
AS_KERAS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "constant": (lambda t: t - C, lambda t: t - tf.constant(C.numpy())),
    "dot": (lambda t: backend.dot(t, W), lambda t: tf_keras.backend.dot(t, tf.constant(W.numpy()))),
    "zeros of its shape": (lambda t: t + torch.zeros(t.shape), lambda t: t + tf.zeros(tf.shape(t))),
    "cast": (lambda t: (t - C).long(), lambda t: tf.cast(t - tf.constant(C.numpy()), "int64")),
    "compare": (lambda t: t > C, lambda t: t > tf.constant(C.numpy())),
    "matmul": (lambda t: t.double() @ W.double(), lambda t: tf.cast(t, "float64") @ W.double().numpy()),
    "argmax": (lambda t: (t * C).argmax(1), lambda t: tf.argmax(t * C.numpy(), 1)),
}


@pytest.mark.keras
@pytest.mark.parametrize("output_shape", [False, True])
@pytest.mark.parametrize("name", AS_KERAS)
def test_lambda_over_constants_is_as_in_keras(name: str, output_shape: bool) -> None:
    ours, theirs = AS_KERAS[name]
    wanted = tf_keras.layers.Lambda(theirs)(tf_keras.Input((4,)))
    options = {"output_shape": tuple(wanted.shape[1:])} if output_shape else {}
    out = layers.Lambda(ours, **options)(x := Input((4,)))
    assert (out.shape, str(out.dtype)) == (tuple(wanted.shape), f"torch.{wanted.dtype.name}")
    values = np.arange(12, dtype="float32").reshape(3, 4)
    theirs_model = tf_keras.Model(wanted._keras_history.layer.input, wanted)
    np.testing.assert_array_equal(
        Model(x, out)(torch.from_numpy(values)).numpy(), theirs_model(values).numpy()
    )


def test_symbolic_calls_beside_eager_calls_are_right() -> None:
    layer = Subclass().eval()
    ones = torch.ones(2, 4)
    wanted = layer(ones)

    def symbolic() -> None:
        for _ in range(20):
            assert layer(Input((4,))).shape == (None, 1, 7)

    def eager() -> None:
        for _ in range(200):
            torch.testing.assert_close(layer(ones), wanted)

    run_together(symbolic, eager, eager)


CONSTANT = torch.tensor([1.0, 2.0, 3.0, 4.0])
OTHERS: dict[str, tuple[Callable[[Tensor], Any], tuple[Any, ...], torch.dtype]] = {
    "compiled": (torch.compile(lambda t: t * CONSTANT, backend="eager"), (None, 4), torch.float32),
    "scores": (lambda t: top_k(t, torch.ones(7, 4), 3).scores, (None, 3), torch.float32),
    "indices": (lambda t: top_k(t.half(), torch.ones(7, 4), 2).indices, (None, 2), torch.int64),
}


@pytest.mark.parametrize("name", OTHERS)
def test_function_with_its_own_road_is_inferred(name: str) -> None:
    function, shape, dtype = OTHERS[name]
    output = layers.Lambda(function)(Input((4,)))
    assert (output.shape, output.dtype) == (shape, dtype)


def test_lists_and_dicts_of_a_layer_keep_no_tensor_without_values() -> None:
    class Keeps(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []
            self.latest: dict[str, Tensor] = {}

        def call(self, inputs: Tensor) -> Tensor:
            self.seen.append(inputs)
            self.latest["inputs"] = inputs
            return inputs

    layer = Keeps()
    layer(Input((4,)))
    assert not layer.seen
    assert not layer.latest

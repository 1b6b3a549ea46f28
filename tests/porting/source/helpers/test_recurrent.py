"""Recurrent layers and masks of the helpers against Keras's formulas in NumPy, step by step."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from batchdot.porting.source.helpers.activations import hard_sigmoid
from batchdot.porting.source.helpers.conv_lstm import ConvLSTM
from batchdot.porting.source.helpers.masked_steps import pack_masked, skip_masked, step_masked
from batchdot.porting.source.helpers.recurrent import KerasGRU, KerasLSTM, KerasRNN, ResetAfterGRU

BATCH, TIME, INPUTS, UNITS = 6, 5, 3, 4

MASK = torch.tensor(
    [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]]
).bool()
"""Whole, padded at the right, padded at the left, with holes, all padding, both ends."""


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard(x):
    return np.clip(0.2 * x + 0.5, 0, 1)


def keras(kind, weights, x, state, gate, activation, mask=None):
    """Return outputs and states by the formulas of Keras's documentation; gates side by side in its order."""
    kernel, recurrent, *bias = weights
    outputs, y = [], np.zeros((len(x), UNITS))
    for step in range(x.shape[1]):
        a, h = x[:, step] @ kernel, state[0]
        if kind == "lstm":
            i, f, c, o = np.split(a + h @ recurrent + bias[0], 4, axis=1)
            new_c = gate(f) * state[1] + gate(i) * activation(c)
            new = [gate(o) * activation(new_c), new_c]
        elif kind == "rnn":
            new = [activation(a + h @ recurrent + bias[0])]
        else:
            r_bias = bias[0][1] if kind == "gru after" else 0
            az, ar, an = np.split(a + (bias[0][0] if kind == "gru after" else bias[0]), 3, axis=1)
            uz, ur, un = np.split(h @ recurrent + r_bias, 3, axis=1)
            z, r = gate(az + uz), gate(ar + ur)
            candidate = r * un if kind == "gru after" else (r * h) @ recurrent[:, 2 * UNITS :]
            new = [z * h + (1 - z) * activation(an + candidate)]
        counts = np.ones((len(x), 1), bool) if mask is None else mask[:, step, None]
        state = [np.where(counts, one, other) for one, other in zip(new, state, strict=True)]
        y = np.where(counts, new[0], y)
        outputs.append(y)
    return np.stack(outputs, 1), state


def weights_of(kind, rng):
    gates = {"lstm": 4, "rnn": 1}.get(kind, 3)
    bias = (2, gates * UNITS) if kind == "gru after" else (gates * UNITS,)
    return [rng.normal(size=shape) for shape in ((INPUTS, gates * UNITS), (UNITS, gates * UNITS), bias)]


def module_of(kind, weights, gate, activation):
    """Return the module of the helpers with Keras's weights."""
    kernel, recurrent, bias = map(torch.from_numpy, weights)
    if kind == "rnn":
        module = KerasRNN(INPUTS, UNITS, activation).double()
    else:
        cls = {"lstm": KerasLSTM, "gru before": KerasGRU, "gru after": ResetAfterGRU}[kind]
        module = cls(INPUTS, UNITS, gate, activation).double()

    def turned(kernel):
        if kind == "lstm":  # i, f, c, o to i, f, o, c
            i, f, c, o = kernel.chunk(4, -1)
            kernel = torch.cat([i, f, o, c], -1)
        return kernel.T if kernel.dim() > 1 else kernel

    state = {"input.weight": turned(kernel), "recurrent.weight": turned(recurrent)}
    if kind == "gru after":
        state |= {"input.bias": bias[0], "recurrent.bias": bias[1]}
    else:
        state["input.bias"] = turned(bias)
    module.load_state_dict(state)
    return module


def torch_lstm(weights):
    lstm = nn.LSTM(INPUTS, UNITS, batch_first=True).double()
    kernel, recurrent, bias = map(torch.from_numpy, weights)
    zeros = torch.zeros_like(bias)
    lstm.load_state_dict(
        {"weight_ih_l0": kernel.T, "weight_hh_l0": recurrent.T, "bias_ih_l0": bias, "bias_hh_l0": zeros}
    )
    return lstm


def given(states, rng, begun):
    x = rng.normal(size=(BATCH, TIME, INPUTS))
    first = [rng.normal(size=(BATCH, UNITS)) if begun else np.zeros((BATCH, UNITS)) for _ in range(states)]
    return x, first


def as_state(arrays, begun):
    if not begun:
        return None
    tensors = tuple(map(torch.from_numpy, arrays))
    return tensors if len(tensors) > 1 else tensors[0]


def close(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-12, rtol=0)


def all_close(states, expected):
    for state, one in zip(states if isinstance(states, tuple) else (states,), expected, strict=True):
        close(state.reshape(one.shape), one)


ACTIVATIONS = {
    "hard": (hard, np.tanh, hard_sigmoid, torch.tanh),
    "relu": (sigmoid, lambda x: np.maximum(x, 0), torch.sigmoid, torch.relu),
}


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["lstm", "gru before", "gru after", "rnn"])
def test_recurrence_of_any_activation_is_kerass(kind, activations, begun):
    rng = np.random.default_rng(0)
    gate, activation, torch_gate, torch_activation = ACTIVATIONS[activations]
    weights = weights_of(kind, rng)
    x, first = given(2 if kind == "lstm" else 1, rng, begun)
    y, states = keras(kind, weights, x, first, gate, activation)
    found, ends = module_of(kind, weights, torch_gate, torch_activation)(
        torch.from_numpy(x), as_state(first, begun)
    )
    close(found, y)
    all_close(ends, states)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru before", "gru after", "rnn", "nn.LSTM"])
def test_skip_masked_repeats_output_of_last_step_that_counts(kind, begun):
    rng = np.random.default_rng(1)
    formula = "lstm" if kind == "nn.LSTM" else kind
    weights = weights_of(formula, rng)
    x, first = given(2 if formula == "lstm" else 1, rng, begun)
    y, _ = keras(formula, weights, x, first, sigmoid, np.tanh, MASK.numpy())
    state = as_state(first, begun)
    if kind == "nn.LSTM":
        module, state = torch_lstm(weights), state and tuple(part[None] for part in state)
    else:
        module = module_of(kind, weights, torch.sigmoid, torch.tanh)
    close(skip_masked(module, torch.from_numpy(x), MASK, state), y)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("run", [pack_masked, step_masked])
def test_masked_lstm_keeps_both_states(run, begun):
    rng = np.random.default_rng(2)
    weights = weights_of("lstm", rng)
    x, first = given(2, rng, begun)
    y, states = keras("lstm", weights, x, first, sigmoid, np.tanh, MASK.numpy())
    state = as_state(first, begun)
    if run is pack_masked:
        module, state = torch_lstm(weights), state and tuple(part[None] for part in state)
    else:
        module = module_of("lstm", weights, torch.sigmoid, torch.tanh)
    found, ends = run(module, torch.from_numpy(x), MASK, state)
    close(found, y)
    all_close(ends, states)


@pytest.mark.parametrize("run", [skip_masked, pack_masked])
def test_masked_steps_have_no_gradient(run):
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.normal(size=(BATCH, TIME, INPUTS))).requires_grad_()
    result = run(torch_lstm(weights_of("lstm", rng)), x, MASK)
    (result if run is skip_masked else result[0]).sum().backward()
    assert (x.grad.abs().sum(-1) > 0).equal(MASK)


@pytest.mark.parametrize("run", [skip_masked, pack_masked])
def test_masked_batch_of_none_is_of_none(run):
    result = run(nn.LSTM(INPUTS, UNITS, batch_first=True), torch.zeros(0, TIME, INPUTS), MASK[:0])
    assert (result if run is skip_masked else result[0]).shape == (0, TIME, UNITS)


def test_skip_masked_on_meta_has_shape():
    lstm = nn.LSTM(INPUTS, UNITS, batch_first=True, device="meta")
    y = skip_masked(lstm, torch.zeros(BATCH, TIME, INPUTS, device="meta"), MASK.to("meta"))
    assert y.shape == (BATCH, TIME, UNITS)


MODULES = {
    "lstm": lambda: KerasLSTM(INPUTS, UNITS, hard_sigmoid, torch.tanh),
    "gru": lambda: KerasGRU(INPUTS, UNITS, hard_sigmoid, torch.tanh),
    "gru after": lambda: ResetAfterGRU(INPUTS, UNITS, hard_sigmoid, nn.ELU()),
    "rnn": lambda: KerasRNN(INPUTS, UNITS, torch.sigmoid),
}


@pytest.mark.parametrize("name", MODULES)
def test_recurrence_is_an_ordinary_module(name):
    module, x = MODULES[name](), torch.rand(BATCH, TIME, INPUTS)
    y = module(x)[0]
    assert pickle.loads(pickle.dumps(module))(x)[0].equal(y)
    assert copy.deepcopy(module).double()(x.double())[0].dtype == torch.float64
    assert module(x[:0])[0].shape == (0, TIME, UNITS)
    assert copy.deepcopy(module).to("meta")(x.to("meta"))[0].shape == y.shape
    assert copy.deepcopy(module).bfloat16()(x.bfloat16())[0].dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert (module(x)[0] - y).abs().max() < 0.05
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(x)[0], y)


def test_conv_lstm_of_single_pixels_is_an_lstm_at_each():
    """Kernels of one pixel make a ConvLSTM an LSTM of its own at every place."""
    rng = np.random.default_rng(4)
    weights = weights_of("lstm", rng)
    lstm = module_of("lstm", weights, torch.sigmoid, torch.tanh)
    images = nn.Conv2d(INPUTS, 4 * UNITS, 1).double(), nn.Conv2d(UNITS, 4 * UNITS, 1, bias=False).double()
    module = ConvLSTM(*images, torch.sigmoid, torch.tanh)
    module.load_state_dict(
        {
            "input.weight": lstm.input.weight[..., None, None],
            "input.bias": lstm.input.bias,
            "recurrent.weight": lstm.recurrent.weight[..., None, None],
        }
    )
    x = torch.from_numpy(rng.normal(size=(2, TIME, INPUTS, 3, 2)))
    y, (_, c) = module(x)
    for row in range(3):
        for column in range(2):
            expected, (_, cell) = lstm(x[..., row, column])
            torch.testing.assert_close(y[..., row, column], expected)
            torch.testing.assert_close(c[..., row, column], cell)

"""Recurrent layers of Keras that PyTorch has not, called as if ``batch_first=True``.

The input's share of every gate is one product for all steps; the loop does what depends
on the step before. States are (B, units): they have no axis of layers.
"""

import torch
from torch import Tensor, nn


class KerasLSTM(nn.Module):
    """An LSTM with any activations; gates in the order i, f, o, c."""

    def __init__(
        self, inputs: int, units: int, gate, activation, bias: bool = True
    ) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, 4 * units, bias)
        self.recurrent = nn.Linear(units, 4 * units, bias=False)
        self.gate, self.activation = gate, activation

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        units, weight = self.recurrent.in_features, self.recurrent.weight.T
        x = self.input(x)
        h, c = state or (x.new_zeros(x.shape[0], units), x.new_zeros(x.shape[0], units))
        outputs = []
        for step in x.unbind(1):
            step = torch.addmm(step, h, weight)
            gates, new = step.tensor_split((3 * units,), dim=1)
            i, f, o = self.gate(gates).chunk(3, dim=1)
            c = f * c + i * self.activation(new)
            h = o * self.activation(c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h, c)


class KerasGRU(nn.Module):
    """A GRU that resets the state before the product with it; gates z, r, h."""

    def __init__(
        self, inputs: int, units: int, gate, activation, bias: bool = True
    ) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, 3 * units, bias)
        self.recurrent = nn.Linear(units, 3 * units, bias=False)
        self.gate, self.activation = gate, activation

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        units, weight = self.recurrent.in_features, self.recurrent.weight.T
        gate_weight, new_weight = weight.tensor_split((2 * units,), dim=1)
        x = self.input(x)
        h = x.new_zeros(x.shape[0], units) if h is None else h
        outputs = []
        for step in x.unbind(1):
            gates, new = step.tensor_split((2 * units,), dim=1)
            z, r = self.gate(torch.addmm(gates, h, gate_weight)).chunk(2, dim=1)
            new = self.activation(torch.addmm(new, r * h, new_weight))
            h = new + z * (h - new)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h


class ResetAfterGRU(nn.Module):
    """A GRU with any activations; gates in the order z, r, h."""

    def __init__(
        self, inputs: int, units: int, gate, activation, bias: bool = True
    ) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, 3 * units, bias)
        self.recurrent = nn.Linear(units, 3 * units, bias)
        self.gate, self.activation = gate, activation

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        units = self.recurrent.in_features
        x = self.input(x)
        h = x.new_zeros(x.shape[0], units) if h is None else h
        outputs = []
        for step in x.unbind(1):
            gates, new = step.tensor_split((2 * units,), dim=1)
            h_gates, h_new = self.recurrent(h).tensor_split((2 * units,), dim=1)
            z, r = self.gate(gates + h_gates).chunk(2, dim=1)
            new = self.activation(new + r * h_new)
            h = new + z * (h - new)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h


class KerasRNN(nn.Module):
    """A simple recurrent layer with any activation."""

    def __init__(self, inputs: int, units: int, activation, bias: bool = True) -> None:
        super().__init__()
        self.input = nn.Linear(inputs, units, bias)
        self.recurrent = nn.Linear(units, units, bias=False)
        self.activation = activation

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        units, weight = self.recurrent.in_features, self.recurrent.weight.T
        x = self.input(x)
        h = x.new_zeros(x.shape[0], units) if h is None else h
        outputs = []
        for step in x.unbind(1):
            h = self.activation(torch.addmm(step, h, weight))
            outputs.append(h)
        return torch.stack(outputs, dim=1), h

"""Keras's ConvLSTM, of any number of axes in space."""

import torch
from torch import Tensor, nn


class ConvLSTM(nn.Module):
    """An LSTM of convolutions over (B, T, C, ...); gates in the order i, f, o, c."""

    def __init__(
        self, inputs: nn.Module, recurrent: nn.Module, gate, activation
    ) -> None:
        super().__init__()
        self.input, self.recurrent = inputs, recurrent
        self.gate, self.activation = gate, activation

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x = self.input(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        filters = x.shape[2] // 4
        h, c = state or (torch.zeros_like(x[:, 0, :filters]),) * 2
        outputs = []
        for step in x.unbind(1):
            step = step + self.recurrent(h)
            gates, new = step.tensor_split((3 * filters,), dim=1)
            i, f, o = self.gate(gates).chunk(3, dim=1)
            c = f * c + i * self.activation(new)
            h = o * self.activation(c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), (h, c)

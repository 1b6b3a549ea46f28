"""Layers that tutorials use and batchdot does not have: Keras's own, or torch's module in their place."""

from typing import Any

import torch
from torch import nn

from batchdot import layers


class KerasParts:
    """The parts as the public tutorials write them."""

    def __init__(self, keras: Any) -> None:
        self.layers = keras.layers

    def lstm(self, x: Any, units: int, name: str, state: Any = None) -> Any:
        """Return the sequence, and the last state as a list."""
        layer = self.layers.LSTM(units, return_sequences=True, return_state=True, name=name)
        sequence, *last = layer(x, initial_state=state)
        return sequence, last

    def conv1d(self, x: Any, filters: int, size: int, name: str, activation: str | None = None) -> Any:
        return self.layers.Conv1D(filters, kernel_size=size, activation=activation, name=name)(x)

    def batch_norm(self, x: Any, name: str) -> Any:
        return self.layers.BatchNormalization(name=name)(x)

    def max_over_steps(self, x: Any) -> Any:
        return self.layers.GlobalMaxPooling1D()(x)

    def time_distributed(self, layer: Any, x: Any) -> Any:
        return self.layers.TimeDistributed(layer, name=layer.name)(x)


class TorchParts:
    """The parts as docs/from-keras/migration.md has them."""

    def lstm(self, x: Any, units: int, name: str, state: Any = None) -> Any:
        module = nn.LSTM(x.shape[-1], units, batch_first=True)
        module.bias_hh_l0.requires_grad_(False)  # a second bias, which Keras does not have
        lstm = layers.TorchModuleWrapper(module, name=name)
        sequence, last = lstm(x) if state is None else lstm(x, state)
        return sequence, last

    def conv1d(self, x: Any, filters: int, size: int, name: str, activation: str | None = None) -> Any:
        conv = layers.TorchModuleWrapper(nn.Conv1d(x.shape[-1], filters, size), name=name)
        x = layers.Permute((2, 1))(conv(layers.Permute((2, 1))(x)))
        return layers.Activation(activation)(x)

    def batch_norm(self, x: Any, name: str) -> Any:
        norm = layers.TorchModuleWrapper(nn.BatchNorm1d(x.shape[-1], eps=1e-3, momentum=0.01), name=name)
        return layers.Permute((2, 1))(norm(layers.Permute((2, 1))(x))) if x.dim() == 3 else norm(x)

    def max_over_steps(self, x: Any) -> Any:
        return x.amax(1)

    def time_distributed(self, layer: Any, x: Any) -> Any:
        return layer(x)


def set_torch_weights(module: nn.Module, arrays: list[Any]) -> None:
    """Set a module of PyTorch to the weights of Keras's layer."""
    tensors = [torch.from_numpy(array) for array in arrays]
    with torch.no_grad():
        if isinstance(module, nn.LSTM | nn.GRU):
            _set_recurrent(module, tensors)
        elif isinstance(module, nn.Conv1d | nn.Conv2d):  # (*kernel, in, out) becomes (out, in, *kernel)
            module.weight.copy_(tensors[0].movedim(-1, 0).movedim(-1, 1))
            module.bias.copy_(tensors[1])
        else:
            assert isinstance(module, nn.BatchNorm1d | nn.LayerNorm)
            names = ("weight", "bias", "running_mean", "running_var")[: len(tensors)]
            for name, tensor in zip(names, tensors, strict=True):
                getattr(module, name).copy_(tensor)


def _set_recurrent(module: nn.LSTM | nn.GRU, tensors: list[torch.Tensor]) -> None:
    """Set each direction to a kernel, a recurrent kernel and a bias; Keras's LSTM has one, its GRU two."""
    for suffix in ("_l0", "_l0_reverse")[: 1 + module.bidirectional]:
        kernel, recurrent, bias = (_gates(module, tensors.pop(0)) for _ in range(3))
        input_bias, recurrent_bias = bias if bias.dim() == 2 else (bias, torch.zeros_like(bias))
        getattr(module, f"weight_ih{suffix}").copy_(kernel.T)
        getattr(module, f"weight_hh{suffix}").copy_(recurrent.T)
        getattr(module, f"bias_ih{suffix}").copy_(input_bias)
        getattr(module, f"bias_hh{suffix}").copy_(recurrent_bias)


def _gates(module: nn.LSTM | nn.GRU, tensor: torch.Tensor) -> torch.Tensor:
    """Return a weight with its gates in PyTorch's order: i, f, c, o as in Keras, or r, z, h for z, r, h."""
    if isinstance(module, nn.LSTM):
        return tensor
    update, reset, candidate = tensor.chunk(3, -1)
    return torch.cat([reset, update, candidate], -1)


def keras_shapes(module: nn.Module) -> list[tuple[int, ...]]:
    """Return the shapes of the weights of Keras's layer that a module of `TorchParts` stands for."""
    if isinstance(module, nn.LSTM):
        units = module.hidden_size
        return [(module.input_size, 4 * units), (units, 4 * units), (4 * units,)]
    if isinstance(module, nn.Conv1d):
        return [(*module.kernel_size, module.in_channels, module.out_channels), (module.out_channels,)]
    assert isinstance(module, nn.BatchNorm1d)
    return [(module.num_features,)] * 4

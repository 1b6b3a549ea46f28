"""TorchModuleWrapper: a torch.nn.Module as a layer."""

from typing import Any

from torch import nn

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS


@LAYERS.register()
class TorchModuleWrapper(Layer):
    """Layer that calls a torch.nn.Module, so that the module takes part in a graph of layers.

    Its parameters, buffers, state and mode are those of the model around it, as with every submodule.

    Args:
        module: the module.
        name: as for every `Layer`.
        output_shape: the shape of the output with the batch axis, if `forward` cannot be run without values.
        **kwargs: as for every `Layer`.

    Call it on what the module takes; the output is the module's.

    Raises:
        TypeError: ``module`` is no torch.nn.Module.

    >>> import torch
    >>> from batchdot import Input, Model
    >>> words = Input((20, 8))
    >>> sequence, (hidden, cell) = TorchModuleWrapper(nn.LSTM(8, 16, batch_first=True))(words)
    >>> model = Model(words, sequence[:, -1])
    >>> model(torch.ones(2, 20, 8)).shape, model.count_params() == 4 * 16 * (8 + 16 + 2)
    (torch.Size([2, 16]), True)

    Source: ``keras.layers.TorchModuleWrapper`` of Keras 3.
    """

    def __init__(self, module: Any, name: str | None = None, output_shape: Any = None, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        if not isinstance(module, nn.Module):
            raise TypeError(f"TorchModuleWrapper wraps a torch.nn.Module. Received: module={module!r}")
        self.module = module
        self._given_shape = output_shape

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module."""
        return self.module(*args, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the argument ``output_shape``, or the shape of the module's output.

        Raises:
            ValueError: the module needs values for it, or does not take such a shape.

        >>> TorchModuleWrapper(nn.Linear(3, 2)).compute_output_shape((None, 3))
        (None, 2)
        """
        if self._given_shape is None:
            return super().compute_output_shape(input_shape)
        return tuple(self._given_shape)

    def get_config(self) -> dict[str, Any]:
        """Refuse: a module has no config.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"Layer {self.name} wraps a {type(self.module).__name__}, which has no config. "
            "Save the state_dict of the model, and make the model again by code."
        )

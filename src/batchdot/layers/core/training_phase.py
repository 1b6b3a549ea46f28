"""TrainingPhase: one of two tensors, by whether a call trains."""

from typing import Any

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS


@LAYERS.register()
class TrainingPhase(Layer):
    """Layer that returns the first of two tensors in a call that trains, and the second in one that does not.

    ``backend.in_train_phase`` makes it for symbolic tensors. Call it on a list of two tensors of one shape.

    >>> import torch
    >>> layer = TrainingPhase()
    >>> layer([torch.ones(1), torch.zeros(1)]), layer.eval()([torch.ones(1), torch.zeros(1)])
    (tensor([1.]), tensor([0.]))
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return one of the two tensors."""
        return inputs[0 if self.is_training(training) else 1]

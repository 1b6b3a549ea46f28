"""Weights of a layer: listing, getting, setting and constraining them.

A weight is a torch.nn.Parameter if it is trained and a buffer if not, so state_dict, optimizers and ``to``
treat it as any other. `weight_keys` says under which key, `weight_creation` makes it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from batchdot.convert import as_array, as_tensor, like_sharded
from batchdot.layers.base.placeholder import is_lazy
from batchdot.layers.base.weight_info import WeightInfo
from batchdot.layers.base.weight_keys import WeightKeys


class Weights(WeightKeys):
    """The part of `Layer` that lists, gets and sets weights."""

    @property
    def trainable(self) -> bool:
        """Whether the layer's weights are to be trained; setting it reaches the layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        fixed = {info.key for info in self._weight_infos if not info.trainable}
        for key in self._parameters:
            parameter = self._parameters[key]
            if parameter is not None and has_gradients(parameter.dtype):
                parameter.requires_grad = self._trainable and key not in fixed
        for child in self.children():
            set_trainable(child, self._trainable)

    @property
    def trainable_weights(self) -> list[Tensor]:
        """The weights that are trained, in the order they were made; none if the layer is not."""
        return self._gather_weights("trainable_weights") if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        """The weights that are not trained: all, where the layer is not."""
        return self._gather_weights("non_trainable_weights" if self.trainable else "weights")

    @property
    def weights(self) -> list[Tensor]:
        """All weights: the trained ones, then the others."""
        return self.trainable_weights + self.non_trainable_weights

    @property
    def variables(self) -> list[Tensor]:
        """All weights."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Tensor]:
        """The weights that are trained."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Tensor]:
        """The weights that are not trained."""
        return self.non_trainable_weights

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """Return copies of the weights as numpy arrays, in the order of `weights`.

        bfloat16, which numpy lacks, is returned as float32.
        """
        return [as_array(weight).copy() for weight in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Set the weights from arrays, in the order of `weights`.

        Raises:
            ValueError: another number of arrays, or an array of another shape. Nothing is set then.
        """
        mine, values = self.weights, [as_tensor(value) for value in weights]
        if len(mine) != len(values):
            raise ValueError(
                f'You called `set_weights(weights)` on layer "{self.name}" with a weight list of length '
                f"{len(values)}, but the layer was expecting {len(mine)} weights."
            )
        for weight, value in zip(mine, values, strict=True):
            if weight.shape != value.shape:
                raise ValueError(
                    f"Layer {self.name} weight shape {tuple(weight.shape)} is not compatible with provided "
                    f"weight shape {tuple(value.shape)}."
                )
        with torch.no_grad():
            for weight, value in zip(mine, values, strict=True):
                weight.copy_(like_sharded(value, weight))

    def count_params(self) -> int:
        """Return how many numbers the weights hold.

        Raises:
            ValueError: the layer is not built, so that it has no weights yet.
        """
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer {self.name}, but the layer isn't built. "
                f"You can build it manually via: `{self.name}.build(input_shape)`."
            )
        return sum(weight.numel() for weight in self.weights)

    def apply_constraints(self) -> None:
        """Replace each weight by the value of its constraint. Call it after each optimizer step.

        Keras's ``fit`` does so itself.
        """
        with torch.no_grad():
            for layer in [module for module in self.modules() if isinstance(module, Weights)]:
                for info in layer._weight_infos:
                    if info.constraint is not None:
                        layer._constrain(info)

    def _constrain(self, info: WeightInfo) -> None:
        """Replace a weight by the value of its constraint, through its parametrization or pruning.

        Raises:
            ValueError: the weight is parametrized, and torch cannot set it.
        """
        value = info.constraint(self._get_weight(info.key))  # type: ignore[misc]
        stored = self._stored(info.key)
        if stored is None and f"{info.key}_mask" in self._buffers:
            stored = self._parameters.get(f"{info.key}_orig")
        if stored is not None:
            stored.copy_(value)
            return
        try:
            setattr(self, info.key, value)
        except (AttributeError, NotImplementedError, RuntimeError, TypeError) as error:
            raise ValueError(
                f"The constraint of {info.key!r} of layer {self.name} cannot be applied: the weight is "
                "parametrized, and its parametrization cannot be set (it has no `right_inverse`)."
            ) from error

    def _get_weight(self, key: str) -> Any:
        """Return a weight for `call`, ten times faster than as an attribute.

        A parametrized or pruned weight is no parameter under its key any more, but still an attribute.
        """
        own = self._parameters
        return own[key] if key in own else getattr(self, key)

    def _weight_losses(self) -> list[Tensor]:
        """Return the values of this layer's regularizers, those of layers inside excluded."""
        return [
            info.regularizer(self._get_weight(info.key))
            for info in self._weight_infos
            if info.regularizer is not None
        ]

    def _own_weights(self) -> Iterator[Tensor]:
        """Yield the layer's own weights; for one that torch computes from others, the parameters of these."""
        keys = dict.fromkeys(info.key for info in self._weight_infos)
        for key in keys:
            stored = self._stored(key)
            if stored is not None:
                yield stored
                continue
            for other in self._parameters:  # kernel_orig; kernel_g and kernel_v
                if other.startswith(f"{key}_") and other not in keys:
                    yield self._parameters[other]  # type: ignore[misc]
            parametrizations = self._modules.get("parametrizations")
            if parametrizations is not None and hasattr(parametrizations, key):
                yield from getattr(parametrizations, key).parameters()
        for key in self._parameters:
            parameter = self._parameters[key]
            if key not in keys and parameter is not None and not is_lazy(parameter):
                yield parameter

    def _gather_weights(self, which: str) -> list[Tensor]:
        """Return the weights of a list, the layer's own and those inside."""
        own = list({id(weight): weight for weight in self._own_weights()}.values())
        if which == "weights":  # the order of a layer that is not trained: parameters first
            own.sort(key=lambda weight: not isinstance(weight, nn.Parameter))
        else:
            own = [weight for weight in own if weight.requires_grad == (which == "trainable_weights")]
        inner = [weight for child in self._inner_modules() for weight in weights_of(child, which)]
        return list({id(weight): weight for weight in own + inner}.values())

    def _inner_modules(self) -> list[nn.Module]:
        return list(self.children())


def set_trainable(module: nn.Module, value: bool) -> None:
    """Set whether a module inside a layer is trained, and all modules inside it."""
    if isinstance(module, Weights):
        module.trainable = value
        return
    for parameter in module.parameters(recurse=False):
        if has_gradients(parameter.dtype):
            parameter.requires_grad = value  # torch's placeholders lack `requires_grad_`
    for child in module.children():
        set_trainable(child, value)


def weights_of(module: nn.Module, which: str) -> list[Tensor]:
    """Return the weights of a module inside a layer: the list of a Layer, else by ``requires_grad``."""
    if isinstance(module, Weights):
        return list(getattr(module, which))
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    own = [weight for weight in own if not is_lazy(weight)]
    found = [w for w in own if which == "weights" or w.requires_grad == (which == "trainable_weights")]
    for child in module.children():
        found += weights_of(child, which)
    return found


def has_gradients(dtype: torch.dtype) -> bool:
    """Return whether torch computes gradients of tensors of a dtype.

    >>> has_gradients(torch.complex64), has_gradients(torch.int64)
    (True, False)
    """
    return dtype.is_floating_point or dtype.is_complex

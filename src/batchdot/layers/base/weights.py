"""Weights of a layer: making, listing, getting and setting them.

A weight is a torch.nn.Parameter if it is trained and a buffer if not, so state_dict, optimizers and ``to``
treat it as any other. `weight_keys` says under which key.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from batchdot import constraints, initializers, regularizers
from batchdot.convert import as_array, as_tensor, like_sharded, parse_dtype
from batchdot.layers.base.placeholder import WeightPlaceholder, fill, is_lazy
from batchdot.layers.base.weight_keys import WeightInfo, WeightKeys
from batchdot.symbolic.shape_inference import real_values


class Weights(WeightKeys):
    """The part of `Layer` that makes, lists, gets and sets weights."""

    def declare_weight(self, name: str, dtype: Any = None) -> None:
        """Say in ``__init__`` that `build` makes a trainable weight of this name.

        ``parameters()`` then has a placeholder for it, as in torch's lazy modules: an optimizer made before
        the first call trains the weight. `weights` has it once the layer is built.

        Args:
            name: the name of the attribute that the weight is assigned to, or that `add_weight` is given.
            dtype: a torch dtype or its name; by default the layer's.

        >>> from batchdot import Layer
        >>> class Scale(Layer):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.declare_weight("factor")
        ...     def build(self, input_shape):
        ...         self.factor = self.add_weight("factor", input_shape[-1:], initializer="ones")
        ...     def call(self, inputs):
        ...         return inputs * self.factor
        >>> layer = Scale()
        >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        >>> layer(torch.ones(2, 3)).sum().backward()
        >>> optimizer.step()
        >>> layer.factor
        Parameter containing:
        tensor([0.8000, 0.8000, 0.8000], requires_grad=True)
        """
        self._declares_weights = True
        own: dict[str, Any] = self._parameters
        kind = self._dtype if dtype is None else parse_dtype(dtype)
        with real_values():  # a layer may be made while shapes are inferred
            own[name] = self._declared[name] = WeightPlaceholder(
                self._trainable and (kind.is_floating_point or kind.is_complex),
                self._placement.device,
                kind,
                f"{name!r} of layer {self.name!r}",
            )

    def add_weight(
        self,
        name: str | None = None,
        shape: Any = (),
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = None,
        constraint: Any = None,
        partitioner: Any = None,
        use_resource: Any = None,
        synchronization: Any = "AUTO",
        aggregation: Any = "NONE",
        getter: Any = None,
    ) -> Any:
        """Make a weight.

        Args:
            name: its name; also its key in ``state_dict``, with underscores for dots and slashes, unless
                it is assigned to an attribute of another name.
            shape: tuple of sizes; () is a number.
            dtype: a torch dtype or its name; by default the layer's.
            initializer: a name, config, or function of (shape, dtype); by default Glorot's uniform
                one for floats and zeros for the rest.
            regularizer: a name, config, or function of the weight to a scalar, which joins `losses`.
            trainable: whether it is trained: a Parameter, else a buffer. By default it is, unless
                ``synchronization`` is ON_READ.
            constraint: a name, config, or function of the weight to the one it is replaced with by
                `apply_constraints`.
            partitioner: ignored, like ``use_resource``, ``aggregation`` and ``getter``.
            use_resource: see partitioner.
            synchronization: ON_READ refuses ``trainable=True``, as documented.
            aggregation: see partitioner.
            getter: see partitioner.

        Returns:
            The torch.nn.Parameter, or the buffer's tensor.

        Raises:
            ValueError: an unknown initializer, regularizer or constraint; ON_READ with
                ``trainable=True``; a dtype that needs an initializer; an unknown size.
        """
        on_read = str(getattr(synchronization, "name", synchronization)).upper().endswith("ON_READ")
        if on_read and trainable:
            raise ValueError(
                "Synchronization value can be set to ON_READ only for non-trainable variables. "
                f"Received trainable=True for weight {name!r} of layer {self.name}."
            )
        name = "weight" if name is None else str(name)
        kind = self._read_weight_dtype(name, dtype, initializer)
        trained = (not on_read if trainable is None else bool(trainable)) and self._trainable
        if initializer is None:
            initializer = "glorot_uniform" if kind.is_floating_point or kind.is_complex else "zeros"
        value = self._initial_value(name, shape, kind, initializers.get(initializer))
        info = WeightInfo(
            name,
            self._key_of_new_weight(name),
            trainable is not False and not on_read,
            regularizers.get(regularizer),
            constraints.get(constraint),
        )
        self._weight_infos.append(info)
        if info.trainable:
            declared = self._parameters.get(info.key)
            if isinstance(declared, WeightPlaceholder):
                return fill(declared, value)
            can_train = kind.is_floating_point or kind.is_complex
            self.register_parameter(info.key, nn.Parameter(value, requires_grad=trained and can_train))
            return self._parameters[info.key]
        self._parameters.pop(info.key, None)
        self.register_buffer(info.key, value)
        return value

    def add_variable(self, *args: Any, **kwargs: Any) -> Any:
        """Make a weight: another name for `add_weight`."""
        return self.add_weight(*args, **kwargs)

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
            if parameter is not None and (parameter.is_floating_point() or parameter.is_complex()):
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

    def _read_weight_dtype(self, name: str, dtype: Any, initializer: Any) -> torch.dtype:
        if dtype is None:
            return self._dtype
        try:
            kind = parse_dtype(dtype)
        except TypeError:
            kind = None
        if kind is None:
            raise ValueError(
                f"An initializer for variable {name} of type {dtype} is required for layer {self.name}."
                if initializer is None
                else f"Layer {self.name} cannot make weight {name!r} of dtype {dtype!r}."
            )
        return kind

    def _initial_value(self, name: str, shape: Any, dtype: torch.dtype, initializer: Any) -> Tensor:
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if None in sizes:
            raise ValueError(f"Layer {self.name} cannot make weight {name!r} of an unknown size: {sizes}.")
        with torch.inference_mode(False), torch.no_grad():
            value = as_tensor(initializer(sizes, dtype=dtype))
            if tuple(value.shape) != sizes:
                raise ValueError(
                    f"Layer {self.name} asked for weight {name!r} of shape {sizes}, and its initializer gave "
                    f"{tuple(value.shape)}."
                )
            return value.to(device=self._placement.device, dtype=dtype).clone()


def set_trainable(module: nn.Module, value: bool) -> None:
    """Set whether a module inside a layer is trained, and all modules inside it."""
    if isinstance(module, Weights):
        module.trainable = value
        return
    for parameter in module.parameters(recurse=False):
        if parameter.is_floating_point() or parameter.is_complex():
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

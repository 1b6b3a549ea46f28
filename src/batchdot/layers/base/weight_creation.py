"""Creation of the weights of a layer: `add_weight`, and `declare_weight` before their shapes are known."""

from typing import Any

import torch
from torch import Tensor, nn

from batchdot import constraints, initializers, regularizers
from batchdot.convert import as_tensor, parse_dtype
from batchdot.layers.base.placeholder import WeightPlaceholder, fill
from batchdot.layers.base.weight_info import WeightInfo
from batchdot.layers.base.weights import Weights, has_gradients
from batchdot.symbolic.call_context import real_values


class WeightCreation(Weights):
    """The part of `Layer` that makes weights."""

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
        dtype = self._dtype if dtype is None else parse_dtype(dtype)
        with real_values():  # a layer may be made while shapes are inferred
            own[name] = self._declared[name] = WeightPlaceholder(
                self._trainable and has_gradients(dtype),
                self._placement.device,
                dtype,
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
        trainable = not on_read if trainable is None else bool(trainable)
        dtype = self._weight_dtype(name, dtype, initializer)
        if initializer is None:
            initializer = "glorot_uniform" if has_gradients(dtype) else "zeros"
        value = self._initial_value(name, shape, dtype, initializers.get(initializer))
        key = self._key_of_new_weight(name)
        regularizer, constraint = regularizers.get(regularizer), constraints.get(constraint)
        self._weight_infos.append(WeightInfo(name, key, trainable, regularizer, constraint))
        if not trainable:
            self._parameters.pop(key, None)
            self.register_buffer(key, value)
            return value
        declared = self._parameters.get(key)
        if isinstance(declared, WeightPlaceholder):
            return fill(declared, value)
        parameter = nn.Parameter(value, requires_grad=self._trainable and has_gradients(dtype))
        self.register_parameter(key, parameter)
        return parameter

    def add_variable(self, *args: Any, **kwargs: Any) -> Any:
        """Make a weight: another name for `add_weight`."""
        return self.add_weight(*args, **kwargs)

    def _weight_dtype(self, name: str, dtype: Any, initializer: Any) -> torch.dtype:
        if dtype is None:
            return self._dtype
        try:
            return parse_dtype(dtype)
        except TypeError:
            raise ValueError(
                f"An initializer for variable {name} of type {dtype} is required for layer {self.name}."
                if initializer is None
                else f"Layer {self.name} cannot make weight {name!r} of dtype {dtype!r}."
            ) from None

    def _initial_value(self, name: str, shape: Any, dtype: torch.dtype, initializer: Any) -> Tensor:
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if None in sizes:
            raise ValueError(f"Layer {self.name} cannot make weight {name!r} of an unknown size: {sizes}.")
        with real_values(), torch.inference_mode(False), torch.no_grad():
            value = as_tensor(initializer(sizes, dtype=dtype))
            if tuple(value.shape) != sizes:
                raise ValueError(
                    f"Layer {self.name} asked for weight {name!r} of shape {sizes}, and its initializer gave "
                    f"{tuple(value.shape)}."
                )
            return value.to(device=self._placement.device, dtype=dtype).clone()

"""Lambda: a function as a layer."""

import inspect
from typing import Any

from torch import nn

from batchdot import activations
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.core.captures import find_captures, rebind
from batchdot.registry import Registry
from batchdot.symbolic.call_context import CONTEXT, LearningPhaseError
from batchdot.symbolic.functions import SYMBOLIC_FUNCTIONS
from batchdot.symbolic.tree import flatten
from batchdot.types import Shape


@LAYERS.register()
class Lambda(Layer):
    """Layer that calls a function.

    Args:
        function: a function of a tensor, or of a list of tensors. If it has parameters ``mask`` and
            ``training``, it is given them.
        output_shape: the shape of the output without the batch axis, or a function of the input's shape
            to the output's. By default the function is run on tensors without values; if it needs values,
            the shape has to be given, and the dtype of the output is that for zeros.
        mask: the mask of the output, or a function of the inputs and their mask that returns it.
        arguments: dictionary of further keyword arguments of the function.
        **kwargs: as for every `Layer`.

    Call it on what the function takes; the output is the function's.

    Parameters and modules that the function uses from around it, or in ``arguments``, become weights of the
    layer, so that ``parameters()`` has them; not those that only functions called by it use.

    A config holds the function by its name, and `from_config` looks that name up among the custom objects
    and this library's functions. It does not run bytecode, which Keras writes for a lambda: pass a function
    among the custom objects under the name of the layer.

    Raises:
        TypeError: `function` is not callable; a keyword that no layer has.

    >>> import torch
    >>> layer = Lambda(lambda x, n: x ** n, arguments={"n": 2})
    >>> layer(torch.tensor([3.0]))
    tensor([9.])

    Source: ``tf.keras.layers.Lambda``.
    """

    _pure_call = True

    def __init__(
        self,
        function: Any,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"Lambda expects `function` to be callable. Received: function={function!r}")
        self.function = function
        self.arguments = dict(arguments or {})
        self.mask = mask
        self._output_shape = output_shape
        self.supports_masking = mask is not None
        # The parameters of the function decide what it is given, not those of `call`.
        self._call_context_args = _parameters(function) & {"mask", "training"}
        self._call_params = self._call_context_args | {"inputs"}
        self._captures = {self._register(c.name, c.value(function)): c for c in find_captures(function)}
        self._weight_arguments = {
            name: self._register(name, value)
            for name, value in self.arguments.items()
            if isinstance(value, nn.Parameter | nn.Module)
        }

    def call(self, inputs: Any, **context: Any) -> Any:
        """Return the value of the function."""
        function, arguments = self.function, self.arguments
        if self._captures or self._weight_arguments:
            weights = {name: getattr(self, key) for name, key in self._weight_arguments.items()}
            function, arguments = self._own_function(), self.arguments | weights
        try:
            return function(inputs, **arguments, **context)
        except LearningPhaseError:  # the fast path does not say which layer is being called
            with CONTEXT.set(calls=[*CONTEXT.calls, self]):
                return function(inputs, **arguments, **context)

    def _register(self, name: str, value: nn.Parameter | nn.Module) -> str:
        """Make a weight or module that the function uses one of the layer, and return its key."""
        key = next((key for key, own in {**self._parameters, **self._modules}.items() if own is value), None)
        if key is None:
            key = self._unique_key(name)
            setattr(self, key, value)
        return key

    def _own_function(self) -> Any:
        """Return the function with this layer's weights, which torch may have copied or replaced."""
        changed = {
            capture: getattr(self, key)
            for key, capture in self._captures.items()
            if getattr(self, key) is not capture.value(self.function)
        }
        return rebind(self.function, changed) if changed else self.function

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the argument ``mask``, or its value if it is a function."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output: from `output_shape`, or by running the function.

        Raises:
            ValueError: the function needs values, and `output_shape` was not given.

        >>> Lambda(lambda x: x[:, :2]).compute_output_shape((None, 3))
        (None, 2)
        """
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)  # type: ignore[no-any-return]
        if callable(self._output_shape):
            return tuple(self._output_shape(input_shape))
        first = flatten(input_shape)
        return (first[0] if first else None, *self._output_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer, functions by their names.

        Raises:
            NotImplementedError: a function without a name, such as a Python lambda.
        """
        shape = self._output_shape
        config = super().get_config() | {
            "function": self._name_of(self.function, "function"),
            "function_type": "function",
            "module": self.function.__module__,
            "output_shape": self._name_of(shape, "output_shape") if callable(shape) else shape,
            "output_shape_type": "function" if callable(shape) else "raw",
            "output_shape_module": shape.__module__ if callable(shape) else None,
        }
        if self.mask is not None:
            config["mask"] = self._name_of(self.mask, "mask")
            config["mask_type"] = "function"
            config["mask_module"] = self.mask.__module__
        return config | {"arguments": dict(self.arguments)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Lambda":
        """Make a layer from what `get_config` returned, here or in Keras.

        Raises:
            ValueError: the function is not among the custom objects, or is bytecode.
        """
        config = dict(config)
        for argument, module in (("function", "module"), ("output_shape", None), ("mask", None)):
            kind = config.pop(f"{argument}_type", "raw")
            config.pop(module or f"{argument}_module", None)
            config[argument] = _deserialize_function(config.get(argument), kind, str(config.get("name")))
        return super().from_config(config)

    def extra_repr(self) -> str:
        """Return what torch prints between the brackets: the name and the function's."""
        function = getattr(self.function, "__name__", repr(self.function))
        return f"name={self.name!r}, function={function}"

    def _name_of(self, function: Any, argument: str) -> str:
        name = getattr(function, "__name__", "<lambda>")
        if name == "<lambda>":
            raise NotImplementedError(
                f"Layer {self.name} cannot be written as a config: its `{argument}` has no name. "
                "Define it by `def`, or write a subclass of Layer."
            )
        return str(name)


def _parameters(function: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a builtin without a signature
        return frozenset()


def _deserialize_function(value: Any, kind: str, layer: str) -> Any:
    """Return one of the arguments that may be functions, from the config of tf.keras or Keras 3."""
    if isinstance(value, dict):  # Keras 3
        kind = {"function": "function", "__lambda__": "lambda"}.get(value.get("class_name", ""), "raw")
        value = value.get("config")
    if kind == "raw" or value is None:
        return value
    functions = Registry[Any](f"function of Lambda layer {layer!r}", "builtins")
    for name, function in (*activations.ACTIVATIONS.items(), *SYMBOLIC_FUNCTIONS.items()):
        functions.add(name, function)
    if kind == "function":
        return functions.get_class(str(value))
    try:
        return functions.get_class(layer)
    except ValueError:
        raise ValueError(
            f"The function of Lambda layer {layer!r} was written as bytecode, which is not run here. Pass a "
            f"function for it: custom_objects={{{layer!r}: function}}."
        ) from None

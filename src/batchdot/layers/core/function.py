"""FunctionLayer: a function called on symbolic tensors, as a layer."""

from typing import Any

import torch

from batchdot.convert import dtype_name
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.naming import unique_name
from batchdot.layers.base.registry import LAYERS
from batchdot.symbolic import functions
from batchdot.symbolic.functions import SHAPE_RULES, SYMBOLIC_FUNCTIONS
from batchdot.symbolic.tensor import is_keras_tensor, symbolic_tensors
from batchdot.symbolic.tree import map_structure


class FunctionLayer(Layer):
    """A function of tensors as a layer, made when the function is called on symbolic tensors.

    Args:
        function: the name of the function, in ``batchdot.symbolic.functions.SYMBOLIC_FUNCTIONS``.
        args: its positional arguments as JSON can hold them; ``{"tensor": i}`` stands for the i-th input.
        kwargs: its keyword arguments, likewise.
        **options: as for every `Layer`.

    Call it on a tensor, or on the list of its tensor arguments; the output is the function's.

    Raises:
        ValueError: there is no function of that name.

    >>> from batchdot import Input
    >>> x = Input((3,))
    >>> (2 * x + 1).node.layer.get_config()["args"]
    [{'tensor': 0}, 1]
    """

    _pure_call = True

    def __init__(self, function: str, args: Any = (), kwargs: Any = None, **options: Any) -> None:
        options.setdefault("name", None)
        if function not in SYMBOLIC_FUNCTIONS:
            raise ValueError(
                f"There is no function {function!r} to make a layer of. Known: {sorted(SYMBOLIC_FUNCTIONS)}."
            )
        if options["name"] is None:
            options["name"] = unique_name(f"op_{function}")
        super().__init__(**options)
        self.function = function
        self.template = [list(args), dict(kwargs or {})]

    @classmethod
    def call_on(cls, function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make the layer of a function call, and call it on the symbolic tensors among the arguments."""
        inputs = symbolic_tensors([args, kwargs])
        position = {id(tensor): index for index, tensor in reversed(list(enumerate(inputs)))}

        def write(leaf: Any) -> Any:
            return {"tensor": position[id(leaf)]} if is_keras_tensor(leaf) else _write_constant(leaf)

        layer = cls(function, map_structure(write, list(args)), map_structure(write, dict(kwargs)))
        return layer(inputs if len(inputs) > 1 else inputs[0])

    def call(self, inputs: Any) -> Any:
        """Call the function."""
        tensors = inputs if isinstance(inputs, list | tuple) else [inputs]
        args, kwargs = _fill(self.template, tensors)
        return SYMBOLIC_FUNCTIONS[self.function](*args, **kwargs)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return the symbolic result of the function, from its shape rule if it has one."""
        if self.function not in SHAPE_RULES:
            return super().compute_output_spec(inputs)
        args, kwargs = _fill(self.template, symbolic_tensors(inputs))
        return SHAPE_RULES[self.function](*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the function's name and its arguments."""
        args, kwargs = self.template
        return super().get_config() | {"function": self.function, "args": args, "kwargs": kwargs}


# Configs, summaries and `batchdot.layers` know it as Function.
FunctionLayer.__name__ = "Function"
LAYERS.register()(FunctionLayer)
functions.layer_of_call = FunctionLayer.call_on


def _write_constant(value: Any) -> Any:
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    return value


def _fill(template: Any, tensors: Any) -> Any:
    """Return the arguments of the function, with these tensors in their places."""
    if isinstance(template, dict):
        if template.keys() == {"tensor"}:
            return tensors[template["tensor"]]
        if template.keys() == {"slice"}:
            return slice(*template["slice"])
        if template.keys() == {"ellipsis"}:
            return Ellipsis
        return {key: _fill(value, tensors) for key, value in template.items()}
    if isinstance(template, list | tuple):
        items = [_fill(item, tensors) for item in template]
        return items if isinstance(template, list) else tuple(items)
    if isinstance(template, torch.Tensor) and isinstance(tensors[0], torch.Tensor):
        return template if tensors[0].is_meta else template.to(tensors[0].device)
    return template

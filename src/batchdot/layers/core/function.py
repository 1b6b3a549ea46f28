"""FunctionLayer: a function called on symbolic tensors, as a layer."""

from typing import Any

import torch

from batchdot.convert import dtype_name, parse_dtype
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.naming import unique_name
from batchdot.layers.base.registry import LAYERS
from batchdot.symbolic import functions
from batchdot.symbolic.functions import SHAPE_RULES, SYMBOLIC_FUNCTIONS
from batchdot.symbolic.tensor import is_keras_tensor, symbolic_tensors
from batchdot.symbolic.torch_functions import find_function
from batchdot.symbolic.tree import map_structure, rebuild


class FunctionLayer(Layer):
    """A function of tensors as a layer, made when the function is called on symbolic tensors.

    Args:
        function: the name of the function, in ``batchdot.symbolic.functions.SYMBOLIC_FUNCTIONS`` or in torch,
            such as ``torch.sum``.
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
        if find_function(function) is None:
            raise ValueError(
                f"There is no function {function!r} to make a layer of. Known: {sorted(SYMBOLIC_FUNCTIONS)}."
            )
        if options["name"] is None:
            options["name"] = unique_name(f"op_{function.rpartition('.')[2].strip('_')}")
        super().__init__(**options)
        self.function = function
        self.constants: list[str] = []
        self.template = map_structure(self._hold, [list(args), dict(kwargs or {})])

    def _hold(self, value: Any) -> Any:
        """Register a tensor among the arguments as a parameter or buffer, and return what stands for it."""
        if not isinstance(value, torch.Tensor):
            return value
        name = f"constant_{len(self.constants)}"
        if isinstance(value, torch.nn.Parameter):
            self.register_parameter(name, value)
        else:
            self.register_buffer(name, value, persistent=False)
        self.constants.append(name)
        return {"constant": name}

    @classmethod
    def call_on(
        cls, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], name: str | None = None
    ) -> Any:
        """Make the layer of a function call, and call it on the symbolic tensors among the arguments."""
        inputs = symbolic_tensors([args, kwargs])
        position = {id(tensor): index for index, tensor in reversed(list(enumerate(inputs)))}

        def write(leaf: Any) -> Any:
            return {"tensor": position[id(leaf)]} if is_keras_tensor(leaf) else _write_constant(leaf)

        layer = cls(function, map_structure(write, list(args)), map_structure(write, dict(kwargs)), name=name)
        return layer(inputs if len(inputs) > 1 else inputs[0])

    def call(self, inputs: Any) -> Any:
        """Call the function."""
        function = find_function(self.function)
        assert function is not None
        args, kwargs = self._arguments(inputs if isinstance(inputs, list | tuple) else [inputs])
        return function(*args, **kwargs)

    def _arguments(self, tensors: Any) -> Any:
        """Return the arguments of the function, positional and by keyword, with these tensors among them."""
        return _fill(self.template, tensors, {name: getattr(self, name) for name in self.constants})

    def compute_output_spec(self, inputs: Any) -> Any:
        """Return the symbolic result of the function, from its shape rule if it has one."""
        if self.function not in SHAPE_RULES:
            return super().compute_output_spec(inputs)
        args, kwargs = self._arguments(symbolic_tensors(inputs))
        return SHAPE_RULES[self.function](*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the function's name and its arguments."""
        args, kwargs = _fill(self.template, None, {name: getattr(self, name) for name in self.constants})
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
    return {"torch.dtype": dtype_name(value)} if isinstance(value, torch.dtype) else value


def _fill(template: Any, tensors: Any, constants: dict[str, torch.Tensor]) -> Any:
    """Return the arguments of the function, with these tensors in their places.

    Without tensors, only constants are filled in: then it is what `get_config` returns.
    """
    if isinstance(template, dict):
        (key, value), *others = template.items() or [("", None)]
        if key == "constant" and not others and value in constants:
            constant = constants[value]
            if tensors is None or not isinstance(tensors[0], torch.Tensor) or tensors[0].is_meta:
                return constant
            return constant.to(tensors[0].device)
        if tensors is not None and not others and key in _FILLED and isinstance(value, _FILLED[key]):
            return _filled(key, value, tensors)
        return {key: _fill(value, tensors, constants) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return rebuild(template, [_fill(item, tensors, constants) for item in template])
    return template


_FILLED = {"tensor": int, "slice": list, "ellipsis": bool, "torch.dtype": str}
"""What stands for an argument that JSON lacks: the only key of a dictionary, and its value's type."""


def _filled(key: str, value: Any, tensors: Any) -> Any:
    if key == "tensor":
        return tensors[value]
    if key == "slice":
        return slice(*value)
    return Ellipsis if key == "ellipsis" else parse_dtype(value)

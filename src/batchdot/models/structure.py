"""Structure: how the inputs and outputs of a model are nested, and how values are put into that order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from batchdot.symbolic.tensor import KerasTensor
from batchdot.symbolic.tree import flatten, map_structure
from batchdot.types import Shape


def graph_tensors(value: Any, what: str) -> list[KerasTensor]:
    """Return the symbolic tensors in a structure, in order.

    Args:
        value: a symbolic tensor, or nested lists, tuples and dicts of them.
        what: "inputs" or "outputs", for the error.

    Raises:
        ValueError: a leaf is no symbolic tensor, or comes from no layer.
    """
    tensors = flatten(value)
    for tensor in tensors:
        if not isinstance(tensor, KerasTensor) or tensor.node is None:
            raise ValueError(
                f"The {what} of a model are symbolic tensors that come from Input. Received: {tensor!r}"
            )
    return tensors


def layer_names(tensors: Sequence[KerasTensor]) -> list[str]:
    """Return, for each symbolic tensor, the name of the layer it comes from."""
    return [tensor.node.layer.name for tensor in tensors if tensor.node is not None]


def order_inputs(inputs: Any, structure: Any, tensors: Sequence[KerasTensor], model_name: str) -> list[Any]:
    """Return what a model was called on as a list, one value for each of its inputs.

    Args:
        inputs: a tensor or array; a list or tuple of them; or a dict by the keys of ``structure``, or by the
            names of the input layers.
        structure: the inputs as the model was made with them.
        tensors: the same, flat.
        model_name: for the error.

    Raises:
        ValueError: a value is missing, or there are too many.
    """
    if isinstance(inputs, dict):
        names = layer_names(tensors)
        if isinstance(structure, dict) and set(inputs) == set(structure):
            names = list(structure)
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ValueError(f"Model {model_name} has no value for its inputs {missing}.")
        values = [inputs[name] for name in names]
    elif isinstance(inputs, list | tuple) and (len(tensors) > 1 or _is_list_of_inputs(inputs)):
        values = list(inputs) if len(inputs) == len(tensors) else flatten(inputs)
    else:
        values = [inputs]
    if len(values) != len(tensors):
        count = f"{len(tensors)} input" + ("" if len(tensors) == 1 else "s")
        raise ValueError(f"Model {model_name} has {count}. Received: {len(values)}.")
    return values


def fit_rank(value: Tensor, shape: Shape) -> Tensor:
    """Return a tensor with a last axis of size 1 added or removed, if it then has the rank of a shape.

    So ids of shape (B,) fit ``Input((1,))``, as in Keras.

    >>> import torch
    >>> [fit_rank(torch.ones(size), (None, 1)).shape for size in ((3,), (3, 1), (3, 1, 1))]
    [torch.Size([3, 1]), torch.Size([3, 1]), torch.Size([3, 1])]
    """
    if value.ndim == len(shape) - 1 and shape[-1] == 1:
        return value.unsqueeze(-1)
    if value.ndim == len(shape) + 1 and value.shape[-1] == 1:
        return value.squeeze(-1)
    return value


def pack_outputs(values: list[Any], structure: Any) -> Any:
    """Return a flat list of values in the structure of a model's outputs.

    >>> x = KerasTensor((None, 3))
    >>> pack_outputs([1, 2, 3], {"first": x, "rest": (x, [x])})
    {'first': 1, 'rest': (2, [3])}
    """
    if structure.__class__ is KerasTensor:
        return values[0]
    remaining: Iterator[Any] = iter(values)
    return map_structure(lambda _: next(remaining), structure)


def is_shape(value: Any) -> bool:
    """Return whether a value is one shape, rather than a list or dict of shapes.

    >>> is_shape((None, 3)), is_shape([2, 3]), is_shape([(2, 3)]), is_shape({"x": (2, 3)})
    (True, True, False, False)
    """
    return not isinstance(value, dict) and all(size is None or isinstance(size, int) for size in value)


def map_shapes(function: Callable[[Any], Any], shapes: Any) -> Any:
    """Apply a function to a shape, or to each shape in nested lists and dicts.

    Raises:
        ValueError: something is neither a shape nor a list or dict of shapes.

    >>> map_shapes(len, [(None, 3), {"x": (None,)}])
    [2, {'x': 1}]
    """
    if isinstance(shapes, dict):
        return {key: map_shapes(function, shape) for key, shape in shapes.items()}
    if not isinstance(shapes, list | tuple):
        raise ValueError(f"Expected a shape, or a list or dict of shapes. Received: {shapes!r}")
    return function(shapes) if is_shape(shapes) else [map_shapes(function, shape) for shape in shapes]


def _is_list_of_inputs(inputs: Sequence[Any]) -> bool:
    """Return whether a list holds inputs, rather than the numbers of one input."""
    return len(inputs) == 1 or any(isinstance(item, Tensor) for item in inputs)

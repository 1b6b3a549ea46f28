"""Layers that merge several tensors element by element: `Add`, `Multiply` and the like."""

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import Tensor

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor
from batchdot.types import Shape

LISTS = (list, tuple)
"""Types that hold several inputs."""


class Merge(Layer):
    """Base of the layers that merge a list of tensors; `Add` describes what they have in common."""

    _operation: ClassVar[Callable[[Any, Any], Any]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Check that the shapes fit. There are no weights.

        Raises:
            ValueError: they do not.
        """
        self.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Tensor:
        """Return the merged tensor."""
        if not isinstance(inputs, LISTS) or not inputs:
            self._check_shapes(getattr(inputs, "shape", inputs))
        try:
            rank = inputs[0].dim()
            for x in inputs:
                if x.dim() != rank:
                    return self._merge(_align(inputs))
            return self._merge(inputs)
        except RuntimeError:
            self.compute_output_shape([tuple(x.shape) for x in inputs])
            raise

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return where all inputs are valid; None if no input has a mask."""
        masks = [m for m in self._check_masks(inputs, mask) if m is not None]
        return reduce(torch.logical_and, masks) if masks else None

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for a list of shapes, whose unknown sizes are None.

        An unknown size is taken from another input if it is known there and not 1.

        Raises:
            ValueError: the shapes do not fit.

        >>> Add().compute_output_shape([(None, None, 3), (5, 4, 1), (None, 3)])
        (5, 4, 3)
        """
        shapes = self._check_shapes(input_shape)
        # Compared, not put into a set: torch.compile would compile again for each size that is hashed.
        batch = [shape[0] for shape in shapes if shape and shape[0] is not None]
        if any(size != batch[0] for size in batch):
            raise ValueError(
                f"Layer {self.name} cannot merge tensors with different batch sizes. "
                f"Got tensors with shapes {shapes}"
            )
        sizes = reduce(self._broadcast, [shape[1:] for shape in shapes])
        return (*((batch[0] if batch else None,) if any(shapes) else ()), *sizes)

    def _merge(self, inputs: Any) -> Tensor:
        """Merge tensors of one rank."""
        merged: Tensor = reduce(type(self)._operation, inputs)
        return merged

    def _broadcast(self, first: Shape, second: Shape) -> Shape:
        """Return the shape of an operation on two samples."""
        longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
        sizes = list(longer[: len(longer) - len(shorter)])
        for a, b in zip(longer[len(sizes) :], shorter, strict=True):
            if a != b and None not in (a, b) and 1 not in (a, b):
                raise ValueError(
                    f"Layer {self.name} has inputs with incompatible shapes. "
                    f"Received shapes {first} and {second}"
                )
            # If one size is unknown, the other is that of the output, unless it is 1.
            large = [size for size in (a, b) if size not in (1, None)]
            sizes.append(large[0] if large else None if None in (a, b) else 1)
        return tuple(sizes)

    def _known_sizes(self, shapes: list[Shape]) -> Shape:
        """Return the sizes that inputs take from each other, in the shape of the output."""
        return self.compute_output_shape(shapes)

    def _check_shapes(self, input_shape: Any) -> list[Shape]:
        is_list = isinstance(input_shape, list | tuple) and not isinstance(input_shape, torch.Size)
        if not (is_list and input_shape and all(isinstance(s, list | tuple) for s in input_shape)):
            raise ValueError(
                f"A merge layer should be called on a list of inputs. Layer {self.name} received: "
                f"input_shape={tuple(input_shape) if is_list else input_shape} (not a list of shapes)"
            )
        return [tuple(shape) for shape in input_shape]

    def _check_masks(self, inputs: Any, mask: Any) -> list[Any]:
        if mask is None:
            return []
        if not isinstance(mask, list | tuple) or not isinstance(inputs, list | tuple):
            raise ValueError(f"Layer {self.name} takes a list of masks for a list of inputs.")
        if len(mask) != len(inputs):
            raise ValueError(
                f"The lists `inputs` and `mask` of layer {self.name} should have the same length. "
                f"Received: {len(inputs)} inputs and {len(mask)} masks"
            )
        return list(mask)

    def _infer_by_call(self, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any) -> tuple[Any, Any]:
        """Infer from inputs whose unknown sizes are taken from other inputs, where known."""
        inputs = args[0]
        if isinstance(inputs, list | tuple):
            sizes = self._known_sizes([tuple(x.shape) for x in inputs])
            inputs = [_fill(x, _aligned(sizes, x)) for x in inputs]
            args = (inputs, *args[1:])
            if isinstance(masks, list | tuple):
                masks = [m if m is None else _fill(m, x.shape) for m, x in zip(masks, inputs, strict=True)]
        return super()._infer_by_call(args, kwargs, masks)


@LAYERS.register()
class Add(Merge):
    """Layer that adds a list of tensors.

    Args:
        **kwargs: as for every `Layer`.

    Call it on a list of tensors of shapes (B, ...). Sizes of 1 broadcast; a tensor with fewer axes than
    the others gets axes of size 1 after its batch axis. Dtypes are promoted as in PyTorch. The mask of the
    output is True where all masks of the inputs are.

    Raises:
        ValueError: no list of tensors, shapes that do not fit, or different batch sizes.
        TypeError: a keyword that no layer has.

    >>> Add()([torch.ones(2, 3), torch.ones(2, 1)]).shape
    torch.Size([2, 3])

    Source: ``tf.keras.layers.Add``.
    """

    _pure_call = True
    _operation = operator.add


@LAYERS.register()
class Subtract(Merge):
    """Layer that subtracts the second of two tensors from the first; called as `Add` is.

    >>> Subtract()([torch.ones(2, 1), torch.ones(2, 1)]).tolist()
    [[0.0], [0.0]]

    Source: ``tf.keras.layers.Subtract``.
    """

    _pure_call = True
    _operation = operator.sub

    def _check_shapes(self, input_shape: Any) -> list[Shape]:
        shapes = super()._check_shapes(input_shape)
        if len(shapes) != 2:
            raise ValueError(
                f"A `Subtract` layer should be called on exactly 2 inputs. Received: input_shape={shapes}"
            )
        return shapes

    def _merge(self, inputs: Any) -> Tensor:
        if len(inputs) != 2:
            self._check_shapes([tuple(x.shape) for x in inputs])
        difference: Tensor = inputs[0] - inputs[1]
        return difference


@LAYERS.register()
class Multiply(Merge):
    """Layer that multiplies a list of tensors; called as `Add` is.

    >>> Multiply()([torch.full((1, 2), 2.0), torch.full((1, 2), 3.0)])
    tensor([[6., 6.]])

    Source: ``tf.keras.layers.Multiply``.
    """

    _pure_call = True
    _operation = operator.mul


@LAYERS.register()
class Average(Merge):
    """Layer that averages a list of tensors; called as `Add` is. The average of integers is a float.

    >>> Average()([torch.ones(2, 2), torch.zeros(2, 2)]).tolist()
    [[0.5, 0.5], [0.5, 0.5]]

    Source: ``tf.keras.layers.Average``.
    """

    _pure_call = True
    _operation = operator.add

    def _merge(self, inputs: Any) -> Tensor:
        return super()._merge(inputs) / len(inputs)


@LAYERS.register()
class Maximum(Merge):
    """Layer that takes the largest of a list of tensors; called as `Add` is.

    >>> Maximum()([torch.tensor([[1, 5]]), torch.tensor([[3, 2]])])
    tensor([[3, 5]])

    Source: ``tf.keras.layers.Maximum``.
    """

    _pure_call = True
    _operation = torch.maximum


@LAYERS.register()
class Minimum(Merge):
    """Layer that takes the smallest of a list of tensors; called as `Add` is.

    >>> Minimum()([torch.tensor([[1, 5]]), torch.tensor([[3, 2]])])
    tensor([[1, 2]])

    Source: ``tf.keras.layers.Minimum``.
    """

    _pure_call = True
    _operation = torch.minimum


def add(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Add`: make the layer and call it. The functions below do the same.

    >>> add([torch.ones(2), torch.ones(2)])
    tensor([2., 2.])

    Source: ``tf.keras.layers.add``.
    """
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Subtract`.

    >>> subtract([torch.full((2,), 3.0), torch.full((2,), 2.0)])
    tensor([1., 1.])

    Source: ``tf.keras.layers.subtract``.
    """
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Multiply`.

    >>> multiply([torch.full((2,), 3.0), torch.full((2,), 2.0)])
    tensor([6., 6.])

    Source: ``tf.keras.layers.multiply``.
    """
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Average`.

    >>> average([torch.full((2,), 3.0), torch.full((2,), 2.0)])
    tensor([2.5000, 2.5000])

    Source: ``tf.keras.layers.average``.
    """
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Maximum`.

    >>> maximum([torch.full((2,), 3.0), torch.full((2,), 2.0)])
    tensor([3., 3.])

    Source: ``tf.keras.layers.maximum``.
    """
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """Functional form of `Minimum`.

    >>> minimum([torch.full((2,), 3.0), torch.full((2,), 2.0)])
    tensor([2., 2.])

    Source: ``tf.keras.layers.minimum``.
    """
    return Minimum(**kwargs)(inputs)


def _align(inputs: Any) -> list[Tensor]:
    """Return the tensors with one number of axes, new ones of size 1 after the batch axis."""
    rank = max(x.dim() for x in inputs)
    return [x.reshape(*x.shape[:1], *[1] * (rank - x.dim()), *x.shape[1:]) for x in inputs]


def _fill(tensor: Any, sizes: Shape) -> Any:
    """Return a symbolic tensor with its unknown sizes as given."""
    if not is_keras_tensor(tensor) or None not in tensor.shape:
        return tensor
    pairs = zip(tensor.shape, sizes, strict=False)
    return KerasTensor(tuple([b if a is None else a for a, b in pairs]), tensor.dtype)


def _aligned(sizes: Shape, tensor: Any) -> Shape:
    """Return the sizes of the output that belong to an input: the batch size, and the last ones."""
    rank = len(tensor.shape)
    return (*sizes[:1], *sizes[len(sizes) - rank + 1 :]) if rank else ()

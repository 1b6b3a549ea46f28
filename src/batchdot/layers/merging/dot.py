"""Dot: the layer over `batch_dot`."""

from copy import deepcopy
from typing import Any

import torch

from batchdot.layers.base.fast_call import own_way
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.ops.functional import EPSILON, batch_dot_operation
from batchdot.ops.operation import Operation
from batchdot.planning.axes import read_axes
from batchdot.planning.contraction import Contraction
from batchdot.types import Shape

_is_tracing = torch.compiler.is_dynamo_compiling


@LAYERS.register()
class Dot(Layer):
    """Layer that computes a dot product between samples in two tensors.

    Args:
        axes: the axes to sum over: an int for both inputs, or a pair. As in `batch_dot`, but not None.
        normalize: whether to L2-normalize samples along the summed axes first, which makes the
            output a cosine proximity.
        batch_dims: how many leading axes are shared between the samples.
        epsilon: floor on the squared norm of a slice; 1e-14 reproduces Keras 3.
        **kwargs: `name`, `trainable` and `dtype`, as for every `Layer`.

    Call it on two tensors of shapes (B, ...), as Keras does, ``layer([x, y])``, or as PyTorch does,
    ``layer(x, y)``. The output has x's shape without the summed axis, then y's without the shared and
    the summed one; (B, 1) where that has rank 1.

    Raises:
        TypeError: `axes` is not an int or a sequence; a keyword that no layer has.
        ValueError: `axes` is not a pair of integers, or names an axis that is shared.

    >>> import numpy as np
    >>> x = np.arange(10).reshape(1, 5, 2)
    >>> y = np.arange(10, 20).reshape(1, 2, 5)
    >>> Dot(axes=(1, 2))([x, y])
    tensor([[[260, 360],
             [320, 445]]])

    Source: ``tf.keras.layers.Dot``.
    """

    def __init__(
        self,
        axes: Any,
        normalize: bool = False,
        *,
        batch_dims: int = 1,
        epsilon: float = EPSILON,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if axes is None:
            raise TypeError(
                f"Invalid type for argument `axes`: it should be a list or an int. Received: axes={axes!r}"
            )
        pair = read_axes(axes)
        self.axes = deepcopy(axes) if isinstance(axes, int | list | tuple) else pair
        self.normalize = normalize
        self.batch_dims = batch_dims
        self.epsilon = epsilon
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Return None: a mask ends here, as documented."""
        return

    def call(self, inputs: Any, y: Any = None) -> Any:
        """Return the dot products of the samples of two tensors."""
        if y is None:
            inputs, y = inputs if inputs.__class__ is list and len(inputs) == 2 else _pair(inputs)
        if _is_tracing():
            from batchdot.ops.compile import trace_operation

            return trace_operation(self._operation, inputs, y)
        return self._operation(inputs, y)

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep the operation that the arguments of the layer ask for."""
        super().__setattr__(name, value)
        if name in ("axes", "normalize", "batch_dims", "epsilon") and "epsilon" in self.__dict__:
            self.__dict__["_operation"] = self._ask()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the operation behind: its plans are this process's."""
        return {key: value for key, value in super().__getstate__().items() if key != "_operation"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.__dict__["_operation"] = self._ask()

    _operation: Operation

    def _ask(self) -> Operation:
        return batch_dot_operation(
            self.axes, batch_dims=self.batch_dims, normalize=self.normalize, epsilon=self.epsilon
        )

    @own_way
    def forward(self, inputs: Any, y: Any = None, **kwargs: Any) -> Any:
        """Run the layer. The signature is spelled out for torch.export, which names inputs by it."""
        return super().forward(*((inputs,) if y is None else (inputs, y)), **kwargs)

    def build(self, input_shape: Any) -> None:
        """Check that two shapes fit; there are no weights to make.

        Raises:
            ValueError: not two shapes, or shapes that do not fit.
            AxisError: an axis outside ``[-rank, rank)``.
        """
        self._contract(input_shape)
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for a list of two shapes, whose unknown sizes are None.

        Raises:
            ValueError: not two shapes, or shapes that do not fit.
            AxisError: an axis outside ``[-rank, rank)``.

        >>> Dot(axes=1).compute_output_shape([(None, 3), (5, 3)])
        (5, 1)
        """
        return self._contract(input_shape).output_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer, as copies, the extras only where they say something."""
        config = super().get_config() | {"axes": deepcopy(self.axes), "normalize": self.normalize}
        if self.batch_dims != 1:
            config["batch_dims"] = self.batch_dims
        if self.epsilon != EPSILON:
            config["epsilon"] = self.epsilon
        return config

    def _is_plain(self) -> bool:
        return super()._is_plain() and type(self).call is Dot.call

    def _build_without_inputs(self) -> None:
        if not self.built:
            self.built = True  # what build would check, the call checks

    def _build_once(self, inputs: Any) -> None:
        if not _is_tracing():  # a compiled call leaves the layer as it was
            self._build_without_inputs()

    def _call_with_care(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return super()._call_with_care(([self._read_input(x) for x in _pair(*args)],), kwargs)

    def _call_symbolically(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # A node, and so a config, holds the list that Keras calls with.
        return super()._call_symbolically(([*_pair(*args)],), kwargs)

    def _infer(self, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any) -> tuple[Any, Any]:
        return self._operation.infer(*_pair(*args)), None

    def _contract(self, input_shape: Any) -> Contraction:
        shapes = list(input_shape) if isinstance(input_shape, list | tuple) else []
        if len(shapes) != 2 or not all(isinstance(shape, list | tuple) for shape in shapes):
            raise ValueError(
                f"A `Dot` layer should be called on a list of 2 inputs. Received: input_shape={input_shape}"
            )
        return self._operation.contract(tuple(shapes[0]), tuple(shapes[1]))


def dot(inputs: Any, axes: Any, normalize: bool = False, **kwargs: Any) -> Any:
    """Functional form of `Dot`: make the layer and call it.

    Args:
        inputs: a list of two tensors of shapes (B, ...).
        axes: as in `Dot`.
        normalize: as in `Dot`.
        **kwargs: the other arguments of `Dot`.

    Returns:
        What the layer returns. Raises what the layer raises.

    >>> import torch
    >>> dot([torch.ones(2, 3), torch.ones(2, 3)], axes=1)
    tensor([[3.],
            [3.]])
    """
    return Dot(axes, normalize, **kwargs)(inputs)


def _pair(inputs: Any, y: Any = None) -> tuple[Any, Any]:
    """Return the two inputs, given as a list or one by one."""
    if y is not None:
        return inputs, y
    if not isinstance(inputs, list | tuple) or len(inputs) != 2:
        raise ValueError(
            f"A `Dot` layer should be called on a list of 2 inputs. Received: inputs={_describe(inputs)}"
        )
    return inputs[0], inputs[1]


def _describe(value: Any) -> str:
    """Return a short text for what may be a large tensor."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_describe, value[:4])) + (", ...]" if len(value) > 4 else "]")
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"{type(value).__name__} of shape {tuple(shape)}"

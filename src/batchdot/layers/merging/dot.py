"""Dot: dot products between the samples of two tensors, as a layer over `batch_dot`."""

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar, overload

from torch import Tensor

from batchdot._torch import is_tracing
from batchdot.convert import TensorLike
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.state import derived
from batchdot.ops.arguments import batch_dot_operation
from batchdot.ops.dispatch import run
from batchdot.ops.operation import Operation
from batchdot.planning.axes import check_axes
from batchdot.symbolic.functions import infer_operation
from batchdot.symbolic.tensor import KerasTensor, symbolic_tensors
from batchdot.types import EPSILON, Shape, SymbolicTensor

S = TypeVar("S", bound=SymbolicTensor)


@LAYERS.register()
class Dot(Layer):
    """Layer that computes a dot product between samples in two tensors.

    Args:
        axes: the axes to sum over: an int for both inputs, or a pair. As in `batch_dot`, except None.
        normalize: whether to L2-normalize the inputs along the summed axes first; the output is then
            the cosine of the angle between samples.
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

    _pure_call = True

    if TYPE_CHECKING:  # the call of every layer, with the types that follow for this one

        @overload
        def __call__(self, inputs: Sequence[S], /) -> S: ...
        @overload
        def __call__(self, inputs: Sequence[TensorLike], /) -> Tensor: ...
        @overload
        def __call__(self, x: S, y: TensorLike | SymbolicTensor, /) -> S: ...
        @overload
        def __call__(self, x: TensorLike, y: S, /) -> S: ...
        @overload
        def __call__(self, x: TensorLike, y: TensorLike, /) -> Tensor: ...
        @overload
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Return the dot products, or their symbolic tensor for symbolic inputs."""
            return super().__call__(*args, **kwargs)

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
        pair = check_axes(axes)
        self.axes = deepcopy(axes) if isinstance(axes, int | list | tuple) else pair
        self.normalize = normalize
        self.batch_dims = batch_dims
        self.epsilon = epsilon
        self.supports_masking = True
        self._operation  # noqa: B018  # refuses wrong arguments
        self._build_at_init()

    @derived
    def _operation(self) -> Operation:
        return batch_dot_operation(
            self.axes, batch_dims=self.batch_dims, normalize=self.normalize, epsilon=self.epsilon
        )

    def forward(self, inputs: Any, y: Any = None, **kwargs: Any) -> Any:
        """Run the layer. The parameters have names here because torch.export names inputs by them."""
        if kwargs.__class__ is not dict:  # torch.fx passes one placeholder for all
            raise self._fx_error()
        return super().forward(*((inputs,) if y is None else (inputs, y)), **kwargs)

    def call(self, inputs: Any, y: Any = None) -> Any:
        """Return the dot products of the samples of two tensors."""
        if y is None:
            inputs, y = inputs if inputs.__class__ is list and len(inputs) == 2 else _pair(inputs)
        if is_tracing():
            from batchdot.ops.compile import trace_operation

            return trace_operation(self._operation, inputs, y)
        return run(self._operation, inputs, y)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """Return None: a mask ends here, as documented."""
        return

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for a list of two shapes, whose unknown sizes are None.

        Raises:
            ValueError: not two shapes, or shapes that do not fit.
            AxisError: an axis outside ``[-rank, rank)``.

        >>> Dot(axes=1).compute_output_shape([(None, 3), (5, 3)])
        (5, 1)
        """
        shapes = list(input_shape) if isinstance(input_shape, list | tuple) else []
        if len(shapes) != 2 or not all(isinstance(shape, list | tuple) for shape in shapes):
            raise ValueError(
                f"A `Dot` layer should be called on a list of 2 inputs. Received: input_shape={input_shape}"
            )
        return self._operation.contract(tuple(shapes[0]), tuple(shapes[1])).output_shape

    def compute_output_spec(self, inputs: Any, y: Any = None) -> KerasTensor:
        """Return the symbolic output for two symbolic tensors of shapes (B, ...).

        Raises:
            ValueError: not two inputs, or shapes that do not fit.
            TypeError: dtypes that are not numbers.

        >>> Dot(axes=1).compute_output_spec([KerasTensor((None, 3)), KerasTensor((5, 3))])
        <KerasTensor shape=(5, 1) dtype=float32>
        """
        return infer_operation(self._operation, *_pair(inputs, y))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer, as copies; those that Keras lacks only if not the default."""
        config = super().get_config() | {"axes": deepcopy(self.axes), "normalize": self.normalize}
        if self.batch_dims != 1:
            config["batch_dims"] = self.batch_dims
        if self.epsilon != EPSILON:
            config["epsilon"] = self.epsilon
        return config

    def _bind_inputs(self, *args: Any) -> tuple[Any, ...]:
        pair = [*_pair(*args)]
        return (pair if symbolic_tensors(pair) else [self._convert_input(value, pair) for value in pair],)


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

    Source: ``tf.keras.layers.dot``.
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

"""Dense: matrix product with a kernel, plus a bias."""

from typing import Any

import torch
from torch import Tensor

from batchdot import activations, constraints, initializers, regularizers
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.validation import check_bool, check_least_rank, check_positive_int
from batchdot.types import Shape


@LAYERS.register()
class Dense(Layer):
    """Layer that computes ``activation(inputs @ kernel + bias)`` along the last axis.

    Args:
        units: size of the last axis of the output.
        activation: a name, a config or a function of the output; None means none.
        use_bias: whether there is a bias.
        kernel_initializer: a name, config or function of (shape, dtype) for the kernel.
        bias_initializer: the same for the bias.
        kernel_regularizer: a name, config or function of the kernel to a scalar that joins `losses`.
        bias_regularizer: the same for the bias.
        activity_regularizer: the same for the output; its value is divided by the batch size.
        kernel_constraint: a name, config or function of the kernel to the kernel that replaces it in
            `apply_constraints`.
        bias_constraint: the same for the bias.
        **kwargs: as for every `Layer`.

    Call it on a tensor of shape (B, ..., K). The output has shape (B, ..., units) and the dtype of the
    kernel, to which the inputs are cast. The kernel has shape (K, units), the bias (units,).

    Raises:
        ValueError: `units` is not a positive integer; inputs of rank below 2, or whose last axis does
            not fit.
        TypeError: a dtype that is not floating or complex; a keyword that no layer has.

    >>> layer = Dense(2, activation="relu", kernel_initializer="ones")
    >>> layer(torch.tensor([[1, 2, 3]]))
    tensor([[6., 6.]], grad_fn=<ReluBackward0>)
    >>> [tuple(weight.shape) for weight in layer.weights]
    [(3, 2), (2,)]

    Source: ``tf.keras.layers.Dense``.
    """

    _pure_call = True

    def __init__(
        self,
        units: Any,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = check_positive_int("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = check_bool("Dense", "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.supports_masking = True
        if not (self._dtype.is_floating_point or self._dtype.is_complex):
            raise TypeError(
                f"A Dense layer can only be built with a floating-point dtype. Received: dtype={self.dtype}"
            )
        self.declare_weight("kernel")
        if self.use_bias:
            self.declare_weight("bias")
        else:
            self.bias = None

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of a shape, whose last size is known.

        Raises:
            ValueError: fewer than two axes, or a last size that is not known.
        """
        check_least_rank(self, input_shape, 2)
        if input_shape[-1] is None:
            raise ValueError(
                "The last dimension of the inputs to a Dense layer should be defined. Found None. "
                f"Full input shape received: {tuple(input_shape)}"
            )
        self.kernel = self.add_weight(
            "kernel",
            (input_shape[-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def call(self, inputs: Tensor) -> Any:
        """Return the outputs for inputs of shape (B, ..., K)."""
        own: dict[str, Any] = self._parameters  # ten times faster than the attributes
        kernel, bias = own.get("kernel"), own.get("bias")
        if kernel is None:  # parametrized or pruned: still an attribute
            kernel = self.kernel
        if bias is None and self.use_bias:
            bias = self.bias
        if inputs.dtype is not kernel.dtype:
            inputs = self._cast(inputs, kernel.dtype)
        rank = inputs.dim()
        try:
            if bias is not None and rank == 2:
                outputs = torch.addmm(bias, inputs, kernel)
            elif rank > 1:
                outputs = torch.nn.functional.linear(inputs, kernel.t(), bias)
            else:
                check_least_rank(self, inputs.shape, 2)  # raises
        except RuntimeError:
            if inputs.shape[-1] != kernel.shape[0]:
                raise self._size_error(inputs.shape) from None
            raise
        if outputs.dtype is not kernel.dtype:  # under autocast
            outputs = outputs.to(kernel.dtype)
        activation = self.activation
        if activation is activations.linear:
            return outputs
        if activation is activations.relu:  # torch.compile would guard on each of its defaults
            return torch.relu(outputs)
        return activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for the shape of the input, whose unknown sizes are None.

        Raises:
            ValueError: fewer than two axes, or a last size that does not fit.

        >>> Dense(4).compute_output_shape((None, 7, 3))
        (None, 7, 4)
        """
        shape = tuple(input_shape)
        check_least_rank(self, shape, 2)
        if self.built and shape[-1] not in (None, self.kernel.shape[0]):
            raise self._size_error(shape)
        return (*shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        config = super().get_config()
        config.pop("activity_regularizer", None)  # it comes later in the config, as in Keras
        return config | {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }

    def _cast(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        if inputs.is_complex() and not dtype.is_complex:
            raise TypeError(
                f"Layer {self.name} of {self.dtype} does not take complex inputs, whose imaginary parts "
                "it would drop."
            )
        return inputs.to(dtype)

    def _size_error(self, shape: Any) -> ValueError:
        return ValueError(
            f'Input 0 of layer "{self.name}" is incompatible with the layer: expected axis -1 of input '
            f"shape to have value {self.kernel.shape[0]}, but received input with shape {tuple(shape)}"
        )

"""Functions of keras.backend on torch tensors, under Keras's names.

Functions of tensors also accept symbolic tensors, numpy arrays and nested lists. ``name`` is accepted
everywhere and has an effect for placeholders only. A variable is a tensor; after ``requires_grad_()`` an
optimizer can train it.

Source: ``tf.keras.backend``.
"""

from batchdot.backend._arrays import (
    cast,
    expand_dims,
    l2_normalize,
    permute_dimensions,
    reshape,
    squeeze,
    transpose,
)
from batchdot.backend._values import (
    constant,
    dtype,
    eval,
    get_value,
    int_shape,
    is_sparse,
    ndim,
    ones,
    placeholder,
    random_normal_variable,
    random_uniform_variable,
    set_value,
    shape,
    variable,
    zeros,
)
from batchdot.config import epsilon, floatx, set_epsilon, set_floatx
from batchdot.layers.base.naming import clear_names as clear_session
from batchdot.ops.functional import batch_dot, dot
from batchdot.symbolic.tensor import is_keras_tensor

__all__ = [
    "batch_dot",
    "cast",
    "clear_session",
    "constant",
    "dot",
    "dtype",
    "epsilon",
    "eval",
    "expand_dims",
    "floatx",
    "get_value",
    "int_shape",
    "is_keras_tensor",
    "is_sparse",
    "l2_normalize",
    "ndim",
    "ones",
    "permute_dimensions",
    "placeholder",
    "random_normal_variable",
    "random_uniform_variable",
    "reshape",
    "set_epsilon",
    "set_floatx",
    "set_value",
    "shape",
    "squeeze",
    "transpose",
    "variable",
    "zeros",
]

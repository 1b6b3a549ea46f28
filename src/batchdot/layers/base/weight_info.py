"""What Keras knows of a weight in addition to its value: name, regularizer and constraint."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class WeightInfo:
    """The Keras attributes of a weight, in addition to its value.

    Attributes:
        name: the name it was given.
        key: its key in ``state_dict``.
        trainable: whether it is trained while the layer is.
        regularizer: a function of the weight whose value joins `losses`, or None.
        constraint: a function of the weight that `apply_constraints` replaces it by, or None.
        is_attribute: whether it was assigned to the attribute ``key``.
    """

    name: str
    key: str
    trainable: bool
    regularizer: Callable[[Tensor], Tensor] | None
    constraint: Callable[[Tensor], Tensor] | None
    is_attribute: bool = False

"""Keras's weight initializers: functions from a shape and a dtype to a tensor of initial values.

With a seed, an initializer returns the same values at every call and on every device. Without one it uses
torch's global generator (``torch.manual_seed``).

The files have the names of Keras's: `initializer` is the base, `constant_initializers` and
`random_initializers` are the classes.

Source: ``tf.keras.initializers``. The distributions are Keras's; the random numbers are torch's.
"""

from typing import TYPE_CHECKING

from batchdot.initializers.constant_initializers import Constant, Identity, Ones, Zeros
from batchdot.initializers.initializer import INITIALIZERS, Initializer
from batchdot.initializers.random_initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from batchdot.keras_names.lookup import module_attribute

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

get, serialize, deserialize = INITIALIZERS.get, INITIALIZERS.serialize, INITIALIZERS.deserialize

zeros, ones, constant = Zeros, Ones, Constant
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, orthogonal, identity = VarianceScaling, Orthogonal, Identity
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
he_uniform, he_normal = HeUniform, HeNormal


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # with a __getattr__, every name would be valid for a type checker

    def __getattr__(name: str) -> object:
        return module_attribute(__name__, name)

"""Layers that merge several inputs: shapes and masks that one input knows, the functional forms, averages."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.support.layer_suite import make_arrays
from tests.support.live_keras import tf, tf_keras

import batchdot
from batchdot import layers

PARTLY_KNOWN = [("Add", {}), ("Concatenate", {}), ("Maximum", {}), ("Concatenate", {"axis": 1})]


def keras_shape_of_partly_known(name: str, arguments: dict[str, Any]) -> Any:
    inputs = [tf_keras.Input((None, 3)), tf_keras.Input((4, 3), batch_size=2)]
    return tuple(getattr(tf_keras.layers, name)(**arguments)(inputs).shape)


@pytest.mark.parametrize(("name", "arguments"), PARTLY_KNOWN)
def test_size_unknown_in_one_input_taken_from_another(name: str, arguments: Any, keras_says: Any) -> None:
    inputs = [batchdot.Input((None, 3)), batchdot.Input((4, 3), batch_size=2)]
    wanted = keras_says(keras_shape_of_partly_known, name, arguments)
    assert getattr(layers, name)(**arguments)(inputs).shape == wanted


def test_concatenate_mask_beside_none_along_time() -> None:
    mask = torch.tensor([[True, False]])
    joined = layers.Concatenate(axis=1).compute_mask([torch.ones(1, 2, 3), torch.ones(1, 1, 3)], [mask, None])
    assert joined.tolist() == [[True, False, True]]


@pytest.mark.parametrize("name", ["Add", "Concatenate", "Average"])
def test_symbolic_mask_has_known_sizes(name: str) -> None:
    ids = batchdot.Input((None,), dtype="int64")
    short = batchdot.Input((4,), dtype="int64")
    embed = layers.Embedding(7, 3, mask_zero=True)
    out = getattr(layers, name)()([embed(ids), embed(short)])
    assert out.mask.shape == (None, 4)
    assert layers.Concatenate(axis=1)([embed(ids), embed(short)]).mask.shape == (None, None)


FUNCTIONAL = ("add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate")


def keras_functional(name: str) -> Any:
    arrays = make_arrays(((2, 3), (2, 3)), "float")
    return getattr(tf_keras.layers, name)([tf.constant(array) for array in arrays]).numpy()


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_functional_form_as_keras(name: str, keras_says: Any) -> None:
    arrays = make_arrays(((2, 3), (2, 3)), "float")
    mine = getattr(layers, name)([torch.tensor(array) for array in arrays], name="own").numpy()
    wanted = keras_says(keras_functional, name)
    assert (mine.shape, mine.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(mine, wanted, rtol=2e-6, atol=2e-6)
    inputs = [batchdot.Input((3,)), batchdot.Input((3,))]
    assert getattr(layers, name)(inputs, name="own").node.layer.name == "own"


def test_average_of_integers_is_of_floatx() -> None:
    x = torch.tensor([[1, 2]])
    assert layers.Average()([x, 2 * x]).tolist() == [[1.5, 3.0]]  # float64 in tf_keras

"""What layers refuse: the type of the error, and its whole text."""

from typing import Any

import numpy as np
import pytest
import torch

import batchdot
from batchdot import layers
from batchdot.errors import AxisError

X = torch.ones(2, 3)
MISFIT = 'Input 0 of layer "own" is incompatible with the layer: '
SIZE = "received an invalid value for"


def of(*shape: int) -> torch.Tensor:
    return torch.ones(shape)


def second(make: Any, good: Any, bad: Any) -> Any:
    """Call with what fits, then with what does not: on the way that checks least."""
    layer = make()
    layer(good)
    layer(good)
    return layer(bad)


# What is done, and what is raised.
ARGUMENTS: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: layers.Dense(0),
        ValueError,
        f"Dense {SIZE} `units`, expected a positive integer. Received: units=0",
    ),
    (
        lambda: layers.Dense("3"),
        ValueError,
        f"Dense {SIZE} `units`, expected a positive integer. Received: units='3'",
    ),
    (
        lambda: layers.Dense(2.5),
        ValueError,
        f"Dense {SIZE} `units`, expected a positive integer. Received: units=2.5",
    ),
    (
        lambda: layers.Dense(True),
        ValueError,
        f"Dense {SIZE} `units`, expected a positive integer. Received: units=True",
    ),
    (
        lambda: layers.Dense(2, use_bias="no"),
        TypeError,
        "Dense expects `use_bias` to be a boolean. Received: use_bias='no'",
    ),
    (
        lambda: layers.Dense(2, dtype="int32"),
        TypeError,
        "A Dense layer can only be built with a floating-point dtype. Received: dtype=int32",
    ),
    (lambda: layers.Dense(2, unit=3), TypeError, "Dense has no argument 'unit'."),
    (lambda: layers.Dense(2, lora_rank=4), TypeError, "Dense has no argument 'lora_rank'."),
    (
        lambda: layers.Embedding(0, 2),
        ValueError,
        f"Embedding {SIZE} `input_dim`, expected a positive integer. Received: input_dim=0",
    ),
    (
        lambda: layers.Embedding(2, -1),
        ValueError,
        f"Embedding {SIZE} `output_dim`, expected a positive integer. Received: output_dim=-1",
    ),
    (
        lambda: layers.Embedding(2, 2, sparse=True),
        ValueError,
        "Embedding returns dense tensors. Received: sparse=True",
    ),
    (
        lambda: layers.Flatten("channels"),
        ValueError,
        'Flatten expects `data_format` to be one of "channels_first", "channels_last". '
        "Received: data_format='channels'",
    ),
    (
        lambda: layers.Reshape(3),
        TypeError,
        "Reshape expects `target_shape` to be a sequence of integers. Received: target_shape=3",
    ),
    (
        lambda: layers.Reshape((-1, -1)),
        ValueError,
        "Reshape infers at most one size of `target_shape`. Received: target_shape=(-1, -1)",
    ),
    (
        lambda: layers.Reshape((None, 2)),
        ValueError,
        f"Reshape {SIZE} `target_shape`, expected an integer of at least -1. Received: target_shape=None",
    ),
    (
        lambda: layers.Permute((0, 1)),
        ValueError,
        "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must be "
        "consecutive and start from 1. Received dims=(0, 1)",
    ),
    (
        lambda: layers.Permute(2),
        ValueError,
        "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must be "
        "consecutive and start from 1. Received dims=2",
    ),
    (
        lambda: layers.RepeatVector(-1),
        ValueError,
        f"RepeatVector {SIZE} `n`, expected an integer of at least 0. Received: n=-1",
    ),
    (
        lambda: layers.Concatenate("last"),
        TypeError,
        "Concatenate expects `axis` to be an integer. Received: axis='last'",
    ),
    (
        lambda: layers.Dropout(1.0),
        ValueError,
        "Dropout received an invalid value for `rate`, expected a value in [0, 1). Received: rate=1.0",
    ),
    (
        lambda: layers.Dropout(-0.1),
        ValueError,
        "Dropout received an invalid value for `rate`, expected a value in [0, 1). Received: rate=-0.1",
    ),
    (
        lambda: layers.Dropout("half"),
        TypeError,
        "Dropout expects `rate` to be a number. Received: rate='half'",
    ),
    (
        lambda: layers.Dropout(0.5, seed=0.5),
        TypeError,
        "Dropout expects `seed` to be an integer. Received: seed=0.5",
    ),
    (
        lambda: layers.Lambda("square"),
        TypeError,
        "Lambda expects `function` to be callable. Received: function='square'",
    ),
    (
        lambda: layers.Masking("zero"),
        TypeError,
        "Masking expects `mask_value` to be a number. Received: mask_value='zero'",
    ),
    (
        lambda: layers.Softmax("last"),
        TypeError,
        "Softmax expects `axis` to be an integer. Received: axis='last'",
    ),
    (lambda: layers.Add(axis=1), TypeError, "Add has no argument 'axis'."),
]
INPUTS: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: layers.Dense(2, name="own")(of(3)),
        ValueError,
        MISFIT + "expected min_ndim=2, found ndim=1. Full shape received: (3,)",
    ),
    (
        lambda: second(lambda: layers.Dense(2, name="own"), X, of(3)),
        ValueError,
        MISFIT + "expected min_ndim=2, found ndim=1. Full shape received: (3,)",
    ),
    *[
        (
            lambda make=make, bad=bad, x=x: second(make, x, bad),
            ValueError,
            MISFIT
            + "expected axis -1 of input shape to have value 3, but received input with shape "
            + str(tuple(bad.shape)),
        )
        for make in (
            lambda: layers.Dense(2, name="own"),
            lambda: layers.Dense(2, use_bias=False, name="own"),
        )
        for x, bad in ((X, of(2, 4)), (X, of(2, 5, 4)), (X, batchdot.Input((4,))))
    ],
    (
        lambda: layers.Dense(2, name="own")(batchdot.Input((None,))),
        ValueError,
        "The last dimension of the inputs to a Dense layer should be defined. Found None. "
        "Full input shape received: (None, None)",
    ),
    (
        lambda: second(lambda: layers.Dense(2, name="own"), X, torch.ones(2, 3, dtype=torch.complex64)),
        TypeError,
        "Layer own of float32 does not take complex inputs, whose imaginary parts it would drop.",
    ),
    (
        lambda: layers.Embedding(5, 2, name="own")(torch.tensor([[1, 7]])),
        IndexError,
        "Layer own has rows for ids 0 to 4. Received: id 7",
    ),
    (
        lambda: second(lambda: layers.Embedding(5, 2, name="own"), torch.tensor([1]), torch.tensor([-1])),
        IndexError,
        "Layer own has rows for ids 0 to 4. Received: id -1",
    ),
    (
        lambda: layers.Embedding(5, 2, input_length=4, name="own")(batchdot.Input((3,))),
        ValueError,
        'Layer own: "input_length" is 4, but received input has shape (None, 3)',
    ),
    (
        lambda: layers.Flatten(name="own")(of()),
        ValueError,
        MISFIT + "expected min_ndim=1, found ndim=0. Full shape received: ()",
    ),
    *[
        (
            lambda bad=bad: second(lambda: layers.Reshape((2, 3), name="own"), of(2, 6), bad),
            ValueError,
            "Layer own cannot reshape samples of shape (5,) to (2, 3): "
            "total size of new array must be unchanged",
        )
        for bad in (of(2, 5), of(0, 5), batchdot.Input((5,)))
    ],
    *[
        (
            lambda bad=bad: second(lambda: layers.Permute((2, 1), name="own"), of(2, 3, 4), bad),
            ValueError,
            MISFIT + f"expected ndim=3, found ndim=2. Full shape received: {tuple(bad.shape)}",
        )
        for bad in (X, batchdot.Input((3,)))
    ],
    *[
        (
            lambda bad=bad: second(lambda: layers.RepeatVector(2, name="own"), X, bad),
            ValueError,
            MISFIT + f"expected ndim=2, found ndim=3. Full shape received: {tuple(bad.shape)}",
        )
        for bad in (of(2, 3, 4), batchdot.Input((3, 4)))
    ],
    *[
        (
            lambda make=make: make()(X),
            ValueError,
            "A merge layer should be called on a list of inputs. Layer own received: input_shape=(2, 3) "
            "(not a list of shapes)",
        )
        for make in (lambda: layers.Add(name="own"), lambda: layers.Concatenate(name="own"))
    ],
    (
        lambda: second(lambda: layers.Add(name="own"), [X, X], X),
        ValueError,
        "A merge layer should be called on a list of inputs. Layer own received: "
        "input_shape=torch.Size([2, 3]) (not a list of shapes)",
    ),
    (
        lambda: layers.Add(name="own")([]),
        ValueError,
        "A merge layer should be called on a list of inputs. Layer own received: input_shape=(0,) "
        "(not a list of shapes)",
    ),
    *[
        (
            lambda x=x, y=y: second(lambda: layers.Multiply(name="own"), [X, X], [x, y]),
            ValueError,
            "Layer own has inputs with incompatible shapes. Received shapes (3,) and (4,)",
        )
        for x, y in ((X, of(2, 4)), (batchdot.Input((3,)), batchdot.Input((4,))))
    ],
    (
        lambda: layers.Add(name="own")([X, of(1, 3)]),
        ValueError,
        "Layer own cannot merge tensors with different batch sizes. Got tensors with shapes [(2, 3), (1, 3)]",
    ),
    *[
        (
            lambda x=x: second(lambda: layers.Subtract(name="own"), [X, X], x),
            ValueError,
            "A `Subtract` layer should be called on exactly 2 inputs. Received: input_shape="
            + str([(2, 3)] * len(x)),
        )
        for x in ([X], [X, X, X])
    ],
    *[
        (
            lambda x=x: second(lambda: layers.Concatenate(1, name="own"), [of(2, 3, 4)] * 2, x),
            ValueError,
            "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis. "
            f"Layer own received: input_shape={[tuple(v.shape) for v in x]}",
        )
        for x in ([of(2, 3, 4), of(2, 3, 5)], [of(2, 3, 4), X])
    ],
    (
        lambda: layers.Concatenate(2, name="own")([X, X]),
        AxisError,
        "Layer own has no axis 2 to concatenate along: shapes [(2, 3), (2, 3)]",
    ),
    (
        lambda: layers.Add(name="own").compute_mask([X, X], [None]),
        ValueError,
        "The lists `inputs` and `mask` of layer own should have the same length. "
        "Received: 2 inputs and 1 masks",
    ),
    (
        lambda: layers.Add(name="own").compute_mask([X, X], X > 0),
        ValueError,
        "Layer own takes a list of masks for a list of inputs.",
    ),
    (
        lambda: layers.Dropout(0.5, (3, 3), name="own")(X),
        ValueError,
        "Layer own cannot broadcast `noise_shape` (3, 3) over inputs of shape (2, 3).",
    ),
    (
        lambda: layers.Dropout(0.5, name="own")(X.long()),
        TypeError,
        "Layer own drops from floating tensors. Received: torch.int64",
    ),
    (
        lambda: layers.Softmax(name="own")(X.long()),
        TypeError,
        "Layer own takes floating tensors. Received: torch.int64",
    ),
    (
        lambda: layers.Lambda(lambda x: x.numpy(), name="own")(batchdot.Input((3,))),
        ValueError,
        "Layer own cannot be called on an input of shape (None, 3): ",
    ),
    (
        lambda: layers.deserialize({"class_name": "Dense", "config": {"units": 2, "lora_rank": 4}}),
        TypeError,
        "Cannot make the layer 'Dense' of {'units': 2, 'lora_rank': 4}: Dense has no argument 'lora_rank'.",
    ),
    (
        lambda: layers.deserialize({"class_name": "Dens", "config": {}}),
        ValueError,
        "Unknown layer 'Dens', did you mean 'Dense'? Known are: ",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), ARGUMENTS + INPUTS)
def test_refused_in_a_sentence(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    received = str(caught.value)
    if text.endswith(": "):
        received = received[: len(text)]
    assert received == text
    assert type(caught.value) is kind


def test_a_size_may_be_any_integer() -> None:
    for units in (np.int64(4), 4.0, torch.tensor(4)):
        layer = layers.Dense(units)
        assert layer.units == 4
        assert type(layer.units) is int
    assert layers.Masking(np.float32(2.0)).get_config()["mask_value"] == 2.0

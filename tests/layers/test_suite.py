"""Every layer through the suite that all layers pass: a new layer is a row or more of `CASES`."""

from typing import Any

import pytest
from tests.support.layer_suite import CHECKS, KERAS_CHECKS, LayerCase, pairs
from torch import Tensor

L1 = {"class_name": "L1", "config": {"l1": 0.25}}
L2 = {"class_name": "L2", "config": {"l2": 0.5}}
STEPS = (2, 5, 3)


def square(x: Tensor) -> Tensor:
    return x * x


def case(layer: str, /, *shapes: tuple[int, ...], kind: str = "float", **arguments: Any) -> LayerCase:
    return LayerCase(layer, arguments, shapes, kind)


CASES = [
    case("Dense", (2, 3), units=4),
    case("Dense", (2, 3), units=4, use_bias=False),
    case("Dense", STEPS, units=4, activation="relu", bias_initializer="ones"),
    case("Dense", (2, 5, 6, 3), units=1, use_bias=False, activation="sigmoid"),
    case("Dense", (2, 3), units=4, kernel_regularizer=L2, bias_regularizer=L1),
    case("Dense", (2, 3), units=4, activity_regularizer=L2),
    case("Dense", (2, 3), units=4, kernel_constraint="max_norm", bias_constraint="non_neg"),
    case("Dense", (2, 3), units=4, kernel_initializer="he_normal", input_dim=3),
    case("Dense", (2, 3), units=4, input_shape=(3,), trainable=False, name="own"),
    case("Dense", (2, 3), units=4, kind="int"),
    case("Dense", STEPS, units=4, kind="masked"),
    case("Activation", (2, 3), activation="relu"),
    case("Activation", (2, 3), activation="tanh"),
    case("Activation", STEPS, activation="softmax"),
    case("Activation", (2,), activation=None),
    case("Activation", STEPS, activation="relu", kind="masked"),
    case("Embedding", (2, 3), input_dim=7, output_dim=4, kind="int"),
    case("Embedding", (2, 3), input_dim=7, output_dim=4, mask_zero=True, kind="int"),
    case("Embedding", (2, 3), input_dim=7, output_dim=4, input_length=3, kind="int"),
    case("Embedding", (2, 3, 5), input_dim=7, output_dim=4, input_length=(3, 5), kind="int"),
    case("Embedding", (2,), input_dim=7, output_dim=4, embeddings_initializer="ones", kind="int"),
    case("Embedding", (2, 3), input_dim=7, output_dim=4, embeddings_regularizer=L2, kind="int"),
    case("Embedding", (2, 3), input_dim=7, output_dim=4, embeddings_constraint="unit_norm", kind="int"),
    case("Embedding", (2, 3), input_dim=7, output_dim=4, kind="float ids"),
    case("Flatten", (2, 3, 4)),
    case("Flatten", (2, 3, 4, 5), data_format="channels_first"),
    case("Flatten", (2, 3), data_format="channels_first"),
    case("Flatten", (2,)),
    case("Flatten", (2, 3), kind="int"),
    case("Flatten", (0, 3, 4)),
    case("Flatten", STEPS, kind="masked"),
    case("Reshape", (2, 3, 4), target_shape=(2, 6)),
    case("Reshape", (2, 3, 4), target_shape=(-1, 2)),
    case("Reshape", (2, 3, 4), target_shape=(12,), kind="int"),
    case("Reshape", (2, 1), target_shape=()),
    case("Reshape", (0, 3, 4), target_shape=(-1, 2)),
    case("Reshape", STEPS, target_shape=(3, 5), kind="masked"),
    case("Permute", (2, 3, 4), dims=(2, 1)),
    case("Permute", (2, 3, 4, 5), dims=(3, 1, 2)),
    case("Permute", STEPS, dims=(2, 1), kind="masked"),
    case("RepeatVector", (2, 4), n=3),
    case("RepeatVector", (2, 4), n=1, kind="int"),
    case("Concatenate", (2, 3), (2, 4)),
    case("Concatenate", (2, 3, 4), (2, 5, 4), (2, 1, 4), axis=1),
    case("Concatenate", (2, 3, 4), (2, 5, 4), axis=-2, kind="int"),
    case("Concatenate", (2, 3)),
    case("Concatenate", STEPS, STEPS, axis=1, kind="masked"),
    *[
        case(name, *shapes)
        for name in ("Add", "Multiply", "Average", "Maximum", "Minimum")
        for shapes in (
            [(2, 3), (2, 3)],
            [(2, 3), (2, 1), (2, 3)],
            [(2, 5, 3), (2, 3)],
            [(2, 3), (2, 4, 5, 3)],
            [(2,), (2, 3)],
            [(2, 3)],
        )
    ],
    case("Add", (2, 3), (2, 3), kind="int"),
    case("Maximum", (2, 3), (2, 3), kind="int"),
    case("Subtract", (2, 3), (2, 3)),
    case("Subtract", (2, 5, 3), (2, 1)),
    case("Subtract", (2, 3), (2, 3), kind="int"),
    *[
        case(name, STEPS, STEPS, kind="masked")
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    ],
    case("Dot", (2, 3), (2, 3), axes=1),
    case("Dot", (2, 3), (2, 3), axes=1, normalize=True),
    case("Dot", (2, 4, 3), (2, 5, 3), axes=2, normalize=True),
    case("Dot", (2, 4, 3), (2, 3, 5), axes=(2, 1)),
    case("Dot", (2, 4, 3), (2, 4), axes=[1, 1]),
    case("Dot", (2, 4, 5, 3), (2, 3, 6, 7), axes=(-1, 1)),
    case("Dot", (2, 3), (2, 3), axes=1, kind="int"),
    case("Dot", STEPS, STEPS, axes=2, kind="masked"),
    case("Dropout", (2, 3), rate=0.5),
    case("Dropout", (2, 3), rate=0.0, seed=3),
    case("Dropout", STEPS, rate=0.3, noise_shape=(None, 1, 3), seed=3),
    case("Dropout", STEPS, rate=0.5, kind="masked"),
    case("Masking", STEPS, kind="masked"),
    case("Masking", STEPS, mask_value=2.0, kind="masked"),
    case("Masking", (2, 3), kind="masked"),
    case("Softmax", (2, 3)),
    case("Softmax", STEPS, axis=1),
    case("Softmax", STEPS, axis=(1, 2), robust_masking=True),
    case("Softmax", STEPS, axis=[1]),
    LayerCase("Lambda", {"function": square}, ((2, 3),), in_keras=False, custom={"square": square}),
]


@pytest.mark.parametrize(("check", "case"), pairs(CHECKS, CASES))
def test_layer(check: Any, case: LayerCase) -> None:
    check(case)


@pytest.mark.parametrize(("check", "case"), pairs(KERAS_CHECKS, CASES))
def test_layer_as_keras(check: Any, case: LayerCase, keras_says: Any) -> None:
    check(case, keras_says)

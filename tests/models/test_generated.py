"""Functions generated from models: names, full calls and losses are as without generation."""

import torch
from torch import Tensor

import batchdot
from batchdot import layers

NAMES = ["inputs", "Tensor", "resume", "locals", "forward", "class", "a.b", "a_b", "a_output", "a", "1"]


def test_model_whose_layers_have_names_of_python_runs() -> None:
    x = batchdot.Input((2,), name="return")
    value = x
    for name in NAMES:
        value = layers.Add(name=name)([value, x])
    model = batchdot.Model(x, value)
    for _ in range(3):
        torch.testing.assert_close(model(torch.ones(1, 2)), torch.full((1, 2), 1.0 + len(NAMES)))


class Plus(layers.Layer):
    """A layer of a user, whose calls are full ones."""

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        self.add_loss(inputs.sum())
        return inputs + (1 if training else 0)


def test_model_with_a_user_layer_twice_keeps_losses_of_the_latest_call() -> None:
    x = batchdot.Input((2,))
    plus = Plus()
    model = batchdot.Model(x, layers.Add()([plus(x), plus(layers.Activation("relu")(x))]))
    for scale in (1.0, 2.0, 3.0):
        model(torch.full((1, 2), scale))
        assert [loss.item() for loss in model.losses] == [2 * scale] * 2


def test_model_with_a_user_layer_passes_training_and_hooks() -> None:
    x = batchdot.Input((2,))
    plus = Plus()
    model = batchdot.Model(x, layers.Activation("linear")(plus(x)))
    zeros = torch.zeros(1, 2)
    model.eval()
    for _ in range(3):
        assert model(zeros).tolist() == [[0.0, 0.0]]
        assert model(zeros, training=True).tolist() == [[1.0, 1.0]]
    handle = plus.register_forward_hook(lambda _, args, out: out + 5)
    assert model(zeros).tolist() == [[5.0, 5.0]]
    handle.remove()
    assert model(zeros).tolist() == [[0.0, 0.0]]


def test_model_with_an_activity_regularizer_keeps_one_loss() -> None:
    x = batchdot.Input((2,))
    model = batchdot.Model(x, layers.Activation("linear")(x), activity_regularizer=torch.sum)
    for scale in (1.0, 2.0, 3.0):
        model(torch.full((1, 2), scale))
        assert [loss.item() for loss in model.losses] == [2 * scale]

"""Generated source: what a model's calls are written as, and that the names are names."""

import keyword

import pytest
import torch
from torch import Tensor

import batchdot
from batchdot import layers
from batchdot.models.codegen import Call, compile_function, identifier, write_function


def test_write_function_of_a_call_in_a_method() -> None:
    call = Call("score", "self.dot", (["user", "item"],))
    assert write_function("forward", ["self", "user", "item"], [call], "score") == (
        "def forward(self, user, item):\n    score = self.dot([user, item])\n    return score"
    )


def test_compile_function_runs_calls_and_lines_in_order() -> None:
    statements = [Call("y", "double", ("x",)), "if y > 9: return 'large'", Call("z", "add", ("x", "y"))]
    source = write_function("run", ["x"], statements, ["z", "y"])
    run = compile_function("run", source, {"double": lambda x: 2 * x, "add": lambda x, y: x + y})
    assert (run(2), run(5)) == ([6, 4], "large")


@pytest.mark.parametrize(
    "text",
    ["", "dense", "Dense", "1st", "a.b", "a/b:0", "class", "None", "print", "é", "a b", "x" * 99, "_"],
)
def test_identifier_of_any_text_is_a_free_name(text: str) -> None:
    taken: set[str] = set()
    names = [identifier(text, taken) for _ in range(3)]
    assert len(set(names)) == 3
    assert taken == set(names)
    for name in names:
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert name not in dir(__builtins__)


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

"""Overhead of layers and a model over their arithmetic in PyTorch, and their time over Keras's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import batchdot
from benchmarks.timing import Timing, time_in_turns


@dataclass(frozen=True)
class LayerWork:
    """A layer or a model, and its PyTorch baseline.

    Attributes:
        name: the name in the results.
        build: from a Keras module to the layer.
        baseline: an expression of the inputs ``a``, ``b`` and weights ``w`` with the same value.
        inputs: number of inputs.
        ids: whether the inputs are integers.
        layers: number of layers called.
        aim: target for the overhead of each layer, in microseconds.
    """

    name: str
    build: Callable[[Any], Any]
    baseline: str
    inputs: int = 1
    ids: bool = False
    layers: int = 1
    aim: float = 3.0

    def tensors(self) -> list[torch.Tensor]:
        """Return the inputs, the same at every call."""
        generator = torch.Generator().manual_seed(0)
        shape = (32, 1) if self.ids else (32, 64)
        return [
            torch.randint(100, shape, generator=generator)
            if self.ids
            else torch.randn(shape, generator=generator)
            for _ in range(self.inputs)
        ]


def _two_towers(keras: Any) -> Any:
    users, items = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")
    towers = []
    for ids in (users, items):
        vectors = keras.layers.Flatten()(keras.layers.Embedding(100, 16)(ids))
        towers.append(keras.layers.Dense(16, activation="relu")(vectors))
    score = keras.layers.Dense(1)(keras.layers.Dot(1)(towers))
    return keras.Model([users, items], score)


_TOWER = "torch.relu(torch.addmm(w[{2}], torch.nn.functional.embedding({0}, w[{1}]).flatten(1), w[{3}]))"
_TOWERS = (
    f"torch.addmm(w[7], ({_TOWER.format('a', 0, 3, 2)} * {_TOWER.format('b', 1, 5, 4)}).sum(1, True), w[6])"
)

WORKS = [
    LayerWork("Dot, over batch_dot", lambda k: k.layers.Dot(1), "batch_dot(a, b, 1)", inputs=2, aim=1.5),
    LayerWork("Dense", lambda k: k.layers.Dense(32), "torch.addmm(w[1], a, w[0])"),
    LayerWork("Activation", lambda k: k.layers.Activation("relu"), "torch.relu(a)"),
    LayerWork(
        "Embedding", lambda k: k.layers.Embedding(100, 16), "torch.nn.functional.embedding(a, w[0])", ids=True
    ),
    LayerWork("Flatten", lambda k: k.layers.Flatten(), "a.flatten(1)"),
    LayerWork("Concatenate", lambda k: k.layers.Concatenate(), "torch.cat([a, b], -1)", inputs=2),
    LayerWork("Add", lambda k: k.layers.Add(), "a + b", inputs=2),
    LayerWork("Multiply", lambda k: k.layers.Multiply(), "a * b", inputs=2),
    LayerWork("Softmax", lambda k: k.layers.Softmax(), "torch.softmax(a, -1)"),
    LayerWork("two towers, 8 calls", _two_towers, _TOWERS, inputs=2, ids=True, layers=8, aim=2.0),
]


def measure_layers(keras: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Time layers and a model, print their overhead, and return the results."""
    print("\nLayers, on inputs of 32 samples: µs over the PyTorch baseline, for each layer called")
    print(
        f"{'':<28}{'ours':>9}{'baseline':>9}{'over':>8}{'aim':>7}" + "".join(f"{name:>11}" for name in keras)
    )
    results = {}
    for work in WORKS:
        timings = _time(work, keras, rounds)
        over = timings["ours"].difference(timings["baseline"]) * 1e6 / work.layers
        ratios = {name: timings["ours"].ratio(timings[name]) for name in keras}
        print(
            f"{work.name:<28}{timings['ours'].median * 1e6:>9.2f}{timings['baseline'].median * 1e6:>9.2f}"
            f"{over:>8.2f}{work.aim:>7g}"
            + "".join(f"{ratio:>11.3f}" for ratio in ratios.values())
            + ("" if over <= work.aim else "   missed")
        )
        results[work.name] = {"microseconds over": over, "aim": work.aim, "our time over theirs": ratios}
    return results


def _time(work: LayerWork, keras: dict[str, Any], rounds: int) -> dict[str, Timing]:
    tensors = work.tensors()
    names: dict[str, Any] = {
        "torch": torch,
        "batch_dot": batchdot.batch_dot,
        **dict(zip("ab", tensors, strict=False)),
    }
    statements = {"baseline": work.baseline}
    for name, module in {"ours": batchdot, **keras}.items():
        layer = work.build(module)
        if name == "ours":
            inputs = tensors
        else:
            convert = module.ops.convert_to_tensor if hasattr(module, "ops") else module.backend.constant
            inputs = [convert(tensor.numpy()) for tensor in tensors]
        names[name], names[f"{name}_inputs"] = layer, inputs[0] if work.inputs == 1 else inputs
        statements[name] = f"{name}({name}_inputs)"
        layer(names[f"{name}_inputs"])
        if name == "ours":
            names["w"] = layer.weights
    expected = eval(work.baseline, names)
    torch.testing.assert_close(eval(statements["ours"], names), expected, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        return time_in_turns(statements, names, rounds)

"""ONNX: files of torch.onnx that ONNX Runtime runs to the same values, for batches of any size."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.keras_models import MODELS, feed
from tests.support.tiers import one_of

import batchdot
from batchdot import Dot, batch_dot

MISSING = [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    # torch's and onnxscript's own; and torch says of every axis that has the same size by name that it has.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:# The axis name:UserWarning"),
]

# The patterns that public Keras code uses Dot for: x shape, y shape, axes. The batch is 6.
PATTERNS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Any]] = {
    "row": ((6, 5), (6, 5), 1),
    "row with an axis of 1": ((6, 1, 5), (6, 1, 5), 2),
    "Q Kᵀ": ((6, 3, 5), (6, 4, 5), 2),
    "matrix product": ((6, 3, 5), (6, 5, 4), (2, 1)),
    "weighted sum over time": ((6, 5, 1), (6, 5, 4), 1),
    "matrix times vector": ((6, 3, 5), (6, 5), -1),
    "matrix times vector, over time": ((6, 5, 3), (6, 5), 1),
    "word2vec": ((6, 5, 1, 7), (6, 1, 7), (3, 2)),
}


class Functions(torch.nn.Module):
    """What torch.onnx takes, a module: calls of `batch_dot`, each with tensors of its own."""

    def __init__(self, calls: list[tuple[Any, bool]]) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> list[Any]:
        return [
            batch_dot(x, y, axes, normalize=normalize)
            for (x, y), (axes, normalize) in zip(pairs, self.calls, strict=True)
        ]


def write(module: torch.nn.Module, inputs: tuple[Any, ...], dynamic: Any, path: Path) -> Callable[..., Any]:
    """Write a module to a file, and return a function of arrays that ONNX Runtime runs from it."""
    import onnxruntime

    program = torch.onnx.export(
        module.eval(), inputs, dynamo=True, dynamic_shapes=dynamic, verbose=False, optimize=True
    )
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_inputs()]

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        return list(session.run(None, dict(zip(names, arrays, strict=True))))

    return run


def check(found: list[np.ndarray], wanted: Any, tolerance: float) -> None:
    wanted = wanted if isinstance(wanted, list) else [wanted]
    for number, (array, tensor) in enumerate(zip(found, wanted, strict=True)):
        expected, name = tensor.detach().numpy(), f"output {number}"
        assert array.dtype == expected.dtype, name
        np.testing.assert_allclose(array, expected, rtol=tolerance, atol=tolerance, err_msg=name)


# Several in one file: half of the time of an export is torch.onnx's, before it looks at the module.
FILES = {
    "float32": tuple(PATTERNS),
    "float16": ("row", "Q Kᵀ"),
    "float64": ("row", "Q Kᵀ"),
    "int64": ("row", "Q Kᵀ"),
}


@pytest.mark.parametrize("dtype", one_of(4, FILES))
def test_functions(dtype: str, tmp_path: Path) -> None:
    """Products and cosines, these of vectors of all scales."""
    kind, batch = getattr(torch, dtype), torch.export.Dim("batch")
    calls = [(pattern, normalize) for pattern in FILES[dtype] for normalize in (False, True)]

    def tensors(size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        pairs = []
        for pattern, normalize in calls:
            x, y = ((3 * torch.randn(size, *shape[1:])).to(kind) for shape in PATTERNS[pattern][:2])
            if normalize and kind.is_floating_point:
                x, y = x * torch.finfo(kind).max ** 0.6, y * torch.finfo(kind).tiny ** 0.3
                x[-1] = 0
            pairs.append((x, y))
        return pairs

    module = Functions([(PATTERNS[pattern][2], normalize) for pattern, normalize in calls])
    dynamic = {"pairs": [({0: batch}, {0: batch}) for _ in calls]}
    run = write(module, (tensors(6),), dynamic, tmp_path / "functions.onnx")
    for size in (6, 1, 50):
        pairs = tensors(size)
        found = run(*(tensor.numpy() for pair in pairs for tensor in pair))
        check(found, module(pairs), 4e-3 if dtype == "float16" else 1e-5)


def test_the_layer_and_time_of_any_length(tmp_path: Path) -> None:
    batch, *times = (torch.export.Dim(name) for name in ("batch", "x_time", "y_time"))
    layer = Dot(2, normalize=True)
    dynamic = [{0: batch, 1: time} for time in times]
    inputs = torch.randn(6, 3, 5), torch.randn(6, 4, 5)
    run = write(layer, inputs, dynamic, tmp_path / "dot.onnx")
    for size in (2, 9):
        x, y = torch.randn(size, size + 4, 5), torch.randn(size, size + 1, 5)
        check(run(x.numpy(), y.numpy()), layer(x, y), 1e-5)


EXPORTED = [
    "matrix_factorization",
    "two_towers",
    "matchzoo_cosine_matrix",
    "luong_attention",
    "memory_network",
    "masked_sequences",
    "masked_ids",
    "pointnet_transform",
    "nested",
    "doubles",
]


@pytest.mark.parametrize("name", one_of(3, EXPORTED))
def test_models(name: str, tmp_path: Path) -> None:
    model, batch = MODELS[name](batchdot).eval(), torch.export.Dim("batch")

    def tensors(size: int) -> list[torch.Tensor]:
        return [torch.from_numpy(array) for array in feed(model, batch=size, seed=size)]

    dynamic: Any = [{0: batch} for _ in model.inputs]
    run = write(model, (tensors(5),), {"args": (dynamic,)}, tmp_path / "model.onnx")
    for size in (5, 1, 9):
        inputs = tensors(size)
        check(run(*(x.numpy() for x in inputs)), model(inputs), 1e-5)

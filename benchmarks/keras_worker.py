"""The process of one Keras framework, which answers requests of `keras_peers` over a pipe.

Keras 3 allows one backend per process, and spinning thread pools of different frameworks would disturb each
other.
"""

import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from benchmarks.timing import LocalBlock

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Request:
    """A `Dot` layer to build, and its inputs; 16-bit floats are passed as float32.

    Attributes:
        x: the first input.
        y: the second input.
        axes: the axes to contract.
        normalize: whether to compute cosines.
        dtype: name of the dtype to compute in.
        gradient: the gradient of the output, to compute gradients of the inputs; None for forward only.
    """

    x: Array
    y: Array
    axes: int | tuple[int, int]
    normalize: bool
    dtype: str
    gradient: Array | None = None


@dataclass(frozen=True)
class ModelRequest:
    """A saved model to load, and its inputs.

    Attributes:
        path: the file.
        inputs: an array for each input of the model.
    """

    path: str
    inputs: tuple[Array, ...]


Made = tuple[dict[str, Callable[[], Any]], Callable[[Any], Any], str]
"""Calls by name of the peer, the conversion of a result to an array, and the end of a timed statement."""


def _tf_keras(request: Request | ModelRequest) -> Made:
    tf, keras = import_module("tensorflow"), import_module("tf_keras")
    if isinstance(request, ModelRequest):
        model, tensors = _model(keras, request, tf.constant)
        graph = tf.function(lambda: [model(tensors)])
        return {"tf_keras graph": graph}, lambda t: tf.cast(t, tf.float64).numpy(), ""
    layer = keras.layers.Dot(request.axes, normalize=request.normalize, dtype=request.dtype)
    x, y = (tf.cast(tf.constant(array), request.dtype) for array in (request.x, request.y))

    def forward() -> Any:
        return [layer([x, y])]

    def backward() -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            out = layer([x, y])
        return tape.gradient(out, [x, y], tf.reshape(tf.cast(request.gradient, request.dtype), out.shape))

    call = forward if request.gradient is None else backward
    graph = tf.function(call)
    return {"tf_keras": call, "tf_keras graph": graph}, lambda t: tf.cast(t, tf.float64).numpy(), ""


def _keras_torch(request: Request | ModelRequest) -> Made:
    torch, keras = import_module("torch"), import_module("keras")
    if isinstance(request, ModelRequest):
        model, tensors = _model(keras, request, keras.ops.convert_to_tensor)

        def predict() -> Any:
            with torch.no_grad():
                return [model(tensors)]

        return {"Keras 3 torch": predict}, lambda t: t.double().numpy(), ""
    layer = keras.layers.Dot(request.axes, normalize=request.normalize, dtype=request.dtype)
    dtype, backward = getattr(torch, request.dtype), request.gradient is not None
    x, y = (torch.from_numpy(a).to(dtype).requires_grad_(backward) for a in (request.x, request.y))

    def forward() -> Any:
        return [layer([x, y])]

    def gradients() -> Any:
        out = layer([x, y])
        return torch.autograd.grad(out, (x, y), gradient)

    gradient = torch.from_numpy(request.gradient).to(dtype) if backward else None
    call = gradients if backward else forward
    return {"Keras 3 torch": call}, lambda t: t.detach().double().numpy(), ""


def _keras_jax(request: Request | ModelRequest) -> Made:
    jax, keras = import_module("jax"), import_module("keras")
    if isinstance(request, ModelRequest):
        model, tensors = _model(keras, request, keras.ops.convert_to_tensor)
        predict = jax.jit(lambda tensors: (model(tensors),))
        return {"Keras 3 JAX": lambda: predict(tensors)}, _jax_array, _JAX_END
    layer = keras.layers.Dot(request.axes, normalize=request.normalize, dtype=request.dtype)
    x, y = (keras.ops.convert_to_tensor(array, dtype=request.dtype) for array in (request.x, request.y))
    if request.gradient is None:
        compiled = jax.jit(lambda x, y: (layer([x, y]),))
        call = lambda: compiled(x, y)  # noqa: E731
    else:
        gradient = keras.ops.convert_to_tensor(request.gradient, dtype=request.dtype)
        compiled = jax.jit(lambda x, y, g: jax.vjp(lambda x, y: layer([x, y]), x, y)[1](g))
        call = lambda: compiled(x, y, gradient)  # noqa: E731
    return {"Keras 3 JAX": call}, _jax_array, _JAX_END


_JAX_END = "[-1].block_until_ready()"


def _jax_array(tensor: Any) -> Array:
    return np.asarray(tensor, dtype=np.float64)


def _model(keras: Any, request: ModelRequest, convert: Callable[..., Any]) -> tuple[Any, Any]:
    """Return the loaded model, and its inputs as tensors of the dtypes that it declares."""
    model = keras.models.load_model(request.path, compile=False)
    dtypes = [getattr(tensor.dtype, "name", tensor.dtype) for tensor in model.inputs]
    tensors = [convert(array, dtype=dtype) for array, dtype in zip(request.inputs, dtypes, strict=True)]
    return model, tensors[0] if len(tensors) == 1 else tensors


FRAMEWORKS = {
    # name: modules, environment, function that builds the calls
    "tf_keras": (("tensorflow", "tf_keras"), {}, _tf_keras),
    "Keras 3 torch": (("torch", "keras"), {"KERAS_BACKEND": "torch"}, _keras_torch),
    "Keras 3 JAX": (("jax", "keras"), {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"}, _keras_jax),
}


def serve(framework: str) -> None:
    """Answer requests until the pipe closes: pickles on stdin and stdout."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print to stdout, which is the pipe of answers
    modules, environment, make = FRAMEWORKS[framework]
    os.environ.update(environment)
    versions = {name: import_module(name).__version__ for name in modules if name != "torch"}
    _answer(answers, versions)
    blocks: dict[str, LocalBlock] = {}
    calls: dict[str, Any] = {}
    end = ""
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            if isinstance(request, Request | ModelRequest):
                blocks.clear()
                calls, as_array, end = make(request)
                _answer(answers, {name: [as_array(t) for t in call()] for name, call in calls.items()})
            else:
                if request not in blocks:
                    blocks[request] = LocalBlock(f"call(){end}", {"call": calls[request]})
                _answer(answers, blocks[request].run())
        except Exception as error:
            _answer(answers, error)


def _answer(answers: Any, value: Any) -> None:
    if isinstance(value, Exception):  # may not pickle, or its class may be unknown to the reader
        lines = str(value).splitlines() or [""]
        value = RuntimeError(f"{type(value).__name__}: {lines[0]}")
    pickle.dump(value, answers)
    answers.flush()


if __name__ == "__main__":
    sys.modules["benchmarks.keras_worker"] = sys.modules[
        "__main__"
    ]  # the name under which requests are pickled
    serve(sys.argv[1])

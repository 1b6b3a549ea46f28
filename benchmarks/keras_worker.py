"""One Keras in a process of its own: it answers what `keras_peers` asks over a pipe.

Keras 3 has one backend a process, and a thread pool that spins is kept away from the others' this way.
"""

import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.timing import LocalBlock


@dataclass(frozen=True)
class Request:
    """A `Dot` to make, with its inputs; 16-bit ones as float32, which holds them.

    Attributes:
        x: the first input.
        y: the second input.
        axes: the axes to sum over.
        normalize: whether it is a cosine.
        dtype: name of the dtype to compute in.
        gradient: the gradient of the output, in order to compute those of the inputs; None for the output.
    """

    x: Any
    y: Any
    axes: Any
    normalize: bool
    dtype: str
    gradient: Any = None


Made = tuple[dict[str, Callable[[], Any]], Callable[[Any], Any], str]
"""By name of the peer a call, what turns a result into an array, and what a statement ends with."""


def _tf_keras(request: Request) -> Made:
    tf, keras = import_module("tensorflow"), import_module("tf_keras")
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


def _keras_torch(request: Request) -> Made:
    torch, keras = import_module("torch"), import_module("keras")
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


def _keras_jax(request: Request) -> Made:
    jax, keras = import_module("jax"), import_module("keras")
    layer = keras.layers.Dot(request.axes, normalize=request.normalize, dtype=request.dtype)
    x, y = (keras.ops.convert_to_tensor(array, dtype=request.dtype) for array in (request.x, request.y))
    if request.gradient is None:
        compiled = jax.jit(lambda x, y: (layer([x, y]),))
        call = lambda: compiled(x, y)  # noqa: E731
    else:
        gradient = keras.ops.convert_to_tensor(request.gradient, dtype=request.dtype)
        compiled = jax.jit(lambda x, y, g: jax.vjp(lambda x, y: layer([x, y]), x, y)[1](g))
        call = lambda: compiled(x, y, gradient)  # noqa: E731
    return {"Keras 3 JAX": call}, lambda t: np.asarray(t, dtype=np.float64), "[-1].block_until_ready()"


FRAMEWORKS = {
    # name: modules, environment, what makes a call
    "tf_keras": (("tensorflow", "tf_keras"), {}, _tf_keras),
    "Keras 3 torch": (("torch", "keras"), {"KERAS_BACKEND": "torch"}, _keras_torch),
    "Keras 3 JAX": (("jax", "keras"), {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"}, _keras_jax),
}


def serve(framework: str) -> None:
    """Answer requests until the pipe closes: pickles on stdin and stdout."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
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
            if isinstance(request, Request):
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
    if isinstance(value, Exception):  # which may not pickle, and whose class the reader may not have
        lines = str(value).splitlines() or [""]
        value = RuntimeError(f"{type(value).__name__}: {lines[0]}")
    pickle.dump(value, answers)
    answers.flush()


if __name__ == "__main__":
    sys.modules["benchmarks.keras_worker"] = sys.modules["__main__"]  # requests are pickled by that name
    serve(sys.argv[1])

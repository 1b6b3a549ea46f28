"""batchdot with a torch whose private names have changed: one forked process for each change.

``python -m tests.support.broken_torch`` prints a JSON object: for each name of `CHANGES` an empty text, or
what went wrong.
"""

import importlib
import json
import os
import sys
import traceback
from types import ModuleType

import pytest
import torch

# Private names: the module, the name, and whether torch.compile is tried as well.
PRIVATE = [
    ("torch._C._dynamo.guards", "TensorGuards", False),
    ("torch._C", "_are_functorch_transforms_active", False),
    ("torch._C", "_FunctionBase", False),
    ("torch._C", "_get_tracing_state", False),
    ("torch.cpu", "_is_avx512_bf16_supported", False),
    ("torch.autograd.forward_ad", "_current_level", False),
    ("torch.nn.modules.module", "_global_forward_hooks", False),
    ("torch._guards", "TracingContext", True),
    ("torch._guards", "active_fake_mode", True),
]


class Changed(ModuleType):
    """A module that lacks one name, or has something else under it. Its own users keep the module itself."""

    def __init__(self, module, name, *value):
        super().__init__(module.__name__)
        self.__dict__.update(_module=module, _name=name)
        if value:
            self.__dict__[name] = value[0]

    def __getattr__(self, name):
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._module, name)


def change(module, name, *value):
    """Import `batchdot._torch` with a changed module of torch; the rest of torch sees the original."""
    real = importlib.import_module(module)
    sys.modules[module] = Changed(real, name, *value)
    importlib.import_module("batchdot._torch")
    if name != "_global_forward_hooks":  # that is looked up when a layer asks
        sys.modules[module] = real


def refuse(*args, **kwargs):
    raise TypeError("takes other arguments now")


def lose_dispatch_key():
    """As a torch that has no key of that name."""
    impl = torch.library.impl

    def checked(name, key, *args, **kwargs):
        if key == "FuncTorchBatchedDecomposition":
            raise RuntimeError(f"could not parse dispatch key: {key}")
        return impl(name, key, *args, **kwargs)

    torch.library.impl = checked


CHANGES = {
    "nothing": (lambda: None, True),
    **{
        f"{module}.{name} {how}": (
            (lambda module=module, name=name, value=value: change(module, name, *value)),
            slow,
        )
        for module, name, slow in PRIVATE
        for how, value in {"is gone": (), "has another signature": (refuse,), "is None": (None,)}.items()
    },
    "the dispatch key is gone": (lose_dispatch_key, True),
    "all fallbacks": (lambda: os.environ.update(BATCHDOT_TORCH_PRIVATE="0"), True),
}


def cosine(x, y):
    return (torch.nn.functional.normalize(x, dim=-1) * torch.nn.functional.normalize(y, dim=-1)).sum(-1, True)


def check(slow):
    """Compare calls, derivatives and transforms with torch in float64."""
    import batchdot
    from batchdot import Dot, batch_dot, dot

    def close(found, wanted):
        torch.testing.assert_close(found.double(), wanted.double(), rtol=1e-5, atol=1e-6)

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 5, generator=generator), torch.randn(4, 5, generator=generator)
    a, b = torch.randn(4, 3, 5, generator=generator), torch.randn(4, 6, 5, generator=generator)
    layer, model_input = Dot(2), [batchdot.Input((3, 5)), batchdot.Input((6, 5))]
    model = batchdot.Model(model_input, Dot(2)(model_input))
    cosines = lambda x, y: batch_dot(x, y, 1, normalize=True)  # noqa: E731
    for _ in range(3):  # the first call, the cached one and the fast one
        close(batch_dot(x, y, 1), (x.double() * y.double()).sum(-1, True))
        close(cosines(x, y), cosine(x.double(), y.double()))
        close(batch_dot(a, b, 2), a.double() @ b.double().mT)
        close(
            batch_dot(a, b, 2, normalize=True),
            cosine(a.double().unsqueeze(2), b.double().unsqueeze(1))[..., 0],
        )
        close(dot(x, y.mT), x.double() @ y.double().mT)
        for call in (layer, model):
            close(call([a, b]), a.double() @ b.double().mT)
        for function, reference in (
            (lambda x, y: batch_dot(x, y, 1), lambda x, y: (x * y).sum(-1, True)),
            (cosines, cosine),
        ):
            p, q = x.clone().requires_grad_(), x.double().requires_grad_()
            close(
                torch.autograd.grad(function(p, y).sum(), p)[0],
                torch.autograd.grad(reference(q, y.double()).sum(), q)[0],
            )
            jvp = torch.func.jvp(lambda t, f=function: f(t, y), (x,), (y,))[1]
            wanted = torch.func.jvp(lambda t, f=reference: f(t, y.double()), (x.double(),), (y.double(),))[1]
            close(jvp, wanted)
            with torch.autograd.forward_ad.dual_level():
                dual = torch.autograd.forward_ad.make_dual(x, y)
                close(torch.autograd.forward_ad.unpack_dual(function(dual, y)).tangent, wanted)
            close(
                torch.vmap(lambda s, t, f=function: f(s[None], t[None])[0])(x, y),
                reference(x.double(), y.double()),
            )
        with torch.autocast("cpu", torch.bfloat16):
            rounded = (a.bfloat16() @ b.bfloat16().mT).float()
            assert torch.equal(batch_dot(a, b, 2), rounded), "autocast was not noticed"
    calls = []
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *args: calls.append(1))
    layer([a, b])
    handle.remove()
    assert calls, "a global hook was not called"
    layer.register_forward_hook(lambda *args: calls.append(2))
    layer([a, b])
    assert calls[-1] == 2, "a hook was not called"
    traced = torch.jit.trace(lambda a, b: batch_dot(a, b, 2), (a, b), check_trace=False)
    close(traced(b, a), b.double() @ a.double().mT)
    if slow:
        for function in (
            lambda x, y: batch_dot(x, y, 1),
            cosines,
            torch.vmap(lambda s, t: cosines(s[None], t[None])[0]),
        ):
            compiled = torch.compile(function, dynamic=True, backend="aot_eager")
            close(compiled(x, y), function(x, y))
            close(compiled(x[:3], y[:3]), function(x[:3], y[:3]))
        with pytest.raises(ValueError, match="Cannot sum over axes of different sizes"):
            torch.compile(lambda x, y: batch_dot(x, y, 1), backend="eager")(x, y[:, :2])


def run(name):
    """Return what goes wrong in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        text = ""
        try:
            prepare, slow = CHANGES[name]
            prepare()
            check(slow)
        except BaseException:
            text = traceback.format_exc()
        with os.fdopen(writing, "w") as pipe:
            pipe.write(text)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    status = os.waitpid(child, 0)[1]
    return text or ("" if status == 0 else f"the process ended with {status}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({name: run(name) for name in sys.argv[1:] or CHANGES}))

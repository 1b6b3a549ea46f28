"""Every private name of PyTorch that batchdot uses, each with a public fallback.

Any release of torch may remove or change a private name. So each is looked up only here, tested once, and
replaced if the test fails: by a public equivalent if there is one, otherwise by a correct but slower way.
A new torch can make batchdot slower, but not wrong or unusable.

``BATCHDOT_TORCH_PRIVATE=0`` in the environment turns every fallback on; the tests run that way too.
Exempt are `nn.Module`'s ``_parameters``, ``_buffers`` and ``_modules``, and the methods that subclasses
override (``_apply``, ``_load_from_state_dict``, ``_save_to_state_dict``): the whole ecosystem relies on
them, and they have no substitute.
"""

import os
from collections.abc import Callable, Iterable, Sequence, Sized
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import Function

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import Placement

Guard: TypeAlias = Callable[[Any, Any], bool]
F = TypeVar("F", bound=Callable[..., Any])

USES_PRIVATE = os.environ.get("BATCHDOT_TORCH_PRIVATE", "1") != "0"
"""Whether private names are used at all."""

is_tracing = torch.compiler.is_dynamo_compiling
"""Whether Dynamo traces this code. Public; named here so that all modules share one name for it."""


def _private(module: str, name: str, works: Callable[[Any], bool]) -> Any:
    """Return a private object of torch; None if it is missing or fails the check ``works``."""
    if not USES_PRIVATE:
        return None
    try:
        value = getattr(import_module(module), name)
        return value if works(value) else None
    except Exception:  # whatever a changed name may raise
        return None


# --- guards: are these tensors like those? --------------------------------------------------------------


def _guards_work(guards: Any) -> bool:
    x, y = torch.empty(2, 3, device="cpu"), torch.empty(2, 3, device="cpu")
    check = guards(x, y, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
    different = (y.double(), y.T, y[:1], y.clone().requires_grad_(), y.to("meta"), nn.Parameter(y), [1.0])
    return check(x, y) is True and not any(check(x, other) or check(other, x) for other in different)


_TensorGuards = _private("torch._C._dynamo.guards", "TensorGuards", _guards_work)


def make_guard(x: Tensor, y: Tensor) -> Guard:
    """Return a function that returns whether two values are tensors like x and y.

    It compares class, dtype, device, sizes, strides and ``requires_grad``; and, unless `modes_may_change`,
    autocast and function transforms. The private guard, Dynamo's own, takes 0.26 µs, the public one 2 µs.
    Reading the strides of a strided nested tensor ends the process: test ``is_nested`` first.

    >>> guard = make_guard(torch.ones(2, 3), torch.ones(2, 3))
    >>> guard(torch.zeros(2, 3), torch.zeros(2, 3)), guard(torch.zeros(3, 2), [1, 2])
    (True, False)
    """
    if _TensorGuards is not None:
        guard: Guard = _TensorGuards(x, y, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
        return guard
    wanted = _features(x), _features(y)

    def check(x: Any, y: Any) -> bool:
        try:
            return (_features(x), _features(y)) == wanted
        except (AttributeError, RuntimeError):  # no tensor, or without strides
            return False

    return check


def _features(tensor: Tensor) -> tuple[Any, ...]:
    return (
        tensor.__class__,
        tensor.dtype,
        tensor.device,
        tensor.shape,
        tensor.stride(),
        tensor.requires_grad,
    )


def modes_may_change() -> bool:
    """Return whether a guard may accept tensors although autocast or a transform was entered or left."""
    return _TensorGuards is None


# --- modes: transforms, forward-mode derivatives, compilation, tracing ----------------------------------


def _assume_transforms() -> bool:
    return True


are_transforms_active: Callable[[], bool] = (
    _private("torch._C", "_are_functorch_transforms_active", lambda value: isinstance(value(), bool))
    or _assume_transforms
)
"""Whether a transform of torch.func may be active. Fallback: True."""

_forward_ad: Any = import_module("torch.autograd.forward_ad")


def _is_level_open(x: Tensor, y: Tensor) -> bool:
    return _forward_ad._current_level >= 0  # type: ignore[no-any-return]


def _is_dual(x: Tensor, y: Tensor) -> bool:
    return any(_forward_ad.unpack_dual(tensor).tangent is not None for tensor in (x, y))


in_forward_mode: Callable[[Tensor, Tensor], bool] = (
    _is_level_open
    if _private("torch.autograd.forward_ad", "_current_level", lambda value: isinstance(value, int))
    is not None
    else _is_dual
)
"""Whether two tensors may have forward-mode tangents. Fallback: unpack both tensors, 2 µs."""

_TracingContext = _private("torch._guards", "TracingContext", lambda value: value.try_get() or True)


def is_lowering() -> bool:
    """Return whether torch.compile lowers a captured graph to operators. Fallback: False.

    Then a cosine is compiled to PyTorch's operators instead of ours.
    """
    return _TracingContext is not None and _TracingContext.try_get() is not None


_active_fake_mode = _private("torch._guards", "active_fake_mode", lambda value: value() or True)


def is_faking(tensors: Iterable[Any]) -> bool:
    """Return whether tensors are fake, without values. Fallback: whether one is of a subclass of Tensor."""
    if _active_fake_mode is not None:
        return _active_fake_mode() is not None
    return any(isinstance(t, Tensor) and t.__class__ not in (Tensor, nn.Parameter) for t in tensors)


is_jit_tracing: Callable[[], Any] = (
    _private("torch._C", "_get_tracing_state", lambda value: value() or True) or torch.jit.is_tracing  # type: ignore[attr-defined]
)
"""Whether torch.jit.trace is at work, as a truth value. Fallback: torch.jit.is_tracing, 0.1 µs slower."""


def compile_time_constant(method: F) -> F:
    """Make torch.compile call a method once, while it traces, and use the result as a constant.

    As torch.compiler.assume_constant_result, the fallback, which takes a second to import Dynamo.
    """
    if not USES_PRIVATE:
        return torch.compiler.assume_constant_result(method)  # type: ignore[no-any-return,no-untyped-call]
    method._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return method


# --- modules: what makes a call of nn.Module more than its forward --------------------------------------

_UNKNOWN: Sized = ("unknown",)
"""Replaces hooks that cannot be read: never empty, so that callers assume there are some."""

_NOT_OF_CALLS = ("_registration_hooks", "_always_called", "_with_kwargs")
"""Containers of hooks that run elsewhere, or that repeat what another container holds."""


def global_hooks() -> tuple[Sized, ...]:
    """Return the containers of the hooks that every module call runs: live, empty while there are none.

    A container that torch adds one day is among them. Fallback: one that is never empty.

    >>> any(global_hooks())
    False
    """
    module = import_module("torch.nn.modules.module")
    found = {
        name: value
        for name, value in vars(module).items()
        if name.startswith("_global_") and isinstance(value, dict) and not name.endswith(_NOT_OF_CALLS)
    }
    known = {f"_global_{kind}_hooks" for kind in ("forward", "forward_pre", "backward", "backward_pre")}
    return tuple(found.values()) if USES_PRIVATE and known <= found.keys() else (_UNKNOWN,)


def module_hooks(module: nn.Module) -> tuple[Sized, ...]:
    """Return the containers of the hooks that a call of this module runs; as `global_hooks`."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    found = [module.__dict__.get(name) for name in names]
    if not USES_PRIVATE or not all(isinstance(hooks, dict) for hooks in found):
        return (_UNKNOWN,)
    return tuple(hooks for hooks in found if hooks is not None)


def has_compiled_call(module: nn.Module) -> bool:
    """Return whether ``module.compile()`` replaced its call. Fallback: assume so."""
    return not USES_PRIVATE or getattr(module, "_compiled_call_impl", module) is not None


# --- operators and autograd functions -------------------------------------------------------------------


def unwrapped_operator(overload: Callable[..., Any]) -> Callable[..., Any]:
    """Return what an operator overload calls, 0.3 µs quicker to call. Fallback: the overload."""
    operator = getattr(overload, "_op", None) if USES_PRIVATE else None
    return operator if callable(operator) else overload


class _Twice(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        return x * factor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * 2, None


def _applies(function_base: Any) -> bool:
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.ones(2, device="cpu", requires_grad=True)
        out: Tensor = super(Function, _Twice).apply(x, 2.0)  # type: ignore[no-untyped-call]
    return out.shape == x.shape and out.requires_grad


_FunctionBase = _private("torch._C", "_FunctionBase", _applies)


def bare_apply(function: type[Function]) -> Callable[..., Any]:
    """Return ``function.apply`` without its check for transforms, 2 µs, which the caller has made.

    Fallback: ``function.apply``.
    """
    apply: Callable[..., Any] = (
        function.apply if _FunctionBase is None else super(Function, function).apply  # type: ignore[misc]
    )
    return apply


def implement_composite(name: str, run: Callable[..., Any]) -> bool:
    """Register the implementation of a composite operator, to be traced through to PyTorch's operators.

    Return whether vmap traces through it too, by a dispatch key of torch.func; otherwise torch would call it
    for each sample. Fallback: False, and the caller must not use the operator.
    """
    torch.library.impl(name, "CompositeImplicitAutograd", run)
    if not USES_PRIVATE:
        return False
    try:
        torch.library.impl(name, "FuncTorchBatchedDecomposition", run)
    except RuntimeError:  # torch has no key of that name
        return False
    return True


# --- processors -----------------------------------------------------------------------------------------

multiplies_bfloat16: Callable[[], bool] = (
    _private("torch.cpu", "_is_avx512_bf16_supported", lambda value: isinstance(value(), bool)) or bool
)
"""Whether this processor has instructions that multiply bfloat16, so that a matrix product of them is faster
than one of float32. Fallback: False."""


# --- DTensors -------------------------------------------------------------------------------------------


def local_shape(
    shape: Sequence[int], mesh: "DeviceMesh", placements: Sequence["Placement"]
) -> tuple[int, ...]:
    """Return the shape of this rank's shard. Fallback: the shape of a new shard."""
    compute = _private(
        "torch.distributed.tensor._utils", "compute_local_shape_and_global_offset", lambda value: True
    )
    try:
        if compute is not None:
            local, _ = compute(tuple(shape), mesh, placements)
            return tuple(local)
    except Exception:  # its arguments have changed
        pass
    from torch.distributed.tensor import Replicate, empty

    whole = [Replicate() if placement.is_partial() else placement for placement in placements]
    return tuple(empty(*shape, device_mesh=mesh, placements=whole).to_local().shape)

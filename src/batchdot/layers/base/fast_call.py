"""When a call of a layer is nothing but its `call`.

torch.nn.Module asks at every call who watches, and a layer of Keras what is to be built, cast, told and
remembered. Mostly the answer is nothing, call after call. So a call that went the careful way and found
nothing more to do leaves a note: all things that would be a reason for care again, each of them empty.
As long as they are, calls run `call` and no more.
"""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.modules import module

from batchdot.layers.base.losses import Losses
from batchdot.ops.plan_cache import are_plain
from batchdot.symbolic.call_context import CONTEXT

RESERVED = frozenset(["training", "mask"])
"""Arguments of ``call`` that every call of a layer may be given."""

F = TypeVar("F", bound=Callable[..., Any])

_GLOBAL_HOOKS = (
    module._global_forward_hooks,
    module._global_forward_pre_hooks,
    module._global_backward_hooks,
    module._global_backward_pre_hooks,
)

_OWN_WAYS: set[Callable[..., Any]] = set()

_is_tracing = torch.compiler.is_dynamo_compiling

jit_state = torch._C._get_tracing_state
"""The state of torch.jit.trace, which wants to know of every module; None where it is not at work."""


def constant(method: F) -> F:
    """Have torch.compile call a method when it first looks on, and take what it returned for a constant.

    As torch._dynamo.assume_constant_result, which takes a second to import.
    """
    method._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return method


def own_way(method: F) -> F:
    """Mark a ``__call__`` or ``forward`` that runs `call` and no more where a call is direct."""
    _OWN_WAYS.add(method)
    return method


class Direct(Losses):
    """What a layer knows of its `call`: what it is to be told, and whether it is all there is to do."""

    call: Callable[..., Any]
    forward: Callable[..., Any]
    input_spec: Any
    autocast: bool
    built: bool

    _resolves_training = False
    """Whether ``call`` decides itself what a missing ``training`` means."""

    _reasons: tuple[Any, ...] = (True,)
    """Reasons to take the careful way, where one is true: by default there is one."""

    def __init__(self, trainable: bool, dtype: torch.dtype) -> None:
        super().__init__(trainable, dtype)
        # torch.compile warns of a cache, which it looks through anyway.
        read = _read_signature.__wrapped__ if _is_tracing() else _read_signature
        self._call_params, self._call_context_args, self._call_adds = read(self.__class__.call)

    @own_way
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer as torch does; where nothing but `call` is to be done, by the short way."""
        if _is_tracing():  # noqa: SIM108  # two or in one line
            reason = self._ask_ahead() or self._reasons[0]
        else:
            reason = any(self._reasons) or jit_state()
        if not (kwargs or reason):
            for arg in args:
                if not (are_plain(arg) if arg.__class__ is list else arg.__class__ is Tensor):
                    break
            else:
                if len(args) == 1 or self._call_params.isdisjoint(RESERVED):
                    return self.call(*args)
        return super().__call__(*args, **kwargs)

    def _is_plain(self) -> bool:
        """Whether a call is nothing but `call`: no losses, no layers inside, nothing to be told."""
        told = self._call_context_args - {"training"} if self._resolves_training else self._call_context_args
        return self.activity_regularizer is None and not told and not self._call_adds and not self._modules

    def _note_direct(self) -> None:
        """Note after a call with care whether the next ones have nothing to do but `call`."""
        if "_reasons" in self.__dict__ or _is_tracing():  # a compiled call leaves no note, and reads one
            return
        if (
            self._is_plain()
            and not CONTEXT.in_shape_inference
            and not self.autocast
            and self.input_spec is None
            and self._compiled_call_impl is None
            and "forward" not in self.__dict__
            and _OWN_WAYS.issuperset([type(self).__call__, type(self).forward])
        ):
            hooks = [self._forward_hooks, self._forward_pre_hooks]
            hooks += [self._backward_hooks, self._backward_pre_hooks]
            self.__dict__["_reasons"] = ([], *hooks, *_GLOBAL_HOOKS)

    @constant
    def _ask_ahead(self) -> bool:
        """Whether there is a reason when torch.compile first looks on, which guards on none of this.

        It guards on the layer's own reasons. Hooks that are registered later it passes over, as it does
        those of any module by default.
        """
        if "built" in self.__dict__:  # of a layer that the compiled function makes there is nothing yet
            self._build_without_inputs()
            if self.built:
                self._note_direct()
        return any(self._reasons)

    def _build_without_inputs(self) -> None:
        """Build the layer where that takes no inputs; most take some."""

    def _take_care(self, why: str) -> None:
        """Take the note back; whoever holds it, as a program does, finds a reason in it."""
        note = self.__dict__.pop("_reasons", None)
        if note is not None:
            note[0].append(why)


@lru_cache(maxsize=1024)
def _read_signature(call: Any) -> tuple[frozenset[str], frozenset[str], bool]:
    """Return the parameters of a `call`, those it has to be told of, and whether it adds losses."""
    code = getattr(call, "__code__", None)
    adds = code is None or not {"add_loss", "add_update"}.isdisjoint(code.co_names)
    parameters = inspect.signature(call).parameters
    # A mask that is not given is None, which a default says as well.
    told = {key for key in RESERVED if key in parameters}
    if "mask" in told and parameters["mask"].default is None:
        told.remove("mask")
    return frozenset(parameters), frozenset(told), adds

"""Operations: one thing a user asks for, from the tensors to a result; and the plans of calls before.

Each runs the pipeline: axes, contraction, lowering, kernel, tensor.
"""

import json
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._guards import TracingContext
from torch.autograd import forward_ad

from batchdot.convert import as_tensor, check_dtypes, check_operands, is_sharded
from batchdot.kernels import select_kernel
from batchdot.ops.plan_cache import Recognize, are_plain, key, recognize_nothing, recognizer
from batchdot.planning.contraction import Contraction
from batchdot.planning.lowering import lower, result_dtype
from batchdot.planning.plan import Executable, Plan, Run, TensorMeta
from batchdot.symbolic.functions import call_symbolically
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor
from batchdot.types import Shape

_is_tracing = torch.compiler.is_dynamo_compiling

# A program meets a few shapes, or a few thousand; one that meets a new one at each call must not grow.
MAX_PLANS = 4096


# What recognizes tensors, and how they are run: by a function of them and of options.
_Way: TypeAlias = tuple[Recognize, Callable[..., Any], tuple[Any, ...]]


class _Kept:
    """A plan, and the way of tensors like those that it met last: one value, for threads share it."""

    __slots__ = ("executable", "way")

    def __init__(self, executable: Executable, x: Tensor, y: Tensor) -> None:
        self.executable = executable
        self.way = self.settle(x, y)

    def settle(self, x: Tensor, y: Tensor) -> _Way:
        """Return the way of these tensors, and of those that are recognized as like them."""
        # Each of these is part of what is recognized.
        differentiated = x.requires_grad or y.requires_grad or torch._C._are_functorch_transforms_active()
        watched = differentiated or torch._C._is_any_autocast_enabled()
        fast = None if watched else self.executable.fast
        return (recognizer(x, y), *(fast or (self.executable.run, ())))


class Operation:
    """One thing a user asks for, as distinct from the tensors they ask it of; it keeps its plans.

    Attributes:
        function: the name it goes by in messages.
        rule: from two shapes to their contraction.
        epsilon: floor on the squared norms, None to normalize nothing.
        options: what else was asked for, by argument name; messages repeat it.
        text: function and options as JSON, one thing to ask for; empty where torch.compile looks on.
        sparse: what runs it where x is sparse, None where nothing does.
    """

    __slots__ = ("epsilon", "function", "last", "options", "plans", "rule", "sparse", "text")

    def __init__(
        self,
        function: str,
        rule: Callable[[Shape, Shape], Contraction],
        epsilon: float | None = None,
        options: dict[str, Any] | None = None,
        sparse: Run | None = None,
    ) -> None:
        self.function = function
        self.rule = rule
        self.epsilon = epsilon
        self.options = options or {}
        self.text = "" if _is_tracing() else json.dumps([function, self.options])
        self.sparse = sparse
        self.plans: dict[Hashable, _Kept] = {}
        # Of the last call, which the next most often is like.
        self.last: _Way = (recognize_nothing, self.run_first, ())

    def __call__(self, x: Any, y: Any) -> Any:
        """Run it. A call on tensors of the same kind as the last one's plans nothing."""
        recognizes, run, options = self.last
        try:
            nested = x.is_nested or y.is_nested  # whose strides nobody may ask for, not even what recognizes
        except AttributeError:
            nested = True  # no tensors
        if not nested and recognizes(x, y) and forward_ad._current_level < 0:
            return run(x, y, *options)
        kept = self.plans.get(key(x, y))
        if kept is None:
            return self.run_first(x, y)
        way = kept.way
        if not way[0](x, y):  # of the same shapes and strides, but watched by something else
            way = kept.way = kept.settle(x, y)
        self.last = way
        return kept.executable.run(x, y)

    def run_first(self, x: Any, y: Any) -> Any:
        """Run it on what it has no plan for: convert, check, plan, keep the plan."""
        if is_keras_tensor(x) or is_keras_tensor(y):
            return call_symbolically(self.function, x, y, **self.options)
        if is_sharded(x) or is_sharded(y):
            from batchdot.distributed.run import run_sharded

            return run_sharded(self, x, y)
        x, y = self.read(x, y)
        if self.sparse is not None and x.layout != torch.strided:
            return self.sparse(x, y)
        executable = self.build(x, y)
        if _may_keep(executable.plan, x, y):
            if len(self.plans) >= MAX_PLANS:
                self.plans.clear()
            self.plans[key(x, y)] = _Kept(executable, x, y)
        return executable.run(x, y)

    def trace(self, x: Any, y: Any) -> Tensor:
        """Run while torch.compile looks through it, which `tracing` mostly spares it.

        Without the plans, whose keys would make torch.compile build a graph for each batch size.
        """
        x, y = self.read(x, y)
        if self.sparse is not None and x.layout != torch.strided:
            return self.sparse(x, y)
        return self.build(x, y).run(x, y)

    def read(self, x: Any, y: Any) -> tuple[Tensor, Tensor]:
        """Convert what is not a tensor, to the device of what is."""
        device = next((t.device for t in (x, y) if isinstance(t, Tensor)), None)
        return as_tensor(x, device), as_tensor(y, device)

    def build(self, x: Tensor, y: Tensor) -> Executable:
        """Check two tensors, decide how to contract them and by which kernel, and build that."""
        return select_kernel(self.lower(x, y))

    def lower(self, x: Tensor, y: Tensor) -> Plan:
        """Check two tensors and return the plan that every kernel is asked about."""
        check_operands(x, y, self.function)
        contraction = self.contract(tuple(x.shape), tuple(y.shape))
        if _is_tracing() or not (_is_plain(x) and _is_plain(y)):
            x_meta, y_meta = (TensorMeta(t.dtype, t.device.type, None) for t in (x, y))
        else:
            x_meta, y_meta = TensorMeta.of(x), TensorMeta.of(y)
        plan = lower(contraction, x_meta, y_meta, self.epsilon)
        return replace(plan, compiled=True) if plan.traced and _is_compiled() else plan

    def contract(self, x_shape: Shape, y_shape: Shape) -> Contraction:
        """Apply the rule; an error repeats the whole call."""
        try:
            return self.rule(x_shape, y_shape)
        except ValueError as error:
            received = f"x.shape={tuple(x_shape)}, y.shape={tuple(y_shape)}"
            if "axes" in self.options:
                received += f", axes={self.options['axes']}"
            if self.options.get("batch_dims", 1) != 1:
                received += f", batch_dims={self.options['batch_dims']}"
            raise type(error)(f"{error} Received: {received}.") from None

    def infer(self, x: Any, y: Any) -> KerasTensor:
        """Infer shape and dtype of the result from symbolic tensors, without computing."""
        x, y = (t if is_keras_tensor(t) else as_tensor(t) for t in (x, y))
        check_dtypes(x.dtype, y.dtype, self.function)
        shape = self.contract(tuple(x.shape), tuple(y.shape)).output_shape
        return KerasTensor(shape, result_dtype(x.dtype, y.dtype, self.epsilon is not None))


def _may_keep(plan: Plan, x: Tensor, y: Tensor) -> bool:
    """Whether the key of a plan says all that the plan depends on."""
    if plan.traced:
        return False
    if plan.epsilon is not None and not (x.is_floating_point() or x.is_complex()):
        return False  # depends on the default dtype
    # A sparse COO tensor shows strides of zero, or none: no dense tensor may have left a plan for that.
    return all(any(t.stride()) for t in (x, y))


def _is_compiled() -> bool:
    """Whether torch.compile asks what an operator of `tracing` is made of, to make code of it."""
    if _is_tracing() or torch.compiler.is_exporting():
        return False
    return TracingContext.try_get() is not None


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is what it looks like: neither of a subclass nor of symbolic sizes."""
    return are_plain([tensor]) and all(size.__class__ is int for size in tensor.shape)

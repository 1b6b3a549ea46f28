"""Operation: function, axes and options of a dot product, without its operands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from batchdot._torch import is_lowering, is_tracing
from batchdot.convert import as_tensor, check_dtypes, check_operands
from batchdot.ops.plan_cache import PlanCache, are_exact_tensors
from batchdot.planning.contraction import Contraction
from batchdot.planning.lowering import lower, result_dtype
from batchdot.planning.plan import Plan, TensorMeta
from batchdot.types import Shape

Rule = Callable[[Shape, Shape], Contraction]
"""From the shapes of x and y to their contraction."""


class HasShapeAndDtype(Protocol):
    """What inference reads of an operand: a tensor, or a symbolic one with None for unknown sizes."""

    @property
    def shape(self) -> Shape:
        """The sizes of all axes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the elements."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """A dot product without its operands: a value that equal arguments share.

    Attributes:
        function: the name of the public function, for messages and configs.
        rule: returns the contraction of two shapes.
        epsilon: floor on the squared norms, None if nothing is normalized.
        options: the other arguments of the function by name.
        static: whether the options are constants, not symbols of torch.compile.
        plans: the cache of its plans; equality ignores it.
        constants: what follows x and y in the operator of torch.compile (`ops.compile`), None if not static.

    >>> from batchdot.ops.arguments import batch_dot_operation
    >>> batch_dot_operation(axes=2).contract((32, 128, 64), (32, 100, 64)).einsum
    'bik,bjk->bij'
    """

    function: str
    rule: Rule = field(compare=False, repr=False)
    epsilon: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    static: bool = True
    plans: PlanCache = field(init=False, compare=False, repr=False)
    constants: tuple[Any, ...] | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # No default_factory, which Dynamo cannot trace.
        object.__setattr__(self, "plans", PlanCache())
        normalize = () if self.epsilon is None else (True, self.epsilon)
        axes = (self.options["axes"], self.options["batch_dims"], *normalize) if self.options else ()
        object.__setattr__(self, "constants", axes if self.static else None)

    def without_normalization(self) -> "Operation":
        """Return the operation that sums plain products over the same axes."""
        return replace(self, epsilon=None)

    def contract(self, x_shape: Shape, y_shape: Shape) -> Contraction:
        """Apply the rule to two shapes.

        Raises:
            ValueError, AxisError: the shapes and axes do not fit; the message repeats the whole call.
        """
        try:
            return self.rule(x_shape, y_shape)
        except ValueError as error:
            received = f"x.shape={tuple(x_shape)}, y.shape={tuple(y_shape)}"
            if "axes" in self.options:
                received += f", axes={self.options['axes']}"
            if self.options.get("batch_dims", 1) != 1:
                received += f", batch_dims={self.options['batch_dims']}"
            raise type(error)(f"{error} Received: {received}.") from None

    def infer(self, x: HasShapeAndDtype, y: HasShapeAndDtype) -> tuple[Shape, torch.dtype]:
        """Return the shape and dtype of the result; a size is None where it is unknown.

        Raises:
            ValueError, AxisError: as `contract`.
            TypeError: the dtypes are not numbers or have no common dtype.
        """
        check_dtypes(x.dtype, y.dtype, self.function)
        shape = self.contract(tuple(x.shape), tuple(y.shape)).output_shape
        return shape, result_dtype(x.dtype, y.dtype, self.epsilon is not None)

    def lower(self, x: Tensor, y: Tensor) -> Plan:
        """Check two tensors and return their plan, before a kernel is selected.

        Raises:
            ValueError, AxisError: as `contract`; or the devices differ.
            TypeError: as `infer`; or a tensor is sparse or nested.
        """
        check_operands(x, y, self.function)
        contraction = self.contract(tuple(x.shape), tuple(y.shape))
        if is_tracing() or not (_has_static_layout(x) and _has_static_layout(y)):
            x_meta, y_meta = (TensorMeta(t.dtype, t.device.type, None) for t in (x, y))
        else:
            x_meta, y_meta = TensorMeta.of(x), TensorMeta.of(y)
        plan = lower(contraction, x_meta, y_meta, self.epsilon)
        return replace(plan, compiled=True) if plan.traced and _is_compiled() else plan


def convert_operands(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Convert operands that are not tensors, to the device of the other operand if that is a tensor."""
    device = next((t.device for t in (x, y) if isinstance(t, Tensor)), None)
    return as_tensor(x, device), as_tensor(y, device)


def _has_static_layout(tensor: Tensor) -> bool:
    """Whether sizes and strides may be read and relied on: no subclass, no symbolic sizes."""
    return are_exact_tensors([tensor]) and all(size.__class__ is int for size in tensor.shape)


def _is_compiled() -> bool:
    """Whether torch.compile lowers one of our operators, so that the plan may call custom operators."""
    return not is_tracing() and not torch.compiler.is_exporting() and is_lowering()

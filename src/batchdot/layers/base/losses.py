"""The members of a layer that speak of losses and updates."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from batchdot.layers.base.lazy import Building
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.tensor import KerasTensor, symbolic_tensors
from batchdot.symbolic.tree import flatten

_is_tracing = torch.compiler.is_dynamo_compiling


class Losses(Building):
    """What a layer adds to the loss of whoever trains it.

    Losses added outside a call stay. Losses added in a call on real tensors are those of the latest
    call, so that a training loop does not gather them. Losses of symbolic calls are symbolic scalars.
    """

    activity_regularizer: Callable[[Tensor], Tensor] | None
    _call_adds: bool

    def __init__(self, trainable: bool, dtype: torch.dtype) -> None:
        super().__init__(trainable, dtype)
        # Each is (value, the inputs it is conditional on, or None).
        self._persistent_losses: list[tuple[Any, Any]] = []
        self._call_losses: list[tuple[Any, Any]] = []
        self._symbolic_losses: list[tuple[Any, Any]] = []
        self._updates: list[tuple[Any, Any]] = []

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add losses, to be added to the loss that is trained for.

        Args:
            losses: a scalar tensor, a number, a function without arguments that returns one and is
                evaluated on access, or a list of these.
            inputs: what the losses are conditional on, for `get_losses_for`; None where nothing.
        """
        for loss in flatten(losses):
            if loss is None:
                continue
            if isinstance(loss, KerasTensor) or CONTEXT.in_shape_inference:
                self._keep_symbolic_loss(loss, inputs)
            elif any(layer is self for layer in CONTEXT.calls):
                self._call_losses.append((loss, inputs))
            elif _is_running(self):  # through a function that `call` calls, which it does not show
                self._call_adds = True  # which the next call minds, for an attribute was set
                self._call_losses.append((loss, inputs))
            else:
                self._persistent_losses.append((loss, inputs))

    @property
    def losses(self) -> list[Any]:
        """The losses of this layer and those inside; functions and regularizers are evaluated now."""
        found: list[Any] = []
        for layer in self._sublayers():
            found += [_evaluate(loss) for loss, _ in layer._own_losses()] + layer._weight_losses()
        return found

    def _sublayers(self) -> list["Losses"]:
        """Return this layer and those inside, in order; one that stands in several places once."""
        found: dict[Losses, None] = {}
        seen: set[nn.Module] = set()
        waiting: list[nn.Module] = [self]
        while waiting:
            module = waiting.pop()
            if module in seen:
                continue
            seen.add(module)
            if isinstance(module, Losses):
                found[module] = None
            inner = module._inner_modules() if isinstance(module, Losses) else list(module.children())
            waiting += reversed(inner)
        return list(found)

    def get_losses_for(self, inputs: Any) -> list[Any]:
        """Return the losses conditional on ``inputs``, or for None those conditional on nothing."""
        own = self._own_losses()
        if inputs is None:
            return [_evaluate(loss) for loss, on in own if on is None] + self._weight_losses()
        return [_evaluate(loss) for loss, on in own if on is not None and _depends([on, loss], inputs)]

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Keep updates of a symbolic call; on real tensors there is nothing to keep, and none is."""
        if CONTEXT.in_shape_inference or symbolic_tensors([updates, inputs]):
            on = _call_inputs(self) if CONTEXT.in_shape_inference and inputs is not None else inputs
            self._updates += [(update, on) for update in flatten(updates) if update is not None]

    @property
    def updates(self) -> list[Any]:
        """The updates that were added; none where the layer is not trainable."""
        layers = self._sublayers() if self.trainable else []
        return [update for layer in layers if layer.trainable for update, _ in layer._updates]

    def get_updates_for(self, inputs: Any) -> list[Any]:
        """Return the updates conditional on ``inputs``, or for None those conditional on nothing."""
        kept = self._updates if self.trainable else []
        if inputs is None:
            return [update for update, on in kept if on is None]
        return [update for update, on in kept if on is not None and _depends([on, update], inputs)]

    def _own_losses(self) -> list[tuple[Any, Any]]:
        return self._persistent_losses + (self._call_losses or self._symbolic_losses)

    def _keep_symbolic_loss(self, loss: Any, inputs: Any) -> None:
        """Keep a loss of a symbolic call; one that was inferred on meta tensors as a symbolic scalar."""
        if CONTEXT.in_shape_inference and isinstance(loss, Tensor):
            loss = KerasTensor((), loss.dtype)
        on = _call_inputs(self) if CONTEXT.in_shape_inference and inputs is not None else inputs
        self._symbolic_losses.append((loss, on))

    def _regularize_activity(self, outputs: Any, inputs: Any) -> None:
        """Add the activity regularizer's value, divided by the batch size, for each output."""
        if self.activity_regularizer is None:
            return
        for output in flatten(outputs):
            if isinstance(output, KerasTensor):
                self._symbolic_losses.append((KerasTensor((), output.dtype), inputs))
            else:
                self._call_losses.append((self.activity_regularizer(output) / output.shape[0], inputs))

    def _clear_call_losses(self) -> None:
        """Drop the losses of the call before, here and inside."""
        for module in self.modules() if self._modules else (self,):
            # A compiler that looks at old losses asks for their gradients.
            if isinstance(module, Losses) and (_is_tracing() or module._call_losses):
                module._call_losses = []


def _is_running(layer: Any) -> bool:
    """Whether `call` of a layer is on the stack: a plain call leaves no other trace."""
    frame, code = inspect.currentframe(), getattr(type(layer).call, "__code__", None)
    while frame is not None:
        if frame.f_code is code and any(value is layer for value in frame.f_locals.values()):
            return True
        frame = frame.f_back
    return False


def _evaluate(loss: Any) -> Any:
    value = loss() if callable(loss) and not isinstance(loss, Tensor) else loss
    return value if isinstance(value, Tensor | KerasTensor) else torch.as_tensor(value, dtype=torch.float32)


def _call_inputs(layer: Any) -> list[KerasTensor]:
    """Return the symbolic inputs of the call of a layer that is being inferred."""
    return list(layer.__dict__.get("_inferred_inputs", ()))


def _depends(on: Any, inputs: Any) -> bool:
    """Whether what a loss is conditional on is among ``inputs``, or was computed from them."""
    wanted = {id(leaf) for leaf in flatten(inputs)}
    seen: set[int] = set()
    frontier = flatten(on)
    while frontier:
        tensor = frontier.pop()
        if id(tensor) in wanted:
            return True
        if isinstance(tensor, KerasTensor) and tensor.node is not None and id(tensor) not in seen:
            seen.add(id(tensor))
            frontier += tensor.node.inputs
    return False

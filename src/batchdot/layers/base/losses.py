"""Losses and updates of a layer: adding, collecting and clearing them."""

from typing import Any

import torch
from torch import Tensor, nn

from batchdot._torch import is_tracing
from batchdot.layers.base.lazy import LazyWeights
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.tensor import KerasTensor, symbolic_tensors
from batchdot.symbolic.tree import flatten, map_structure


class Losses(LazyWeights):
    """The part of `Layer` that adds to the training loss.

    Losses added outside a call stay. Losses added in a call on real tensors replace those of the call
    before, so that a training loop does not gather them. Losses of symbolic calls are symbolic scalars.
    """

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add losses to the training loss.

        Args:
            losses: a scalar tensor, a number, a function without arguments that returns one and is
                evaluated on access, or a list of these.
            inputs: what the losses are conditional on, for `get_losses_for`; None if nothing.
        """
        for loss in flatten(losses):
            if loss is None:
                continue
            if isinstance(loss, KerasTensor) or CONTEXT.in_shape_inference:
                self._add_symbolic_loss(loss, inputs)
            elif any(layer is self for layer in CONTEXT.calls):
                self._add_call_loss(loss, inputs)
            else:
                self._persistent_losses.append((loss, inputs))

    @property
    def losses(self) -> list[Any]:
        """The losses of this layer and its sublayers; functions and regularizers are evaluated now."""
        found: list[Any] = []
        for layer in self._sublayers():
            found += [_evaluate(loss) for loss, _ in layer._own_losses()] + layer._weight_losses()
        return found

    def get_losses_for(self, inputs: Any) -> list[Any]:
        """Return the losses conditional on ``inputs``; for None, those conditional on nothing."""
        own = self._own_losses()
        if inputs is None:
            return [_evaluate(loss) for loss, on in own if on is None] + self._weight_losses()
        return [_evaluate(loss) for loss, on in own if on is not None and _depends([on, loss], inputs)]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the values of losses that were computed: a copy has other weights."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        losses = state["_persistent_losses"]
        return state | {"_persistent_losses": map_structure(_without_gradient, losses)}

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Keep updates of a symbolic call. On real tensors nothing is kept."""
        if not CONTEXT.keeps_symbolic_losses:
            return
        if CONTEXT.in_shape_inference or symbolic_tensors([updates, inputs]):
            on = _call_inputs(self) if CONTEXT.in_shape_inference and inputs is not None else inputs
            self._updates += [(update, on) for update in flatten(updates) if update is not None]

    @property
    def updates(self) -> list[Any]:
        """The updates that were added; none if the layer is not trainable."""
        layers = self._sublayers() if self.trainable else []
        return [update for layer in layers if layer.trainable for update, _ in layer._updates]

    def get_updates_for(self, inputs: Any) -> list[Any]:
        """Return the updates conditional on ``inputs``; for None, those conditional on nothing."""
        updates = self._updates if self.trainable else []
        if inputs is None:
            return [update for update, on in updates if on is None]
        return [update for update, on in updates if on is not None and _depends([on, update], inputs)]

    def _sublayers(self) -> list["Losses"]:
        """Return this layer and the layers inside, in order, each once."""
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

    def _own_losses(self) -> list[tuple[Any, Any]]:
        return self._persistent_losses + (self._call_losses or self._symbolic_losses)

    def _add_symbolic_loss(self, loss: Any, inputs: Any) -> None:
        """Keep a loss of a symbolic call; a meta tensor of shape inference as a symbolic scalar."""
        if not CONTEXT.keeps_symbolic_losses:
            return
        if CONTEXT.in_shape_inference and isinstance(loss, Tensor):
            loss = KerasTensor((), loss.dtype)
        on = _call_inputs(self) if CONTEXT.in_shape_inference and inputs is not None else inputs
        self._symbolic_losses.append((loss, on))

    def _add_call_loss(self, loss: Any, inputs: Any) -> None:
        if not CONTEXT.keeps_call_losses:
            return
        if CONTEXT.calls:
            CONTEXT.layers_with_losses.append(self)
        self._call_losses.append((loss, inputs))

    def _regularize_activity(self, outputs: Any, inputs: Any) -> None:
        """Add the activity regularizer's value, divided by the batch size, for each output."""
        if self.activity_regularizer is None:
            return
        for output in flatten(outputs):
            if isinstance(output, KerasTensor):
                self._symbolic_losses.append((KerasTensor((), output.dtype), inputs))
            else:
                self._add_call_loss(self.activity_regularizer(output) / output.shape[0], inputs)

    def _begin_call_losses(self) -> None:
        """Drop the losses of the call before, when a call begins that may add losses.

        The outermost call does so for all layers inside. A layer that is called but is none of them, such
        as a global variable, does so when it is first called.
        """
        if CONTEXT.in_shape_inference or not CONTEXT.keeps_call_losses:
            return  # another thread may be about to use them
        if not CONTEXT.calls:
            CONTEXT.layers_with_losses = []
            self._clear_call_losses()
        elif (is_tracing() or self._call_losses) and all(
            layer is not self for layer in CONTEXT.layers_with_losses
        ):
            reset_call_losses(self)

    def _clear_call_losses(self) -> None:
        for module in self.modules() if self._modules else (self,):
            # If traced, a test of old losses would make torch.compile ask for their gradients.
            if isinstance(module, Losses) and (is_tracing() or module._call_losses):
                reset_call_losses(module)


def reset_call_losses(layer: Losses) -> None:
    """Drop the losses of the latest call."""
    # Not by the layer's own __setattr__, with which compiled calls would have more guards.
    object.__setattr__(layer, "_call_losses", [])


def _evaluate(loss: Any) -> Any:
    value = loss() if callable(loss) and not isinstance(loss, Tensor) else loss
    return value if isinstance(value, Tensor | KerasTensor) else torch.as_tensor(value, dtype=torch.float32)


def _without_gradient(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) and not value.is_leaf else value


def _call_inputs(layer: Any) -> list[KerasTensor]:
    """Return the symbolic inputs of the call whose shape is being inferred."""
    inferred, inputs = CONTEXT.inferred_call
    return list(inputs) if inferred is layer else []


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

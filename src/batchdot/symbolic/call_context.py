"""The stack of layer calls in progress in a thread, and the state that inner calls inherit."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class CallContext(threading.local):
    """The layer calls in progress in this thread.

    Attributes:
        calls: the layers being called, outermost first.
        layers_with_losses: the layers that have added losses since the outermost call began.
        training: the argument ``training`` of the innermost call that has one, else None.
        in_shape_inference: whether layers run on tensors without values, for the shapes of their outputs.
        inferred_call: the layer whose symbolic call is inferred, and its symbolic inputs.
        keeps_symbolic_losses: whether this run of shape inference is the one whose losses are kept.
        keeps_call_losses: whether calls on tensors replace the losses of the calls before.
    """

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.layers_with_losses: list[Any] = []
        self.training: bool | None = None
        self.in_shape_inference = False
        self.inferred_call: tuple[Any, list[Any]] = (None, [])
        self.keeps_symbolic_losses = True
        self.keeps_call_losses = True

    @contextmanager
    def set(self, **values: Any) -> Iterator[None]:
        """Set attributes for a while.

        >>> with CONTEXT.set(training=False):
        ...     CONTEXT.training
        False
        """
        before = {name: getattr(self, name) for name in values}
        self.__dict__.update(values)
        try:
            yield
        finally:
            self.__dict__.update(before)


CONTEXT = CallContext()


def real_values() -> Any:
    """Leave shape inference for a while: a context in which weights are made and set."""
    return CONTEXT.set(in_shape_inference=False)


class LearningPhaseError(RuntimeError):
    """Nothing says whether a computation trains."""


def current_phase() -> bool:
    """Return whether the innermost call trains: by its argument ``training``, or by the mode of the layer.

    Raises:
        LearningPhaseError: no layer is being called, and no ``training`` is set for the thread.
    """
    if CONTEXT.training is not None:
        return CONTEXT.training
    if not CONTEXT.calls:
        raise LearningPhaseError(
            "Nothing says here whether the model trains. Pass training=..., or call "
            "K.set_learning_phase(0) or (1) first."
        )
    return bool(CONTEXT.calls[-1].training)

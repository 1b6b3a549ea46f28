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

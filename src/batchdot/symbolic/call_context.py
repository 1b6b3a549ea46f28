"""What a layer call must know of the calls around it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class CallContext(threading.local):
    """The calls of layers that are under way in this thread.

    Attributes:
        calls: the layers being called, outermost first.
        training: what the nearest call around said about training, None if none said anything.
        inferring: whether shapes are being inferred: tensors are on the meta device.
    """

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.training: bool | None = None
        self.inferring = False


CONTEXT = CallContext()


@contextmanager
def inferring() -> Iterator[None]:
    """Run layers for the shapes of their outputs alone."""
    before = CONTEXT.in_shape_inference
    CONTEXT.in_shape_inference = True
    try:
        yield
    finally:
        CONTEXT.in_shape_inference = before

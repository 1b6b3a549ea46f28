"""Pause the collection of cyclic garbage while many objects are made that all stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Turn the collection off, if it is on, while the context lasts.

    It would visit all objects again and again: a third of the time of a model of thousands of layers, half of
    that of a header of hundreds of thousands of tensors.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

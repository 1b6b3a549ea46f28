"""The exceptions of this package's own."""


class AxisError(ValueError, IndexError):
    """An axis outside ``[-rank, rank)``.

    Both a ValueError (the argument is bad) and an IndexError (Keras raises that one), as in numpy.

    >>> from batchdot import batch_dot
    >>> batch_dot([[1., 2.]], [[3., 4.]], axes=5)
    Traceback (most recent call last):
    ...
    batchdot.errors.AxisError: Axis 5 is out of range for x, whose rank is 2. \
Received: x.shape=(1, 2), y.shape=(1, 2), axes=5.
    """


class NotConnectedError(AttributeError, RuntimeError):
    """A layer was asked for its place in a graph, and has none.

    Both an AttributeError and a RuntimeError, the two that the Keras documentation names.

    >>> from batchdot import Dot
    >>> Dot(1, name="dot").input
    Traceback (most recent call last):
    ...
    batchdot.errors.NotConnectedError: Layer dot is not connected, no input to return.
    """


class FileFormatError(ValueError):
    """A file that does not hold what its name or its header says, or that has no place for a result."""

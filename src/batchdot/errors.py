"""Exceptions that batchdot raises itself, each a subclass of the built-in ones that Keras raises."""


class AxisError(ValueError, IndexError):
    """An axis outside ``[-rank, rank)``.

    Both a ValueError (an invalid argument) and an IndexError (the one that Keras raises), as in numpy.

    >>> from batchdot import batch_dot
    >>> batch_dot([[1., 2.]], [[3., 4.]], axes=5)
    Traceback (most recent call last):
    ...
    batchdot.errors.AxisError: Axis 5 is out of range for x, whose rank is 2. \
Received: x.shape=(1, 2), y.shape=(1, 2), axes=5.
    """


class NotConnectedError(AttributeError, RuntimeError):
    """An attribute such as ``layer.input`` of a layer that is not connected to a graph.

    Both an AttributeError and a RuntimeError, which the Keras documentation names.

    >>> from batchdot import Dot
    >>> Dot(1, name="dot").input
    Traceback (most recent call last):
    ...
    batchdot.errors.NotConnectedError: Layer dot is not connected, no input to return.
    """


class FileFormatError(ValueError):
    """A file with malformed or unsupported contents, or a path that cannot hold a result."""

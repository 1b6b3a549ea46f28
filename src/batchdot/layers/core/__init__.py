"""Keras's core layers."""

from typing import TYPE_CHECKING

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return a layer, as ``from keras.layers.core import Dense`` of Keras 1 and 2 expects."""
        from batchdot import layers

        return getattr(layers, name)

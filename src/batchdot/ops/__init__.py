"""The functions `batch_dot` and `dot`, and how a call finds its plan.

A call goes through these files in order: `functional` (public), `arguments` (what the user passed -> an
`Operation`), `dispatch` (guard, plan cache, handlers), then `planning` and `kernels` below this package.
"""

from typing import TYPE_CHECKING

from batchdot.keras_names.lookup import module_attribute

if not TYPE_CHECKING:  # with a __getattr__, every name would be valid for a type checker

    def __getattr__(name: str) -> object:
        """Say what to write for a function of ``keras.ops``, which is another package."""
        return module_attribute(__name__, name)

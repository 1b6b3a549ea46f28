"""Launching a kernel: by Triton's function the first time, which compiles it, and then directly."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

_ANY: AbstractContextManager[Any] = nullcontext()


def on(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which a device is the current one, on which Triton launches."""
    if device.index is None or device.index == torch.cuda.current_device():
        return _ANY
    return torch.cuda.device(device)


class Launch:
    """A kernel with its grid and constants, to be called with its other arguments.

    Triton's own call of a function looks at every argument again, 6 to 13 µs; the compiled kernel takes
    about 3. It depends on what Triton looks at: dtypes and the alignment of pointers. So one object
    serves tensors of the same dtypes, whose addresses are all divisible by 16, or the same ones are not.
    """

    __slots__ = ("_compiled", "_constants", "_function", "_grid", "_options")

    def __init__(self, function: Any, programs: int, constants: dict[str, Any], warps: int = 4) -> None:
        self._function = function
        self._grid = (programs, 1, 1)
        self._constants = {name: constants[name] for name in function.arg_names if name in constants}
        # Nothing may be contracted: error-free transformations would lose their errors.
        self._options = {"num_warps": warps, "enable_fp_fusion": False}
        self._compiled: dict[int, Any] = {}  # by device

    def __call__(self, device: torch.device, *arguments: Any) -> None:
        """Launch on the current stream of the device, which must be the current one; nothing waits for it."""
        index = -1 if device.index is None else device.index
        compiled = self._compiled.get(index)
        if compiled is None:
            function = self._function[self._grid]
            # None from the interpreter, which computes at once.
            self._compiled[index] = function(*arguments, **self._constants, **self._options)
        else:
            compiled[self._grid](*arguments, *self._constants.values())

"""The library built from csrc/: loads it, once; its operators are those of `batchdot.kernels.operators`."""

import os
from ctypes import CDLL, c_char_p
from functools import cache
from pathlib import Path

import torch

from batchdot.kernels import operators

LIBRARY = Path(__file__).with_name("librows.so.1")


@cache
def unavailable_reasons() -> list[str]:
    """Load the library, once, and return why it cannot be used; an empty list if it can."""
    names = os.environ.get("BATCHDOT_KERNELS", "")
    if names and "native" not in names.split(","):
        return [f"turned off by BATCHDOT_KERNELS={names}"]
    if not LIBRARY.exists():
        return ["not built: pip install --no-build-isolation, with torch and a C++ compiler installed"]
    try:
        torch.ops.load_library(str(LIBRARY))  # type: ignore[no-untyped-call]
        CDLL(str(LIBRARY)).batchdot_set_single_threaded  # noqa: B018  # raises if it is older
        torch.ops.batchdot.rank_pairs  # noqa: B018  # raises likewise
        operators.register_rules()
    except OSError as error:
        return [f"not loaded: {error}"]
    except AttributeError:
        return ["built for another version of batchdot: install again"]
    return []


def instructions() -> str:
    """Return the instruction set that the library uses on this machine: baseline, avx2, ..."""
    function = CDLL(str(LIBRARY)).batchdot_instructions
    function.restype = c_char_p
    return str(function().decode())


def set_single_threaded() -> None:
    """Make the operators single-threaded in the calling thread, permanently."""
    CDLL(str(LIBRARY)).batchdot_set_single_threaded()

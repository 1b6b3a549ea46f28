"""Recorded inputs and outputs: an .npz file of arrays x0, x1, ... and y0, y1, ..., or by name."""

import os

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.errors import ModelFileError
from batchdot.porting.record import ModelRecord, TensorRef

Arrays = list[NDArray[np.generic]]


def read_recorded(
    path: str | os.PathLike[str], model: ModelRecord
) -> tuple[dict[TensorRef, NDArray[np.generic]], Arrays]:
    """Return recorded inputs by their names, and recorded outputs in order.

    Inputs are x0, x1, ... in the order of ``model.inputs``, or have the names of the inputs; outputs are
    y0, y1, ...

    Raises:
        OSError: the file cannot be opened.
        ModelFileError: it is no .npz file of numbers, or inputs or outputs are missing.
    """
    name = os.fsdecode(path)
    arrays = _arrays(name)
    inputs = {}
    for number, ref in enumerate(model.input_refs):
        array = arrays.get(f"x{number}", arrays.get(ref.layer))
        if array is None:
            raise ModelFileError(
                f"neither x{number} nor {ref.layer!r}", "an array for each input of the model", file=name
            )
        inputs[ref] = array
    outputs: Arrays = []
    while f"y{len(outputs)}" in arrays:
        outputs.append(arrays[f"y{len(outputs)}"])
    if not outputs:
        raise ModelFileError("no y0", "y0, y1, ...: the outputs that Keras computed", file=name)
    return inputs, outputs


def _arrays(name: str) -> dict[str, NDArray[np.generic]]:
    allowed = "an .npz file: numpy.savez(file, x0=..., y0=...)"
    with open(name, "rb") as file:  # which numpy.load leaves open if it is a damaged zip file
        try:
            loaded = np.load(file, allow_pickle=False)
            members = {} if isinstance(loaded, np.ndarray) else dict(loaded)
        except Exception as error:
            raise ModelFileError(
                f"no arrays that NumPy reads ({type(error).__name__})", allowed, file=name
            ) from None
    if isinstance(loaded, np.ndarray):
        raise ModelFileError("one array", allowed, file=name)
    return members

"""Verify: run the ported model and Keras's side on the same inputs, and compare."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from batchdot.porting.errors import ModelFileError
from batchdot.porting.ported import port_record
from batchdot.porting.record import FrozenMap, ModelRecord, TensorRef
from batchdot.porting.translation import Options
from batchdot.porting.verification.inputs import random_inputs
from batchdot.porting.verification.live import LiveKeras, leaves
from batchdot.porting.verification.recorded import read_recorded
from batchdot.porting.verification.report import Comparison, Verification, compare

Inputs = Mapping[TensorRef, NDArray[np.generic]]
Path = str | os.PathLike[str]

TOLERANCES = {"float32": 2e-5, "float16": 2e-3, "bfloat16": 2**-8}
"""Differences allowed, relative to the largest magnitude of an output, by what the model computes in."""


def verify_record(
    record: ModelRecord,
    options: Options,
    path: Path,
    *,
    weights: Path | None = None,
    data: Path | None = None,
    against: str | None = None,
) -> Verification:
    """Compare a ported model with recorded outputs, or with Keras.

    Raises:
        NotPortableError: layers cannot be ported.
        ModelFileError: recorded arrays are missing, or do not fit the model.
        ImportError: Keras is not installed.
        ValueError: neither or both of ``data`` and ``against`` are given, or Keras cannot read the file.
    """
    if (data is None) == (against is None):
        raise ValueError(
            'give data=, a file of recorded inputs and outputs, or against="keras" or "tf_keras"'
        )
    module = port_record(record, options).module()
    tolerance = tolerance_of(record)
    if data is not None:
        inputs, theirs = read_recorded(data, record)
        ours = _outputs(module, inputs, options, data)
        outputs = _compared(record, ours, theirs, tolerance, data)
        return Verification(os.fsdecode(path), os.fsdecode(data), outputs)
    live = LiveKeras(str(against), path, weights, record)
    inputs = random_inputs(record)
    ours = _outputs(module, inputs, options, path)
    outputs = _compared(record, ours, live.outputs(inputs, record), tolerance, path)
    layers: tuple[Comparison, ...] = ()
    if not all(output.agrees for output in outputs):
        layers = tuple(_layers(record, options, live, inputs, tolerance))
    count = len(next(iter(inputs.values()), ()))
    return Verification(os.fsdecode(path), f"{live.version} on {count} random samples", outputs, layers)


def tolerance_of(record: ModelRecord) -> float:
    """Return the difference that is allowed for what the model computes in."""
    names = {str(layer.dtype).removeprefix("mixed_") for layer in record.all_layers()}
    return max(TOLERANCES.get(name, TOLERANCES["float32"]) for name in names | {"float32"})


def _outputs(module: nn.Module, inputs: Inputs, options: Options, place: Path) -> list[NDArray[np.generic]]:
    """Return what the ported model computes, as arrays in Keras's order of axes."""
    tensors = [_moved(torch.from_numpy(np.array(array)), 1, options) for array in inputs.values()]
    with torch.no_grad():
        try:
            result = module(*tensors)
        except (RuntimeError, IndexError, ValueError) as error:
            shapes = ", ".join(str(tuple(array.shape)) for array in inputs.values())
            reason = str(error).partition("\n")[0]
            raise ModelFileError(
                f"inputs of shapes {shapes}, on which the ported model fails: {reason}",
                file=os.fsdecode(place),
            ) from error
    return [_moved(tensor, -1, options).float().numpy() for tensor in _tensors(result)]


def _moved(tensor: Tensor, to: int, options: Options) -> Tensor:
    """Move the channels of images behind the batch or to the end, if that is how the model was ported."""
    if options.channels != "first" or tensor.ndim < 4:
        return tensor
    return tensor.movedim(-1, 1) if to == 1 else tensor.movedim(1, -1)


def _tensors(result: Any) -> Iterator[Tensor]:
    yield from leaves(result)


def _compared(
    record: ModelRecord, ours: Sequence[Any], theirs: Sequence[Any], tolerance: float, place: Path
) -> tuple[Comparison, ...]:
    if len(ours) != len(theirs):
        raise ModelFileError(
            f"{len(theirs)} outputs", f"{len(ours)}, which the model has", file=os.fsdecode(place)
        )
    names = list(record.outputs) if isinstance(record.outputs, FrozenMap) else map(repr, record.output_refs)
    pairs = zip(_unique(map(str, names), len(ours)), ours, theirs, strict=True)
    return tuple(compare(name, mine, np.asarray(yours), tolerance) for name, mine, yours in pairs)


def _unique(names: Iterator[str], count: int) -> list[str]:
    known = list(names)
    return known if len(known) == count else [f"y{number}" for number in range(count)]


def _layers(
    record: ModelRecord, options: Options, live: LiveKeras, inputs: Inputs, tolerance: float
) -> Iterator[Comparison]:
    """Compare the output of every call of a layer, from a model that is ported to return them all."""
    input_layers = {ref.layer for ref in record.input_refs}
    wanted = [
        call.output(number)
        for call in record.calls
        if call.layer not in input_layers
        for number in range(len(call.output_shapes))
    ]
    theirs = live.layers(inputs, wanted)
    if not theirs:
        return
    module = port_record(replace(record, outputs=tuple(theirs)), options).module()
    ours = _outputs(module, inputs, options, live.file)
    for ref, mine in zip(theirs, ours, strict=True):
        yield compare(repr(ref), mine, np.asarray(theirs[ref]), tolerance)

"""Run a ported module once before it is handed over, so that sizes which do not fit are refused by layer.

A small model runs on two samples of zeros, with zeros as its weights; a large one on none, over memory that
nobody has written, which checks most sizes and computes nothing. Either takes a tenth of the time of a port
(AMD EPYC of Zen 4). On the device "meta" PyTorch would import its compiler, which takes longer than the port.
A module that fails there may still be right, as one that takes a maximum over no samples is; so it runs again
with its weights, and only what fails then is refused.
"""

import math
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from batchdot.porting.blame import Failure, failure_of
from batchdot.porting.errors import NotPortableError
from batchdot.porting.program import ModelClass, Value
from batchdot.porting.record import ModelRecord, Shape
from batchdot.porting.record.values import refs_in
from batchdot.porting.translation.port import Origin

FREE = ((16, 64), (64, 224))
"""Sizes that are tried where the model leaves them open: of steps, and of the sides of images."""

MAX_STEPS = 100_000
"""Steps of a sequence from which on there is no run: a loop over them would take longer than the port."""

MAX_ELEMENTS = 2**24
"""Elements of a tensor from which on there is no run on a sample."""

SMALL = 2**18
"""Numbers, weights and results together, up to which a model runs on samples at first."""

BATCH = 2
"""Samples: squeezing the axes of size 1 would take away the batch of one."""

UNTRIED = (NotImplementedError, MemoryError)
"""What says nothing about the model: an operation that the CPU does not have, and too little memory."""

_lock = threading.Lock()
"""Held while warnings are ignored, such as that of a variance of nothing: all threads share their filters."""


@dataclass(frozen=True)
class Trial:
    """Runs of one module.

    Attributes:
        model: its class.
        record: what it was ported from.
    """

    model: ModelClass
    record: ModelRecord

    def run(self, blank: nn.Module, load: Callable[[], nn.Module]) -> None:
        """Run the module.

        Args:
            blank: it, without numbers.
            load: returns it with its weights.

        Raises:
            NotPortableError: a layer cannot run.
        """
        shapes = list(self._shapes())
        if any(value.shape is None for value in self.model.parameters) or any(map(_is_long, shapes)):
            return
        try:
            empty = blank.float().to_empty(device="cpu").eval()
            numbers = sum(map(_elements, shapes)) + sum(each.numel() for each in empty.state_dict().values())
            if numbers <= SMALL:
                for tensor in empty.state_dict().values():
                    tensor.zero_()
            failures = self._failures(empty, BATCH if numbers <= SMALL else 0)
            if not failures or max(map(_elements, shapes)) > MAX_ELEMENTS:
                return
            failures = self._failures(load().float(), BATCH)
        except UNTRIED:
            return
        if failures:
            self._refuse(failures)

    def _shapes(self) -> Iterator[Shape]:
        for call in self.record.calls:
            yield from call.output_shapes

    def _failures(self, module: nn.Module, batch: int) -> list[Failure]:
        """Return how the module fails, at all sizes that are tried; nothing if it runs at any."""
        failures: list[Failure] = []
        for steps, side in FREE if self._is_open else FREE[:1]:
            inputs = [_zeros(value, batch, steps, side) for value in self.model.parameters]
            with torch.no_grad(), _lock, warnings.catch_warnings(action="ignore"):
                try:
                    results = module(*inputs)
                except UNTRIED:
                    raise
                except Exception as error:
                    failures.append(failure_of(self.model, module, inputs, error))
                    continue
            self._compare(results)
            return []
        return failures

    def _compare(self, results: object) -> None:
        """Refuse a model that returns other sizes than it says."""
        if any(value.is_first for value in self.model.parameters):
            return
        shapes = {
            call.output(number): shape
            for call in self.record.calls
            for number, shape in enumerate(call.output_shapes)
        }
        for ref, tensor in zip(refs_in(self.record.outputs), _tensors(results), strict=True):
            wanted = shapes.get(ref)
            if wanted is None:
                continue
            pairs = zip(wanted[1:], tensor.shape[1:], strict=False)
            if len(wanted) != tensor.dim() or any(size not in (None, found) for size, found in pairs):
                found = tuple(tensor.shape[1:])
                reason = f"PyTorch gives samples of shape {found}, not {wanted[1:]} as the file means"
                raise NotPortableError([(ref.layer, reason)])

    @property
    def _is_open(self) -> bool:
        """Whether the model leaves more sizes open than that of the batch."""
        return any(None in (value.shape or ())[1:] for value in self.model.parameters)

    def _refuse(self, failures: list[Failure]) -> None:
        """Raise the refusal, unless what fails may be due to the numbers or sizes that were tried."""
        failure = failures[0]
        error, origin, text = failure.error, failure.origin, failure.expression
        if isinstance(error, IndexError) and "index out of range in self" in str(error):
            return
        same = len(failures) > 1 and all(
            str(each.error) == str(error) and each.origin is origin for each in failures
        )
        may_fit = self._is_open and not same
        name = self.record.name
        if isinstance(origin, Origin):
            name = origin.layer.name
            is_open = any(shape is None or None in shape[1:] for shape in origin.call.input_shapes)
            has_weights = any(True for _ in origin.layer.all_weights())
            may_fit = may_fit and is_open and not (has_weights and len(origin.call.input_shapes) == 1)
        if may_fit:
            return
        where = f"{text} fails" if text else "it fails"
        reason = f"{where}, because sizes do not fit ({type(error).__name__}: {_brief(error)})"
        raise NotPortableError([(name, reason)]) from error


def _zeros(value: Value, batch: int, steps: int, side: int) -> Tensor:
    """Return an input of a size that its shape allows: zeros, which are ids in every vocabulary."""
    shape = value.actual_shape or ()
    free = side if len(shape) in (4, 5) else steps
    fixed = shape[0] if shape and batch and shape[0] is not None else batch
    sizes = [fixed, *(free if size is None else size for size in shape[1:])] if shape else []
    dtype = {"int": torch.int64, "bool": torch.bool}.get(value.kind, torch.float32)
    return torch.zeros(sizes, dtype=dtype)


def _tensors(results: object) -> Iterator[Tensor]:
    if isinstance(results, Tensor):
        yield results
    elif isinstance(results, (tuple, list, dict)):
        for part in results.values() if isinstance(results, dict) else results:
            yield from _tensors(part)


def _is_long(shape: Shape) -> bool:
    return shape is not None and len(shape) > 2 and (shape[1] or 0) > MAX_STEPS


def _elements(shape: Shape) -> int:
    return math.prod(size or 1 for size in shape or ())


def _brief(error: Exception) -> str:
    """Return the first sentence of a message."""
    return str(error).strip().partition("\n")[0][:200]

"""Port a saved model: record, program, source, state dict, module."""

import os
import re
from dataclasses import dataclass, field
from pathlib import PurePath

import torch
from torch import Tensor, nn

from batchdot.porting.module import classes_of
from batchdot.porting.program import Array, Program
from batchdot.porting.record import ModelRecord
from batchdot.porting.source import check, helper_names, write
from batchdot.porting.translation import Options, translate


@dataclass(frozen=True)
class Ported:
    """A saved Keras model as PyTorch source with its weights.

    Attributes:
        source: the text of a Python file whose last class is the model.
        class_name: the name of that class.
        notes: what a reader of the source should know, in sentences.
    """

    source: str
    class_name: str
    notes: tuple[str, ...]
    _arrays: dict[str, Array] = field(repr=False)

    @property
    def state_dict(self) -> dict[str, Tensor]:
        """The weights by the keys of the module's state dict, read anew from the saved model."""
        return {key: _tensor(array) for key, array in self._arrays.items()}

    def module(self) -> nn.Module:
        """Return the module with its weights, in ``eval()``: the source, executed."""
        with torch.device("meta"):
            module: nn.Module = classes_of(self.source)[self.class_name]()
        module.load_state_dict(self.state_dict, assign=True)
        return module.eval()


def port_record(record: ModelRecord, *, options: Options) -> Ported:
    """Return a record as source with its weights.

    Raises:
        NotPortableError: layers cannot be ported.
    """
    program = translate(record, title_of(record), name_of(record), helper_names(), options)
    source = write(program)
    check(source)
    return Ported(source, program.model.name, program.notes, dict(_arrays(program)))


def _arrays(program: Program) -> dict[str, Array]:
    return dict(program.model.arrays())


def _tensor(array: Array) -> Tensor:
    tensor = torch.tensor(array.read())
    return tensor.to(getattr(torch, array.dtype))


GENERIC = re.compile(r"(model|functional|sequential)(_\d+)?")
"""Names that Keras gives to models of its own accord."""


def title_of(record: ModelRecord) -> str:
    """Return the first line of a ported file."""
    written = record.written
    if written is None:
        return "Ported from a Keras model."
    file = PurePath(os.fsdecode(written.file)).name
    return f"Ported from {_printable(file)}, saved by {_printable(written.by)}."


def name_of(record: ModelRecord) -> str:
    """Return what to call the class: the model, or the file where the model has a name that Keras chose."""
    if record.written is None or not GENERIC.fullmatch(record.name):
        return record.name
    return PurePath(record.written.file).name.split(".")[0]


def _printable(text: str) -> str:
    """Return text that can stand in a docstring."""
    return "".join(letter if letter.isprintable() and letter not in "\"'\\" else "_" for letter in text)

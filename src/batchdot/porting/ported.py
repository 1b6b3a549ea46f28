"""Port a saved model: record, program, source, state dict, module."""

import keyword
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from batchdot.io.atomic import write_files
from batchdot.io.layout import bytes_of
from batchdot.io.safetensors import header_of
from batchdot.porting.errors import NotPortableError
from batchdot.porting.inspection.text import layer_table
from batchdot.porting.module import classes_of
from batchdot.porting.program import Array, Function, ModelClass
from batchdot.porting.record import ModelRecord
from batchdot.porting.source import check, helper_names, write
from batchdot.porting.translation import Options, translate
from batchdot.porting.translation.layer import UNFORESEEN
from batchdot.porting.translation.nesting import GENERIC
from batchdot.porting.trial import Trial


@dataclass(frozen=True)
class Ported:
    """A saved Keras model as PyTorch source with its weights.

    Attributes:
        source: the text of a Python file whose last class is the model.
        class_name: the name of that class.
        notes: what a reader of the source should know, in sentences.
        record: the saved model. Printed, the value is a table of its layers and what they became.

    >>> from batchdot.porting import port
    >>> ported = port("benchmarks/ported/models/factorization.h5")
    >>> ported.class_name, ported.notes, list(ported.state_dict)[:2]
    ('Factorization', (), ['user_vector.weight', 'user_bias.weight'])
    """

    source: str
    class_name: str
    notes: tuple[str, ...]
    record: ModelRecord = field(repr=False)
    _arrays: Mapping[str, Array] = field(repr=False)
    _functions: tuple[Function, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return layer_table(self.record, {each.key: each.alias for each in self._functions})

    @property
    def state_dict(self) -> dict[str, Tensor]:
        """The weights by the keys of the module's state dict, read anew from the saved model."""
        return {key: _tensor(array) for key, array in self._arrays.items()}

    def module(self) -> nn.Module:
        """Return the module with its weights, in ``eval()``: the source, executed."""
        module = self._blank()
        module.load_state_dict(self.state_dict, assign=True)
        return module.eval()

    def check(self, model: ModelClass) -> None:
        """Build the module without numbers, and run it on no samples.

        Args:
            model: the class that the source has.

        Raises:
            NotPortableError: PyTorch refuses sizes or arguments.
            ValueError: a function of ``custom`` fails without weights, or builds another state dict.
        """
        try:
            module = self._blank()
            keys = module.state_dict().keys()
        except (*UNFORESEEN, RuntimeError) as error:
            if self._functions:
                reason = f"{type(error).__name__}: {error}"
                raise ValueError(
                    f"the source, which calls custom functions without weights, fails: {reason}"
                ) from error
            reason = f"PyTorch does not build the module ({type(error).__name__}: {error})"
            raise NotPortableError([(self.record.name, reason)]) from error
        if self._functions and keys != self._arrays.keys():
            odd = ", ".join(sorted(keys ^ self._arrays.keys()))
            raise ValueError(f"a custom function builds other weights when it is given none: {odd}")
        if not self._functions:  # which may want numbers
            trial = Trial(model, self.record)
            trial.run(module, self.module)

    def _blank(self) -> nn.Module:
        imports = tuple(function.import_line for function in self._functions if function.place)
        given = {function.alias: function.function for function in self._functions if not function.place}
        with torch.device("meta"), _Uninitialized():
            module: nn.Module = classes_of(self.source, imports, given)[self.class_name]()
        return module

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the source, and the weights beside it as ``.safetensors``: both files or neither.

        Args:
            path: the file of the source, whose name ends in ``.py``. Files that are there are replaced.

        Raises:
            ValueError: Python cannot import a file of that name, or a function of ``custom``.
            OSError: the files cannot be written.
        """
        target = Path(path)
        if target.suffix != ".py":
            raise ValueError(f"a ported model is saved as a file NAME.py, not as {os.fsdecode(path)!r}")
        if keyword.iskeyword(target.stem) or not target.stem.isidentifier():
            raise ValueError(f"Python cannot import {target.name!r}: give the file a name such as tower.py")
        for function in self._functions:
            if function.place is None:
                raise ValueError(
                    f"the custom function for {function.alias!r} cannot be imported by the saved file: "
                    "define it in a module, at the top level"
                )
        state = self.state_dict
        header = header_of({key: (tuple(tensor.shape), tensor.dtype) for key, tensor in state.items()})
        weights = target.with_suffix(".safetensors")
        numbers = map(bytes_of, state.values())
        write_files({os.fsdecode(weights): [header, *numbers], os.fsdecode(target): [self.source.encode()]})


def port_record(record: ModelRecord, options: Options) -> Ported:
    """Return a record as source with its weights.

    Raises:
        NotPortableError: layers cannot be ported.
    """
    program = translate(record, title_of(record), name_of(record), helper_names(), options)
    source = write(program)
    imports = tuple(function.import_line for function in program.functions if function.place)
    check(source, imports, {function.alias for function in program.functions})
    arrays = dict(program.model.arrays())
    notes = program.notes + program.remarks
    ported = Ported(source, program.model.name, notes, record, arrays, program.functions)
    ported.check(program.model)
    return ported


class _Uninitialized(TorchFunctionMode):
    """Skips the functions of torch.nn.init: on the meta device, `normal_` imports PyTorch's compiler."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _tensor(array: Array) -> Tensor:
    numbers = np.array(array.read(), order="C")  # a transposed weight would slow down every call
    return torch.from_numpy(numbers).to(getattr(torch, array.dtype))


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
    """Return text that can stand in a docstring: ASCII, short, on one line."""
    return "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in "\"'\\" else "_"
        for letter in text[:60]
    )

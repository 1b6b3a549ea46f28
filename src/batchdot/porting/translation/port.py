"""What all classes of one program share while it is written: options, names, notes, the user's functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchdot.porting.program import Function, Names
from batchdot.porting.record import Call, LayerRecord
from batchdot.porting.translation.custom import Custom, importable
from batchdot.porting.translation.sharing import Loans


@dataclass
class Options:
    """How a model is ported.

    Attributes:
        with_batchdot: whether Dot layers become `batchdot.Dot`.
        custom: the user's translations, by the name of a layer, a class or an activation.
        channels: "first" for inputs and outputs of images with their channels behind the batch.
    """

    with_batchdot: bool = False
    custom: Mapping[str, Custom] = field(default_factory=dict)
    channels: str | None = None


@dataclass(frozen=True)
class Origin:
    """What a statement of a program was written for: one call of a layer."""

    layer: LayerRecord
    call: Call


@dataclass
class Port:
    """What is shared by all classes of one program while it is written.

    Attributes:
        options: how the model is ported.
        reserved: names that helpers have.
        class_names: of the file.
        has_weights: whether the model came with weights.
        is_mixed: whether its inputs and weights have several dtypes of floating point numbers.
        missing: why layers cannot be ported, by name.
        lacks_weights: whether a layer cannot be for want of weights.
        functions: the user's functions so far, by the name that they were given for.
        loans: the layers that were built so far.
        notes: what the reader should know, in sentences.
        definitions: names of functions of ``x`` that the file defines, by expression.
    """

    options: Options
    reserved: frozenset[str]
    class_names: Names
    has_weights: bool
    is_mixed: bool = False
    missing: dict[str, str] = field(default_factory=dict)
    lacks_weights: bool = False
    functions: dict[str, Function] = field(default_factory=dict)
    loans: Loans = field(default_factory=Loans)
    notes: dict[str, None] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)

    def note(self, sentence: str) -> None:
        """Add a sentence to the notes, once."""
        self.notes[sentence] = None

    def define(self, name: str, expression: str) -> str:
        """Add a function of ``x`` to the file, once; return its name."""
        if expression not in self.definitions:
            self.definitions[expression] = self.class_names.take(name)
        return self.definitions[expression]

    def custom(self, *names: str) -> Function | None:
        """Return the user's translation that has the first of these names, None if there is none."""
        plain = (name.rpartition(">")[2] for name in names)  # a class is "package>Class" in older files
        name = next((name for name in (*names, *plain) if name in self.options.custom), None)
        if name is None:
            return None
        if name not in self.functions:
            function = self.options.custom[name]
            place = importable(function)
            alias = self.class_names.take(place[1] if place else name)
            self.functions[name] = Function(alias, function, place, name)
        return self.functions[name]

"""Models inside of models: where each class stands, what it reaches of others, how it is called."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from batchdot.porting.program import ModelClass, Names, Submodule, Value, leaves
from batchdot.porting.program.expressions import literal
from batchdot.porting.program.values import Names as Targets
from batchdot.porting.program.values import Results
from batchdot.porting.record import ModelRecord
from batchdot.porting.translation.dtypes import FIXED, WIDTHS, cast, weight_among
from batchdot.porting.translation.layer import RefusedError
from batchdot.porting.translation.masks import every_step
from batchdot.porting.translation.registry import Forward, Result
from batchdot.porting.translation.site import Site

GENERIC = re.compile(r"(model|functional|sequential)(_\d+)?")
"""Names that Keras gives to models of its own accord."""


def title_of(name: str, record: ModelRecord) -> str:
    """Return what to call the class of a model: of one that Keras has named, what it mostly consists of."""
    if not GENERIC.fullmatch(name):
        return name
    layers = [layer for layer in record.layers if layer.kind == "layer" and not layer.is_a("InputLayer")]
    largest = max(layers, key=lambda layer: layer.parameters, default=None)
    return f"{largest.class_name if largest else 'model'} block"


@dataclass(eq=False)
class Place:
    """Where a class stands among those of a program.

    Attributes:
        names: of the tensors in its ``forward``.
        above: the class that has it as a sub-module, None of the whole model.
        attribute: what that class calls it.
        borrowed: sub-modules of classes not below it, by class and attribute: what ``forward`` takes too.
    """

    names: Names
    above: "Place | None" = None
    attribute: str = ""
    borrowed: "dict[tuple[Place, str], Borrowed]" = field(default_factory=dict)

    def reach(self, owner: "Place", submodule: Submodule) -> str:
        """Return the expression of a sub-module of another class: a path, or a parameter of ``forward``."""
        path, place = [submodule.attribute], owner
        while place is not self and place.above is not None:
            path.append(place.attribute)
            place = place.above
        if place is self:
            return ".".join(["self", *reversed(path)])
        key = owner, submodule.attribute
        if key not in self.borrowed:
            self.borrowed[key] = Borrowed(submodule, self.names.take(submodule.attribute))
        return self.borrowed[key].name


@dataclass(frozen=True)
class Borrowed:
    """A sub-module of another class, and the name of the parameter that it is."""

    submodule: Submodule
    name: str

    @property
    def annotation(self) -> str:
        """The type of the parameter."""
        return "Tensor" if "" in self.submodule.state else "nn.Module"


@dataclass(frozen=True)
class Inside:
    """A model that is a layer of another one, translated.

    Attributes:
        model: its class.
        place: where that stands.
        parameters: its inputs, as its ``forward`` has them.
        masked: the numbers of those inputs whose masks are passed along.
        outputs: its results, as its ``forward`` has them.
        structure: how it returns them.
        is_mixed: whether the program has several dtypes of floating point numbers.
    """

    model: ModelClass
    place: Place
    parameters: tuple[Value, ...]
    masked: tuple[int, ...]
    outputs: tuple[Value, ...]
    structure: Results
    is_mixed: bool

    def calls(self, module: str, place: Place) -> Forward:
        """Return the function that writes calls of the model in another class.

        Args:
            module: the expression by which it is reached.
            place: the other class.
        """
        weights = ((f"{module}.{key}", array) for key, array in self.model.arrays())
        weight = weight_among(weights, is_mixed=self.is_mixed)

        def forward(site: Site) -> Result:
            values = site.values()
            expected = len(self.parameters)
            if len(values) != expected:
                raise RefusedError(f"it is called with {len(values)} tensors, and has {expected} inputs")
            masks = [
                site.mask("inputs" if expected == 1 else f"inputs.{number}") or every_step(values[number])
                for number in self.masked
            ]
            given = [
                self._passed(site, value, parameter, weight)
                for value, parameter in zip(values, self.parameters, strict=True)
            ]
            modules = [place.reach(owner, one.submodule) for (owner, _), one in self.place.borrowed.items()]
            call = f"{module}({', '.join(map(str, (*given, *masks, *modules)))})"
            is_fixed = weight is None and any(value.dtype == FIXED for value in given)
            made = tuple(
                self._result(text, output, is_fixed=is_fixed)
                for text, output in zip(self._results(site, call), self.outputs, strict=True)
            )
            return made[0] if isinstance(self.structure, str) else made

        return forward

    def _passed(self, site: Site, value: Value, parameter: Value, weight: Value | None) -> Value:
        """Return an argument; in a program of several dtypes, each layer inside casts for itself."""
        value = site.last(value)
        if parameter.kind != "float" or (value.kind == "float" and self.is_mixed):
            return value
        return cast(value, weight, site.body, integers=True)

    def _results(self, site: Site, call: str) -> tuple[str, ...]:
        """Write the statement of a call that has several results; return the expressions of all."""
        if isinstance(self.structure, str):
            return (call,)
        if isinstance(self.structure, dict):
            made = site.named(call)
            return tuple(f"{made}[{literal(key)}]" for key in self.structure)
        return tuple(leaves(site.unpack(call, _suffixes(self.structure, itertools.count()))))

    def _result(self, text: str, output: Value, *, is_fixed: bool) -> Value:
        kind = "float" if output.kind == "count" else output.kind
        is_known = output.dtype in WIDTHS or not self.is_mixed
        dtype = FIXED if is_fixed or output.kind == "count" else output.dtype if is_known else text
        return Value(text, kind=kind, dtype=dtype)


def _suffixes(results: Results, numbers: Iterator[int]) -> Targets:
    """Return suffixes to a name, for several results as they come."""
    if isinstance(results, tuple):
        return tuple(_suffixes(part, numbers) for part in results)
    number = next(numbers)
    return str(number) if number else ""

"""The specification of one class of layers: arguments, weights and output shapes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from batchdot.porting.record.activations import parse_activation
from batchdot.porting.record.era import Era
from batchdot.porting.record.fields import Field, data_format, flag, penalty, sizes
from batchdot.porting.record.values import Activation, FrozenMap, Shape, Value

Config: TypeAlias = FrozenMap[str, Value]

Size: TypeAlias = "int | str | None"
"""A size of a weight: known, named ("in", which the input tells), or free."""


@dataclass(frozen=True)
class Slot:
    """One weight that a layer has.

    Attributes:
        role: what the weight is to the layer.
        shape: its sizes; None as a whole where only the file knows them.
        owner: attributes that lead to the object that holds it, in the versions that there are.
        trainable: whether it is, in a layer that is.
        suffixes: names that it may end with in a legacy file, beside its role.
    """

    role: str
    shape: tuple[Size, ...] | None
    owner: tuple[str, ...] = ("",)
    trainable: bool = True
    suffixes: tuple[str, ...] = ()


Slots: TypeAlias = Callable[[Config], tuple[Slot, ...]]
Infer: TypeAlias = Callable[[Config, tuple[Shape, ...]], tuple[Shape, ...]]
Symbols: TypeAlias = Callable[[Config, tuple[Shape, ...]], Mapping[str, "int | None"]]


def no_slots(config: Config) -> tuple[Slot, ...]:
    """A layer without weights."""
    return ()


def same_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """The output has the shape of the input."""
    return shapes[:1] or (None,)


def unknown_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Nothing is known of the output."""
    return (None,)


def last_axis(config: Config, shapes: tuple[Shape, ...]) -> Mapping[str, int | None]:
    """The size "in" is that of the input's last axis."""
    shape = shapes[0] if shapes else None
    return {"in": shape[-1] if shape else None}


@dataclass(frozen=True)
class Spec:
    """One class of layers.

    Attributes:
        name: Keras's newest name of the class.
        fields: its arguments.
        slots: its weights, in Keras's order.
        infer: from the shapes of its inputs to those of its outputs.
        symbols: from the same shapes to the sizes that slots name.
        old: names that the class had.
        children: arguments that are layers, or lists of layers.
        finish: a last step over the whole config, with the era.
        problem: why nobody but the user can port it; empty where it can be.
        drops: keys that are known and mean nothing to what is ported.
        mask: how it treats masks; see `batchdot.porting.record.masks`.
    """

    name: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    slots: Slots = no_slots
    infer: Infer = same_shape
    symbols: Symbols = last_axis
    old: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    finish: Callable[[dict[str, Value], Era], dict[str, Value]] | None = None
    problem: str = ""
    drops: frozenset[str] = frozenset()
    mask: str = "pass"

    @cached_property
    def keys(self) -> frozenset[str]:
        """Every key that its configs have in some version, those of any class apart."""
        arguments = (name for key, field in self.fields.items() for name in (key, *field.old))
        return frozenset((*arguments, *self.drops, *self.children))


def trained(*names: str, constraints: bool = True) -> dict[str, Field]:
    """Return the fields of what matters to training only: regularizers and constraints."""
    old = {"kernel": "W", "recurrent": "U", "bias": "b"}
    fields = {}
    for name in names:
        letter = old.get(name, "")
        fields[f"{name}_regularizer"] = Field(penalty, None, (f"{letter}_regularizer",) if letter else ())
        if constraints:
            fields[f"{name}_constraint"] = Field(penalty, None, (f"{letter}_constraint",) if letter else ())
    fields["activity_regularizer"] = Field(penalty, None)
    return fields


ACTIVATION = Field(parse_activation, Activation("linear"))
USE_BIAS = Field(flag, True)
DATA_FORMAT = data_format()


def sizes_field(count: int, default: int = 1) -> Field:
    """Return the field of ``count`` sizes that are 1 each where the file does not say."""
    return Field(sizes(count), (default,) * count)


def whole(config: Config, key: str) -> int:
    """Return an argument that is an integer."""
    value = config[key]
    assert isinstance(value, int)
    return value


def whole_tuple(config: Config, key: str) -> tuple[int, ...]:
    """Return an argument that is a tuple of integers."""
    value = config[key]
    assert isinstance(value, tuple)
    return tuple(item for item in value if isinstance(item, int))


def bias(config: Config, *shape: int | str | None) -> tuple[Slot, ...]:
    """Return the slot of a bias, where the layer has one."""
    return (Slot("bias", shape, suffixes=("b",)),) if config["use_bias"] else ()


def last_units(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """The last axis becomes the units."""
    shape = shapes[0] if shapes else None
    return (None if shape is None else (*shape[:-1], whole(config, "units")),)

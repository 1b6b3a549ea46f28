"""Fields: the type, default and older names of one argument in a layer's config."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from batchdot.porting.archive.limits import MAX_RANK
from batchdot.porting.record.era import Era
from batchdot.porting.record.item import Item, shortest
from batchdot.porting.record.values import FrozenMap, Penalty, Value

Parse: TypeAlias = Callable[[Item, Era], Value]


class _Required:
    """Marks a field that has no default."""


REQUIRED = _Required()


@dataclass(frozen=True)
class Field:
    """One argument.

    Attributes:
        parse: from what stands in the file to a value.
        default: the value where the file has none; a function of the era where eras differ.
        old: names that it had.
    """

    parse: Parse
    default: "Value | _Required | Callable[[Era], Value]" = REQUIRED
    old: tuple[str, ...] = ()

    def read(self, key: str, config: Item, era: Era) -> Value:
        """Return the argument, from a layer's config.

        Raises:
            ModelFileError: it is of a wrong type, out of range, or missing where it has no default.
        """
        values = config.mapping()
        for name in (key, *self.old):
            if name in values:
                return self.parse(Item(values[name], name, config), era)
        if isinstance(self.default, _Required):
            raise config.wrong(f"an object with {key!r}")
        return self.default(era) if callable(self.default) else self.default


def positive(item: Item, era: Era) -> Value:
    """An integer of at least 1."""
    return item.integer(1)


def natural(item: Item, era: Era) -> Value:
    """An integer of at least 0."""
    return item.integer(0)


def integer(item: Item, era: Era) -> Value:
    """Any integer."""
    return item.integer()


def number(item: Item, era: Era) -> Value:
    """A finite number."""
    return item.number()


def flag(item: Item, era: Era) -> Value:
    """True or false."""
    return item.flag()


def text(item: Item, era: Era) -> Value:
    """A string."""
    return item.text()


def optional(parse: Parse) -> Parse:
    """What another parser takes, or null."""
    return lambda item, era: None if item.value is None else parse(item, era)


def choice(*allowed: str) -> Parse:
    """One of several words."""

    def parse(item: Item, era: Era) -> Value:
        if item.value not in allowed:
            raise item.wrong(" or ".join(allowed))
        return item.text()

    return parse


def sizes(count: int, low: int = 1) -> Parse:
    """``count`` integers of at least ``low``; one integer stands for all of them."""

    def parse(item: Item, era: Era) -> Value:
        if not isinstance(item.value, list):
            return (item.integer(low),) * count
        if len(item.value) == 1 and count > 1:
            return (item.at(0).integer(low),) * count
        if len(item.value) != count:
            raise item.wrong(f"{count} integers")
        return tuple(part.integer(low) for part in item.items())

    return parse


def pairs(count: int) -> Parse:
    """``count`` pairs, of what is added or cut before and behind: an integer, a list, or a list of pairs."""

    def pair(item: Item) -> tuple[int, int]:
        if not isinstance(item.value, list):
            size = item.integer(0)
            return size, size
        if len(item.value) != 2:
            raise item.wrong("two integers")
        return item.at(0).integer(0), item.at(1).integer(0)

    def parse(item: Item, era: Era) -> Value:
        if not isinstance(item.value, list):
            return (pair(item),) * count
        if count == 1:
            return (pair(item if len(item.value) != 1 else item.at(0)),)
        if len(item.value) == 4 and count == 2:  # Keras 1: top, bottom, left, right
            top, bottom, left, right = (part.integer(0) for part in item.items())
            return (top, bottom), (left, right)
        if len(item.value) != count:
            raise item.wrong(f"{count} integers or pairs of integers")
        return tuple(pair(part) for part in item.items())

    return parse


def axes(item: Item, era: Era) -> Value:
    """Axes as a tuple; an integer stands for one."""
    if isinstance(item.value, list):
        if not item.value or len(item.value) > 32:
            raise item.wrong("1 to 32 axes")
        return tuple(part.integer(-32, 32) for part in item.items())
    return (item.integer(-32, 32),)


def axis(item: Item, era: Era) -> Value:
    """One axis; a list of one, as TensorFlow writes it, is the same."""
    found = axes(item, era)
    if not isinstance(found, tuple) or len(found) != 1:
        raise item.wrong("one axis")
    return found[0]


def numbers(item: Item, era: Era) -> Value:
    """A number, or lists of numbers."""
    if isinstance(item.value, list):
        return tuple(
            shortest(part) if type(part) is float and abs(part) < 3e38 else numbers(Item(part, at, item), era)
            for at, part in enumerate(item.value)
        )
    return item.number()


def shape(item: Item, era: Era) -> Value:
    """Sizes, null where unknown; one integer stands for one size."""
    if isinstance(item.value, list):
        return item.shape()
    return (item.integer(0),)


def target_shape(item: Item, era: Era) -> Value:
    """Sizes, of which one may be -1."""
    if len(item.sequence()) > MAX_RANK:
        raise item.wrong(f"up to {MAX_RANK} sizes")
    return tuple(part.integer(-1) for part in item.items())


def penalty(item: Item, era: Era) -> Value:
    """A regularizer or constraint: it matters to training only, so that unknown ones are named, no more."""
    value = item.value
    if value is None:
        return None
    if isinstance(value, str):
        return Penalty(item.name())
    config = item.get("config") if item.has("config") else item
    if not isinstance(config.value, dict):
        return Penalty("custom")
    name = item.get("class_name" if item.has("class_name") else "name")
    found = {}
    for key, part in config.members():
        if isinstance(part.value, (int, float)) and not isinstance(part.value, bool):
            found[key] = part.number()
    return _unified(name.name() if isinstance(name.value, str) else "custom", found)


_CONSTRAINTS = {"m": "max_value"}
_NAMES = {
    "L1L2Regularizer": "L1L2",
    "WeightRegularizer": "L1L2",
    "L1": "L1L2",
    "L2": "L1L2",
    "maxnorm": "MaxNorm",
}


def _unified(name: str, found: Mapping[str, float]) -> Value:
    name = _NAMES.get(name, name)
    values: dict[str, Value] = {_CONSTRAINTS.get(key, key): value for key, value in found.items()}
    if name == "L1L2":
        values = {"l1": values.get("l1", 0.0), "l2": values.get("l2", 0.0)}
        if values == {"l1": 0.0, "l2": 0.0}:
            return None
    return Penalty(name, FrozenMap(values))


def data_format(default: str = "channels_last") -> Field:
    """The field of where channels are; null means the machine's default."""

    def parse(item: Item, era: Era) -> Value:
        if item.value is None or item.value == "default":
            return default
        return choice("channels_last", "channels_first")(item, era)

    return Field(parse, default)

"""A JSON value of a config with its JSON pointer, which every error names."""

from collections.abc import Iterator

from batchdot.porting.archive import Json
from batchdot.porting.archive.limits import MAX_AXIS, MAX_NAME
from batchdot.porting.errors import ModelFileError, quote


class Item:
    """A JSON value and its JSON pointer.

    >>> Item({"units": [3]}, "config.json").get("units").at(0).place
    'config.json#/units/0'
    """

    __slots__ = ("_key", "_parent", "value")

    def __init__(self, value: Json, key: str | int = "", parent: "Item | None" = None) -> None:
        self.value = value
        self._key = key
        self._parent = parent

    @property
    def place(self) -> str:
        """The JSON pointer, behind the name of what holds the JSON."""
        keys: list[str] = []
        here = self
        while here._parent is not None:
            keys.append(str(here._key)[:40].replace("~", "~0").replace("/", "~1"))
            here = here._parent
        pointer = "/".join(reversed(keys))
        return f"{here._key}#/{pointer}" if keys else str(here._key)

    def wrong(self, allowed: str) -> ModelFileError:
        """Return the error that says what may stand here instead."""
        return ModelFileError(quote(self.value), allowed, place=quote(self.place)[1:-1])

    def get(self, key: str) -> "Item":
        """Return a member of a dict; its value is None where there is none."""
        return Item(self.mapping().get(key), key, self)

    def at(self, index: int) -> "Item":
        """Return a member of a list."""
        return Item(self.sequence()[index], index, self)

    def has(self, key: str) -> bool:
        """Whether a dict has a key."""
        return key in self.mapping()

    def items(self) -> Iterator["Item"]:
        """Yield the members of a list."""
        for index, value in enumerate(self.sequence()):
            yield Item(value, index, self)

    def members(self) -> Iterator[tuple[str, "Item"]]:
        """Yield the members of a dict."""
        for key, value in self.mapping().items():
            yield key, Item(value, key, self)

    def sorted_members(self) -> Iterator[tuple[str, "Item"]]:
        """Yield the members of a dict in the order in which Keras flattens and numbers them."""
        for key in sorted(self.mapping()):
            yield key, Item(self.mapping()[key], key, self)

    def mapping(self) -> dict[str, Json]:
        """Return the dict that this is."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return self.value

    def sequence(self) -> list[Json]:
        """Return the list that this is."""
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return self.value

    def text(self) -> str:
        """Return the string that this is."""
        if not isinstance(self.value, str):
            raise self.wrong("a string")
        return self.value

    def name(self) -> str:
        """Return a name: a string, neither empty nor longer than a name may be."""
        text = self.text()
        if not text or len(text) > MAX_NAME:
            raise self.wrong(f"a name of 1 to {MAX_NAME} characters")
        return text

    def integer(self, low: int = -MAX_AXIS, high: int = MAX_AXIS) -> int:
        """Return the integer that this is; true is none, 3.0 is none."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(f"an integer from {low:,} to {high:,}")
        return value

    def number(self) -> float:
        """Return the finite number that this is."""
        value = self.value
        if isinstance(value, dict) and value.get("type") == "ndarray" and "value" in value:
            return self.get("value").number()  # how TensorFlow 1.12 writes a NumPy number
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong("a number")
        if not -1e308 <= value <= 1e308:
            raise self.wrong("a finite number")
        return shortest(float(value))

    def flag(self) -> bool:
        """Return the boolean that this is; "yes" and 1 are none."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value

    def shape(self) -> tuple[int | None, ...]:
        """Return the shape that this is, of sizes or null."""
        if len(self.sequence()) > 32:
            raise self.wrong("up to 32 sizes")
        return tuple(None if item.value is None else item.integer(0) for item in self.items())


def shortest(value: float) -> float:
    """Return the shortest decimal of a float32 that a config holds with a double's digits.

    >>> shortest(0.30000001192092896), shortest(0.3)
    (0.3, 0.3)
    """
    import numpy as np

    if abs(value) > 3e38 or (value and abs(value) < 1e-37):
        return value
    single = np.float32(value)
    return float(str(single)) if float(single) == value else value

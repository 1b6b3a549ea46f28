"""The error for a saved Keras model that cannot be read, and how file contents are quoted in messages."""

from collections.abc import Sequence

from batchdot.errors import FileFormatError
from batchdot.io.regular_file import printable

LONGEST_QUOTE = 60


class ModelFileError(FileFormatError):
    """A file is no model that Keras saved, or is damaged, or is outside the limits of the reader.

    Attributes:
        file: path of the file.
        place: where in the file: zip member, JSON pointer, HDF5 path; empty for the file as a whole.
        found: what is there.
        allowed: what may be there, or what to do; empty where ``found`` says it all.

    >>> print(ModelFileError("true", "an integer", place="config.json#/config/units", file="m.keras"))
    m.keras: config.json#/config/units: found true; allowed: an integer
    """

    def __init__(self, found: str, allowed: str = "", *, place: str = "", file: str = "") -> None:
        super().__init__(found, allowed, place, file)
        self.found = found
        self.allowed = allowed
        self.place = place
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.found, self.allowed, self.place, self.file))

    def __str__(self) -> str:
        where = "".join(f"{part}: " for part in (printable(self.file), self.place) if part)
        return f"{where}found {self.found}; allowed: {self.allowed}" if self.allowed else where + self.found


def _rebuild(found: str, allowed: str, place: str, file: str) -> ModelFileError:
    return ModelFileError(found, allowed, place=place, file=file)


def quote(value: object) -> str:
    r"""Return a value of a file as one short line of ASCII, as Python would write it.

    >>> quote("é"), quote([0] * 1000)
    ("'\\xe9'", 'a list of 1,000 items')
    """
    if isinstance(value, (list, tuple, dict)) and len(value) > 4:
        return f"a {'dict' if isinstance(value, dict) else 'list'} of {len(value):,} items"
    if isinstance(value, (str, bytes)):
        text = ascii(value[:LONGEST_QUOTE])
        return text if len(value) <= LONGEST_QUOTE else f"{text} and {len(value) - LONGEST_QUOTE:,} more"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quote(k)}: {_brief(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_brief(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return ascii(value)[:LONGEST_QUOTE]


def _brief(value: object) -> str:
    if isinstance(value, (list, tuple, dict)):
        return f"a {'dict' if isinstance(value, dict) else 'list'} of {len(value):,} items"
    return quote(value)


class NotPortableError(ValueError):
    """A saved model was read, and has layers that cannot be ported.

    Attributes:
        missing: name of each such layer, and why.

    >>> print(NotPortableError([("double", "it holds code, which is not run")]))
    'double' cannot be ported: it holds code, which is not run
    """

    def __init__(self, missing: Sequence[tuple[str, str]]) -> None:
        super().__init__(tuple(missing))
        self.missing = tuple(missing)

    def __str__(self) -> str:
        return "\n".join(f"{quote(name)} cannot be ported: {reason}" for name, reason in self.missing)

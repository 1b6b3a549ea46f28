"""Choose Python names for layers and tensors that collide with nothing."""

import itertools
import re
from collections.abc import Iterable

from torch import nn

from batchdot.codegen import identifier

LONGEST = 40
"""Characters of a name; a layer's name may have any number of them."""

MODULES = (
    *("torch", "nn", "F", "Tensor", "Path", "load_file", "batchdot"),
    *("pack_padded_sequence", "pad_packed_sequence"),
)
"""Names that are imported."""

ATTRIBUTES = frozenset(dir(nn.Module())) | frozenset(nn.Module.__annotations__)
"""Attributes that every module has."""


class Names:
    """Names in one class or one function, each taken once.

    Args:
        taken: names that are not free.
        first: texts whose names are kept for the first that take them; no other gets them by its number.

    >>> names = Names(["x"], ["a", "a_1"])
    >>> [names.take(text) for text in ("x", "x", "for", "a/b", "__a", "a", "a_1", "forward")]
    ['x_1', 'x_2', 'for_', 'a_b', 'a', 'a_2', 'a_1', 'forward_1']
    """

    def __init__(self, taken: Iterable[str] = (), first: Iterable[str] = ()) -> None:
        self._taken = {*taken, "self", "_", *MODULES, *ATTRIBUTES}
        self._first: dict[str, str] = {}
        self._first = {text: self.take(text) for text in map(_plain, first)}

    def take(self, text: str) -> str:
        """Return a text as a name that nothing else has."""
        text = _plain(text)
        return self._first.pop(text, None) or identifier(text, self._taken)

    def is_free(self, text: str) -> bool:
        """Whether nothing has a text as its name."""
        return _plain(text) not in self._taken


def _plain(text: str) -> str:
    text = re.sub(r"^tf\.(\w+\.)*", "", text)  # of an operation that TensorFlow called tf.math.square
    plain = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")[:LONGEST]
    return f"layer_{plain}".rstrip("_") if not plain[:1].isalpha() else plain


def class_name(text: str, names: Names) -> str:
    """Return a text as the name of a class that nothing else has.

    >>> names = Names()
    >>> [class_name(text, names) for text in ("movie_tower-2", "tower", "Tower")]
    ['MovieTower2', 'Tower', 'Tower2']
    """
    words = re.findall(r"[0-9A-Za-z]+", text)
    joined = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789")
    name = joined[:1].upper() + joined[1:] or "Model"
    numbered = (f"{name}{number}" for number in itertools.count(2))
    return names.take(next(filter(names.is_free, itertools.chain([name], numbered))))

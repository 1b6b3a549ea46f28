"""Choose Python names for layers and tensors that collide with nothing."""

import re
from collections.abc import Iterable

from torch import nn

from batchdot.models.codegen import identifier

LONGEST = 40
"""Characters of a name; a layer's name may have any number of them."""

MODULES = ("torch", "nn", "F", "Tensor", "Path", "load_file", "batchdot")
"""Names that are imported."""

ATTRIBUTES = frozenset(dir(nn.Module())) | frozenset(nn.Module.__annotations__)
"""Attributes that every module has."""


class Names:
    """Names in one class or one function, each taken once.

    >>> names = Names(["x"])
    >>> [names.take(text) for text in ("x", "x", "for", "a/b", "__a", "forward")]
    ['x_1', 'x_2', 'for_', 'a_b', 'a', 'forward_1']
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {*taken, "self", "_", *MODULES, *ATTRIBUTES}

    def take(self, text: str) -> str:
        """Return a text as a name that nothing else has."""
        return identifier(re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")[:LONGEST] or "layer", self._taken)


def class_name(text: str, names: Names) -> str:
    """Return a text as the name of a class.

    >>> class_name("movie_tower-2", Names())
    'MovieTower2'
    """
    words = re.findall(r"[0-9A-Za-z]+", text)
    joined = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789")
    return names.take(joined[:1].upper() + joined[1:] or "Model")

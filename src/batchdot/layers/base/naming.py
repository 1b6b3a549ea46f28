"""Unique names of layers in a process, and unique ``state_dict`` keys in a module.

Names are numbered in the process, as in Keras. Keys are numbered in the model, so that the same code gives
the same keys whatever was built before.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable

from batchdot._torch import is_tracing

_given: Counter[str] = Counter()


class AutomaticName(str):
    """A name that was made from a class, whose number says only what was built before.

    Attributes:
        base: the name without its number.
    """

    __slots__ = ("base",)
    base: str

    def __new__(cls, name: str, base: str) -> "AutomaticName":
        """Return the name, with its base."""
        made = super().__new__(cls, name)
        made.base = base
        return made

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return AutomaticName, (str(self), self.base)


def unique_name(class_name: str) -> str:
    """Return ``dot``, then ``dot_1``, ``dot_2``, ... for a class named ``Dot``.

    A layer made inside a compiled function gets no number: one that changed from call to call would make
    torch.compile compile each time.

    >>> clear_names()
    >>> [unique_name("Dot"), unique_name("Dot"), unique_name("HTTPDot"), unique_name("_Private")]
    ['dot', 'dot_1', 'http_dot', 'private__private']
    """
    base = snake_case(class_name)
    if is_tracing():
        return base
    count = _given[base]
    _given[base] += 1
    return AutomaticName(f"{base}_{count}" if count else base, base)


def as_automatic(name: str, bases: Iterable[str]) -> str:
    """Return a name from a config as an automatic one, if it is one of the bases or one with a number.

    >>> [type(as_automatic(name, ["dense"])).__name__ for name in ("dense", "dense_12", "dense_a", "tower")]
    ['AutomaticName', 'AutomaticName', 'str', 'str']
    """
    bases = list(bases)
    found = next((base for base in bases if re.fullmatch(rf"{re.escape(base)}(_\d+)?", name)), None)
    return name if found is None else AutomaticName(name, bases[0])


def snake_case(class_name: str) -> str:
    """Return a class name in snake case, as Keras writes it: ``HTTPDot`` is ``http_dot``.

    A name that would start with an underscore gets ``private`` before it, as in tf.keras.

    >>> snake_case("Dot2D"), snake_case("_Priv")
    ('dot2d', 'private__priv')
    """
    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    name = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    return f"private{name}" if name.startswith("_") else name


def clear_names() -> None:
    """Number the names of layers from the start again, for a new model.

    >>> from batchdot import backend, layers
    >>> backend.clear_session()
    >>> layers.Flatten().name, layers.Flatten().name
    ('flatten', 'flatten_1')

    Source: ``tf.keras.backend.clear_session``.
    """
    _given.clear()


def state_keys(names: Iterable[str], is_taken: Callable[[str], bool]) -> list[str]:
    """Return the ``state_dict`` key of each of a model's layers, given their names in graph order.

    The key is the name that the layer was given, with underscores for dots. An automatic name gets the number
    of the layer among those of its base. Keys that are taken, by another layer or an attribute of the model,
    are stepped over; names that can stay as they are go first.

    >>> dense = [AutomaticName(f"dense_{number}", "dense") for number in (7, 5, 9)]
    >>> state_keys(["a.b", "a_b", *dense[:2], "forward", "dense_1", dense[2]], {"forward"}.__contains__)
    ['a_b_1', 'a_b', 'dense', 'dense_2', 'forward_1', 'dense_1', 'dense_3']
    """
    names = list(names)
    keys: dict[int, str] = {}
    taken: set[str] = set()

    def is_free(key: str) -> bool:
        return key not in taken and not is_taken(key)

    def take(index: int, base: str, start: int = 0) -> int:
        count = start
        while not is_free(key := f"{base}_{count}" if count else base):
            count += 1
        keys[index] = key
        taken.add(key)
        return count + 1

    given = [index for index, name in enumerate(names) if not isinstance(name, AutomaticName)]
    changed = [
        index for index in given if not names[index] or "." in names[index] or not is_free(names[index])
    ]
    for index in given:
        if index not in changed:
            take(index, names[index])
    for index in changed:
        take(index, names[index].replace(".", "_") or "layer")
    numbers: Counter[str] = Counter()
    for index, name in enumerate(names):
        if isinstance(name, AutomaticName):
            numbers[name.base] = take(index, name.base, numbers[name.base])
    return [keys[index] for index in range(len(names))]


def unique_key(name: str, is_taken: Callable[[str], bool]) -> str:
    """Return a name as a key of ``state_dict``: without dots, and with a number if it is taken.

    >>> unique_key("a.b", {"a"}.__contains__), unique_key("a.b", {"a_b", "a_b_1"}.__contains__)
    ('a_b', 'a_b_2')
    """
    base = key = name.replace(".", "_")
    count = 0
    while is_taken(key):
        count += 1
        key = f"{base}_{count}"
    return key

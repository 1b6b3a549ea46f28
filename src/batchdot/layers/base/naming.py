"""Unique names of layers in a process, and unique ``state_dict`` keys in a module."""

import re
from collections import Counter
from collections.abc import Callable

from batchdot._torch import is_tracing

_given: Counter[str] = Counter()


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
    return f"{base}_{count}" if count else base


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
    """Restart the numbering."""
    _given.clear()


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

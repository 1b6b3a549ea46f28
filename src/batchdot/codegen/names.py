"""Python names made of the names of layers."""

import builtins
import keyword
import re


def identifier(text: str, taken: set[str]) -> str:
    """Return a text as a Python name that is not taken, and take it.

    >>> taken = {"dense"}
    >>> [identifier(text, taken) for text in ("dense", "tower/2", "class", "2nd")]
    ['dense_1', 'tower_2', 'class_', '_2nd']
    """
    base = re.sub(r"[^0-9A-Za-z_]", "_", text) or "_"
    base = f"_{base}" if base[0].isdigit() else base
    if keyword.iskeyword(base) or hasattr(builtins, base):
        base += "_"
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.add(name)
    return name

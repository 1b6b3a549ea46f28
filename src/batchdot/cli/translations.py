"""Parse ``--custom NAME=MODULE:FUNCTION``: the user's own translations of custom layers, imported."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def parse_translations(texts: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """Return the functions by the names that they translate. Modules may lie in the current folder.

    Raises:
        ValueError: a text is not ``NAME=MODULE:FUNCTION``, or there is no such function.

    >>> parse_translations(["double=operator:neg"])
    {'double': <built-in function neg>}
    """
    if texts and "" not in sys.path:
        sys.path.insert(0, "")
    return dict(map(_parse, texts))


def _parse(text: str) -> tuple[str, Callable[..., Any]]:
    name, equals, place = text.rpartition("=")
    module, colon, function = place.partition(":")
    if not (name and equals and module and colon and function):
        raise ValueError(f"--custom takes NAME=MODULE:FUNCTION, not {text!r} (see batchdot port --help)")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--custom {text}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever the user's module does when it is imported
        raise ValueError(f"--custom {text}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"--custom {text}: it is no function")
    return name, found

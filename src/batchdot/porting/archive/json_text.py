"""Strict JSON: parse text after its depth, number of values, digits and duplicate keys are checked.

Python's own parser does the work. What it would accept or fail on by itself is refused before it runs:
deep nesting ends in a RecursionError that depends on the caller, huge integers cost quadratic time.
"""

import itertools
import json
import re
from typing import TypeAlias

from batchdot.porting.archive.limits import (
    MAX_INTEGER_DIGITS,
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
    MAX_JSON_TOKENS,
)
from batchdot.porting.errors import ModelFileError, quote

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, closed or running to the end, so that no byte is read twice.

Possessive repetitions keep no places to return to: these took 2 GB for a string of 15 million escapes.
"""

_LEVELS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_TOKENS = bytes(byte for byte in range(256) if byte not in (*_LEVELS, ord(",")))

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(data: bytes, place: str) -> Json:
    """Return the value that JSON text means.

    NaN and Infinity are read: Keras writes them. Who uses a number says whether it may be one.

    Raises:
        ModelFileError: it is no JSON, or deeper, longer or stranger than a config may be.

    >>> parse(b'{"units": 3}', "config.json")
    {'units': 3}
    """
    if len(data) > MAX_JSON_BYTES:
        raise ModelFileError(f"{len(data):,} bytes of JSON", f"{MAX_JSON_BYTES:,}", place=place)
    _check_structure(data, place)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"a byte that is not UTF-8, at {error.start:,}", place=place) from None
    try:
        value: Json = json.loads(text, object_pairs_hook=_unique, parse_int=_integer)
    except ModelFileError as error:
        raise ModelFileError(error.found, error.allowed, place=place) from None
    except json.JSONDecodeError as error:
        raise ModelFileError(f"no JSON: {error.msg} at character {error.pos:,}", place=place) from None
    if _SURROGATE.search(data):
        _refuse_surrogates(value, place)
    return value


def _check_structure(data: bytes, place: str) -> None:
    bare, strings = _STRING.subn(b"", data, MAX_JSON_TOKENS + 1)  # a limit to the memory that it takes
    tokens = bare.translate(None, _NOT_TOKENS)
    if len(tokens) + strings > MAX_JSON_TOKENS:
        raise ModelFileError("more text in JSON", f"{MAX_JSON_TOKENS:,} tokens", place=place)
    brackets = tokens.replace(b",", b"")
    if max(itertools.accumulate(map(_LEVELS.__getitem__, brackets)), default=0) > MAX_JSON_DEPTH:
        raise ModelFileError("JSON nested deeper", f"{MAX_JSON_DEPTH} levels", place=place)


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ModelFileError(f"the key {quote(key)} twice in one object")
            seen.add(key)
    return result


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS + 1:
        raise ModelFileError(f"an integer of {len(digits):,} digits", f"{MAX_INTEGER_DIGITS}")
    return int(digits)


def _refuse_surrogates(value: Json, place: str) -> None:
    """Refuse halves of surrogate pairs, which no text encoding can write."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ModelFileError(f"half a surrogate pair in {quote(value)}", place=place) from None
    elif isinstance(value, list):
        for item in value:
            _refuse_surrogates(item, place)
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_surrogates(key, place)
            _refuse_surrogates(item, place)

"""Random changes to a C++ source: one operator or number each."""

import random
import re

from tests.support.mutation.changes import Change

TOKEN = re.compile(
    r"""
    (?P<word> \b(?:min|max|true|false)\b )
    | (?P<skipped> //[^\n]* | /\*.*?\*/ | ^[ \t]*\#(?:[^\n]*\\\n)*[^\n]* | "[^"]*" | \bstatic_assert\b[^;]*;
        | \btemplate\s*<[^>]*> | \boperator\W+ | [A-Za-z_]\w* (?: <[\w\s:,*]*> (?=\s*[({&\w]) )?
        | <<|>>|->|::|\+\+|-- )
    | (?P<number> (?<![\w.]) \d+ (?:\.\d*)? (?:[eE][+-]?\d+)? (?![\w.]) )
    | (?P<operator> <=|>=|==|!=|&&|\|\||[-+*/%]=|[-+*/%<>!] )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
SWAPPED = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "!": "",
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "+=": "-=", "-=": "+=", "*=": "+=", "/=": "*=",
    "min": "max", "max": "min", "true": "false", "false": "true",
}  # fmt: skip


def random_native_change(source: str, generator: random.Random) -> Change | None:
    """Return a random change of a C++ source, or None if it has nothing to change.

    A change that does not compile is no change: the caller tries it.

    >>> random_native_change("bool f(int a) { return a < limit; }", random.Random(0)).source
    'bool f(int a) { return a <= limit; }'
    """
    places = [match for match in TOKEN.finditer(source) if match.lastgroup != "skipped"]
    if not places:
        return None
    place = generator.choice(places)
    old = place.group()
    new = str(int(old) + generator.choice((1, -1))) if old.isdecimal() else SWAPPED.get(old, f"(2 * {old})")
    line = source.count("\n", 0, place.start()) + 1
    around = source[: place.start()].rpartition("\n")[2] + old + source[place.end() :].partition("\n")[0]
    changed = source[: place.start()] + new + source[place.end() :]
    return Change(line, f"{old} -> {new or 'nothing'} in `{around.strip()}`", changed)

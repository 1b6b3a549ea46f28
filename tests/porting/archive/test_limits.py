"""The limits that the page on security names are those of the code."""

import re

from tests.support import ROOT

from batchdot.porting.archive import limits

NAMED = {
    "JSON: size, depth, tokens": ("MAX_JSON_BYTES", "MAX_JSON_DEPTH", "MAX_JSON_TOKENS"),
    "zip: members": ("MAX_ZIP_MEMBERS",),
    "growth of what is deflated: up to 16 MiB, beyond": ("MAX_INFLATION", "MAX_INFLATION_BEYOND"),
    "HDF5: bytes of structure, objects, chunks of one dataset": (
        "MAX_HDF5_METADATA",
        "MAX_OBJECTS",
        "MAX_CHUNKS",
    ),
    "layers, calls, characters of a name": ("MAX_LAYERS", "MAX_CALLS", "MAX_NAME"),
    "one axis, one tensor": ("MAX_AXIS", "MAX_TENSOR"),
}


def number(text):
    """Return the number that a cell means: 32 MiB, 2³¹, 400,000, 100 times."""
    text = re.sub(r" times| numbers", "", text)
    if (
        text.startswith("2")
        and (power := text[1:].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))) != text[1:]
    ):
        return 2 ** int(power)
    return int(text.removesuffix(" MiB").replace(",", "")) * (limits.MIB if text.endswith(" MiB") else 1)


def test_page_on_security_names_the_limits():
    page = (ROOT / "docs" / "file-security.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]*\d[^|]*) \|$", page, re.MULTILINE))
    assert rows.keys() == NAMED.keys()
    for row, names in NAMED.items():
        values = [number(cell) for cell in rows[row].split(", ")]
        assert values == [getattr(limits, name) for name in names], row
    assert limits.MAX_INFLATED == 16 * limits.MIB

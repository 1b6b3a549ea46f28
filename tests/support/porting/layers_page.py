"""The page of layers that are ported, from the tables of classes and of translations.

``python -m tests.support.porting.layers_page`` writes docs/from-keras/layers.md anew.
"""

import re

from tests.support import ROOT

import batchdot.porting.translation  # noqa: F401  # fills the table
from batchdot.porting.inspection.becomes import MODULES
from batchdot.porting.record.classes import SPECS
from batchdot.porting.translation.registry import table

PAGE = ROOT / "docs" / "from-keras" / "layers.md"

HEAD = """\
# Which layers are ported

One row for each class of Keras's layers, of all versions; a renamed class has its newest name. This page
is generated from the registry of translations (`python -m tests.support.porting.layers_page`) and tested.
Layers of your own, and Lambda layers, are ported by a function that you give: `custom={"NAME": function}`.

| Keras layer | ported | becomes | restriction |
|---|---|---|---|
"""

ELSEWHERE = {
    "InputLayer": "an argument of `forward`",
    "LSTMCell": "the layer of its RNN",
    "GRUCell": "the layer of its RNN",
    "SimpleRNNCell": "the layer of its RNN",
    "StackedRNNCells": "one layer for each cell",
}
"""Classes that other translations take along."""

BY_HAND = {
    "Lambda": "code is not run: give `custom`",
    **dict.fromkeys(
        ("StringLookup", "IntegerLookup", "TextVectorization", "Hashing", "HashedCrossing"),
        "feed the model behind it with ids, and look them up in Python",
    ),
    "RandomCrop": "crops at random places while training, and resizes in inference: give `custom`",
    **dict.fromkeys(
        ("FlaxLayer", "JaxLayer", "KerasLayer", "TFSMLayer", "TorchModuleWrapper"),
        "what it wraps is not Keras: give `custom`",
    ),
}
"""What to do about classes that are refused."""


def page():
    """Return the text of the page."""
    translations = {name: entry for (kind, name), entry in table().items() if kind == "layer"}
    rows = []
    for name in sorted({spec.name for spec in SPECS.values()} | set(translations)):
        entry = translations.get(name)
        if entry is not None:
            words = MODULES.get(name) or _first_line(entry.translation.__doc__ or "")
            words = f"`{words}`" if re.fullmatch(r"[\w.+*-]+", words) and words != "nothing" else words
            rows.append(f"| {name} | yes | {words} | {entry.restriction} |")
        elif name in ELSEWHERE:
            rows.append(f"| {name} | yes | {ELSEWHERE[name]} | |")
        else:
            rows.append(f"| {name} | no | | {BY_HAND.get(name, 'give `custom`')} |")
    names = sorted(name for kind, name in table() if kind == "operation")
    tail = ""
    if names:
        operations = ", ".join(f"`{name}`" for name in names)
        tail = f"\n## Operations\n\nFunctions of `keras.ops` and TensorFlow between layers: {operations}.\n"
    return HEAD + "\n".join(row.replace("|  |", "| |") for row in rows) + "\n" + tail


def _first_line(docstring):
    line = docstring.split("\n")[0].partition("; see")[0].rstrip(".").replace("``", "`")
    return line if line.startswith(("nn.", "F.", "torch.")) else line[:1].lower() + line[1:]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

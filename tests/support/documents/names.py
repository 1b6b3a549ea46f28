"""The page of Keras's names: what is here in code, what is ported from a file, and what to write instead.

``python -m tests.support.documents.names`` writes docs/from-keras/names.md anew. The names are those that
tests/keras_names/test_lookup.py records from tf_keras 2.21 and Keras 3.15.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from tests.keras_names.test_lookup import is_here
from tests.support import ROOT
from tests.support.keras_record import FOLDER

import batchdot.porting.translation  # noqa: F401  # fills the table
from batchdot.keras_names.answer import Answer
from batchdot.keras_names.earlier import EARLIER
from batchdot.keras_names.lookup import all_answers
from batchdot.keras_names.restrictions import RESTRICTIONS
from batchdot.porting.inspection.becomes import MODULES
from batchdot.porting.record.classes import SPECS
from batchdot.porting.translation.registry import table

PAGE = ROOT / "docs" / "from-keras" / "names.md"
RECORD = FOLDER / "lookup.json"

HEAD = """\
# What of Keras is here

<!-- Written by python -m tests.support.documents.names, from the tables that errors and the porter use. -->

Every public name of tf_keras 2.21 and Keras 3.15. *In code* is code that runs under `import batchdot as
keras`: **yes**, with a restriction where there is one, or what to write instead. *In a file* is a model
that any Keras saved, which becomes plain PyTorch by [`batchdot port`](../command-line.md): there are many
more layers, because nothing of Keras has to be there afterwards. An `ImportError` or `AttributeError` for a
name says what stands here.

"""

LAYERS = """\

## Layers

A layer of your own, and a Lambda layer, is ported from a file by a function that you give: `custom={"NAME":
function}`. A dash means that no file holds the name, or that no code wrote it.

| layer | in code | in a file |
|---|---|---|
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

SECTIONS = {
    "Model": ("Methods of a model", "Those of `Model` and `Sequential`; `torch.nn.Module` has the rest."),
    "backend": (
        "Backend functions",
        "They take tensors, arrays and symbolic tensors.",
    ),
    "models": ("Models", ""),
    "activations": ("Activations", ""),
    "initializers": ("Initializers", ""),
    "regularizers": ("Regularizers", ""),
    "constraints": ("Constraints", ""),
    "": ("At the top", "Names of `keras` itself, without its modules."),
    "optimizers": ("Optimizers", ""),
    "losses": ("Losses", ""),
    "metrics": ("Metrics", ""),
    "callbacks": ("Callbacks", ""),
    "utils": ("Utilities", ""),
    "saving": ("Saving", ""),
    "applications": ("Applications", ""),
    "datasets": ("Data sets", ""),
}
"""The title and a sentence for each place of names; layers come first, and names of old versions last."""


def page() -> str:
    """Return the text of the page."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    parts = [HEAD, _contents(), LAYERS]
    parts += [f"{row}\n" for row in _layer_rows(record["keras_names('layers',)"])]
    names = ", ".join(f"`{name}`" for name in sorted(name for kind, name in table() if kind == "operation"))
    parts.append(
        "\n## Operations between layers\n\nIn a file, functions of `keras.ops` and TensorFlow between layers "
        f"are ported too: {names}.\n"
    )
    for place, (title, about) in SECTIONS.items():
        keras = record.get(f"keras_names{(place,)!r}", ())
        own = {name for name in all_answers() if name.rpartition(".")[0] == place}
        full = {f"{place}.{name}".lstrip(".") for name in keras} | own
        parts.append(f"\n## {title}\n\n" + (f"{about}\n\n" if about else "") + _name_table(place, full))
    parts.append(
        "\n## Keras 1 and 2\n\nNames that only these versions had. Their modules, such as "
        "`layers.embeddings`, are found under the names they had.\n\n" + _answers(list(EARLIER))
    )
    return "".join(parts)


def _contents() -> str:
    """Return links to the sections."""
    between = (title for title, _ in SECTIONS.values())
    titles = ("Layers", "Operations between layers", *between, "Keras 1 and 2")
    return " · ".join(f"[{title}](#{title.lower().replace(' ', '-')})" for title in titles) + "\n"


def _layer_rows(keras: Iterable[str]) -> list[str]:
    """Return a row for each class and function of Keras's layers, of all versions."""
    translations = {name: entry for (kind, name), entry in table().items() if kind == "layer"}
    ported = {spec.name for spec in SPECS.values()} | set(translations)
    rows = []
    earlier = {answer.name for answer in EARLIER}
    for name in sorted({*keras, *ported}):
        full = f"layers.{name}"
        if is_here(full):
            code = f"yes; {RESTRICTIONS[full]}" if full in RESTRICTIONS else "yes"
        elif full in all_answers() and full not in earlier:
            code = f"no. {_cell(all_answers()[full].instead)}"
        else:
            code = "–"
        rows.append(f"| {name} | {code} | {_in_a_file(name, translations) if name in ported else '–'} |")
    return rows


def _in_a_file(name: str, translations: Mapping[str, Any]) -> str:
    """Return what becomes of a layer of a file."""
    entry = translations.get(name)
    if entry is not None:
        words = MODULES.get(name) or _first_line(entry.translation.__doc__ or "")
        if words.startswith("nothing"):
            return f"yes, left out{words.removeprefix('nothing')}"
        words = f"`{words}`" if re.fullmatch(r"[\w.+*-]+", words) else words
        return f"yes: {words}" + (f"; {entry.restriction}" if entry.restriction else "")
    if name in ELSEWHERE:
        return f"yes: {ELSEWHERE[name]}"
    return f"no: {BY_HAND.get(name, 'give `custom`')}"


def _name_table(place: str, names: Iterable[str]) -> str:
    """Return what is here, in a sentence, then tables of restrictions and of answers."""
    earlier = {answer.name for answer in EARLIER}
    here = sorted(
        name for name in names if name not in earlier and is_here(name) and name not in all_answers()
    )
    away = [all_answers()[name] for name in sorted(names) if name in all_answers() and name not in earlier]
    if place == "Model":  # those of torch.nn.Module would be most of the list
        here = [name for name in here if not hasattr(torch.nn.Module, name.rpartition(".")[2])]
        here.append("Model.compile")
    text = ""
    if here:
        text += "Here: " + ", ".join(f"`{name.rpartition('.')[2]}`" for name in here) + ".\n\n"
    limits = [name for name in here if name in RESTRICTIONS]
    if limits:
        text += "| here | with a restriction |\n|---|---|\n"
        text += "".join(f"| `{name.rpartition('.')[2]}` | {_cell(RESTRICTIONS[name])} |\n" for name in limits)
        text += "\n" if away else ""
    return (text + (_answers(away) if away else "")).rstrip("\n") + "\n"


def _answers(answers: list[Answer]) -> str:
    """Return a table with a row for each answer; names with the same one share it."""
    groups: dict[tuple[str, str], list[str]] = {}
    for answer in answers:
        groups.setdefault((answer.why, answer.instead), []).append(answer.name)
    rows = [
        f"| {', '.join(f'`{name}`' for name in names)} | {_cell(why)} | {_cell(instead)} |\n"
        for (why, instead), names in groups.items()
    ]
    return "| not here | why | instead |\n|---|---|---|\n" + "".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _first_line(docstring: str) -> str:
    line = docstring.split("\n")[0].partition("; see")[0].rstrip(".").replace("``", "`")
    return line if line.startswith(("nn.", "F.", "torch.")) else line[:1].lower() + line[1:]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""The reference: what is public has a page, and a docstring with an example that is run."""

import builtins
import doctest
import importlib
import inspect
import json
import re

import pytest
from tests.support import ROOT
from tests.support.keras_record import FOLDER

from batchdot import layers

PAGES = ROOT / "docs" / "reference"

MODULES = {
    "functions": "batchdot",
    **{
        name: f"batchdot.{name}"
        for name in (
            *("activations", "backend", "config", "constraints", "distributed", "initializers"),
            *("layers", "models", "porting", "regularizers"),
        )
    },
}
"""The public modules, by their pages."""


def public(module):
    """Yield the public names of a module, without modules and values, and what they are."""
    found = importlib.import_module(module)
    for name in found.__all__:
        value = getattr(found, name)
        if callable(value):
            yield name, value


NAMES = [(module, *item) for module in MODULES.values() for item in public(module)]
KERAS = json.loads((FOLDER / "lookup.json").read_text(encoding="utf-8"))


def test_every_public_module_has_a_page():
    package = importlib.import_module("batchdot")
    modules = [name for name in package.__all__ if inspect.ismodule(getattr(package, name))]
    assert sorted(f"batchdot.{name}" for name in modules) == sorted(set(MODULES.values()) - {"batchdot"})
    assert {path.stem for path in PAGES.glob("*.md")} == {"index", *MODULES}
    index = (PAGES / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"\((\w+)\.md\): `([\w.]+)`", index) == [
        (page, MODULES[page]) for page in re.findall(r"\((\w+)\.md\)", index)
    ]
    assert set(re.findall(r"\((\w+)\.md\)", index)) == set(MODULES)


@pytest.mark.parametrize("page", MODULES)
def test_page_has_the_public_names_of_its_module(page):
    module = MODULES[page]
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    if page != "functions":
        assert re.findall(r"^\.\. automodule:: ([\w.]+)$", text, re.MULTILINE) == [module]
        return
    written = re.findall(r"^\.\. auto(?:function|exception):: (\w+)$", text, re.MULTILINE)
    classes = {id(value) for other, _, value in NAMES if other in ("batchdot.layers", "batchdot.models")}
    assert set(written) == {name for name, value in public(module) if id(value) not in classes}


@pytest.mark.parametrize(
    ("module", "name", "value"), NAMES, ids=lambda item: item if type(item) is str else ""
)
def test_docstring(module, name, value):
    """It is its own, says in a sentence what the name is, and has an example that a doctest finds."""
    text = value.__doc__ if not inspect.isclass(value) else vars(value).get("__doc__")
    assert text, f"{module}.{name} has no docstring of its own"
    first = inspect.cleandoc(text).splitlines()[0]
    assert first[0].isupper() or first[0] in "`\"'", first
    assert re.search(r"[.:]$|``$", first), first
    assert doctest.DocTestParser().get_examples(text), f"{module}.{name} has no example"


@pytest.mark.parametrize(
    ("module", "name", "value"), NAMES, ids=lambda item: item if type(item) is str else ""
)
def test_docstring_names_its_source_in_keras(module, name, value):
    place = module.removeprefix("batchdot").removeprefix(".")
    if name in KERAS.get(f"keras_names{(place,)!r}", ()):
        found = importlib.import_module(module)
        page = (PAGES / f"{place or 'functions'}.md").read_text(encoding="utf-8")
        of_module = page if found.__file__.endswith("__init__.py") else found.__doc__ or ""
        assert "Source" in (value.__doc__ or "") or "Source" in of_module


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [item for item in NAMES if inspect.isclass(item[2])],
    ids=lambda item: item if type(item) is str else "",
)
def test_members_of_a_public_class_have_docstrings(module, name, value):
    bare = [
        member
        for member, found in vars(value).items()
        if not member.startswith("_")
        and (inspect.isfunction(found) or isinstance(found, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(value, member))
    ]
    assert bare == []


def names_in_code(value):
    """Yield the roots of names between single backticks in the docstrings of a name and of its members."""
    texts = [value.__doc__ or ""]
    if inspect.isclass(value):
        members = {name: member for name, member in vars(value).items() if not name.startswith("_")}
        texts += [inspect.getdoc(member) or "" for member in members.values()]
    for text in texts:
        yield from re.findall(r"(?<!`)`([A-Za-z_]\w*)[\w.]*`(?!`)", text)


@pytest.mark.parametrize(
    ("module", "name", "value"), NAMES, ids=lambda item: item if type(item) is str else ""
)
def test_docstring_refers_to_what_is_public(module, name, value):
    """A reader of the reference finds each name that a docstring refers to."""
    known = {item for _, item, _ in NAMES} | {"batchdot", "json", "keras", "tf", "torch", *dir(builtins)}
    known |= {page.removeprefix("batchdot.") for page in MODULES.values()}
    callables = [value, *vars(value).values()] if inspect.isclass(value) else [value]
    for item in filter(inspect.isfunction, [value.__init__, *callables]):
        known |= set(inspect.signature(item).parameters)
    if inspect.isclass(value):
        known |= {*dir(value), *getattr(value, "__annotations__", {})}
        known |= set(re.findall(r"self\.(\w+)", inspect.getsource(value)))
        known |= set(dir(layers.Layer(name="any"))) if issubclass(value, layers.Layer) else set()
    assert [root for root in names_in_code(value) if root not in known] == []

"""The order of packages, read from the imports in the source of each file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "src" / "batchdot"

ORDER = [
    *(
        "_command",
        "_version",
        "keras_names",
        "errors",
        "types",
        "config",
        "convert",
        "registry",
        "codegen",
        "_torch",
    ),
    *("activations", "constraints", "initializers", "regularizers"),
    *("planning", "kernels", "ops", "symbolic", "distributed", "explanation", "retrieval"),
    *("arrays", "layers", "models", "backend"),
    *("io", "streaming", "porting", "cli"),
]
"""All packages and modules of src/batchdot. Each imports only those before it."""

PUBLIC_DOOR = {"batchdot", "batchdot.__main__"}
"""These may import everything, and nothing in ORDER imports them."""

DEPRECATED = {"batchdot.functional", "batchdot.sharding"}
"""Modules that forward old names and warn; nothing imports them."""


def modules():
    """Return the source of every module by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


def imports_of(node):
    """Yield the statements below a node that import when they run: not those of ``if TYPE_CHECKING:``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from imports_of(ast.Module(child.orelse, []))
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from imports_of(child)


def imported_names(source, module, is_package):
    """Yield (module, name) for each import of batchdot, also inside functions; name is None for a module."""
    package = module if is_package.get(module) else module.rpartition(".")[0]
    for node in imports_of(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (
                (alias.name, None) for alias in node.names if alias.name.partition(".")[0] == "batchdot"
            )
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            if base.partition(".")[0] != "batchdot":
                continue
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield (submodule, None) if submodule in is_package else (base, alias.name)


SOURCES = modules()
IS_PACKAGE = {name: (ROOT.parent.joinpath(*name.split("."), "__init__.py")).exists() for name in SOURCES}
IMPORTS = {
    module: set(imported_names(source, module, IS_PACKAGE)) - {(module, None)}
    for module, source in SOURCES.items()
}
EDGES = {
    module: {target for target, _ in imports if target in SOURCES and target != module}
    for module, imports in IMPORTS.items()
}


def package_of(module):
    """Return the package or root module of src/batchdot that a module belongs to."""
    return module.split(".")[1]


def circles(graph):
    """Return the strongly connected components with more than one node, sorted."""

    def reachable(start):
        seen, waiting = set(), [start]
        while waiting:
            for node in graph.get(waiting.pop(), ()):
                if node not in seen:
                    seen.add(node)
                    waiting.append(node)
        return seen

    reach = {node: reachable(node) for node in graph}
    together = {frozenset(b for b in graph if b in reach[a] and a in reach[b]) for a in graph}
    return sorted(sorted(component) for component in together if len(component) > 1)


def is_upward(module, target):
    """Return whether an import is of a package that comes later in ORDER."""
    if module in PUBLIC_DOOR | DEPRECATED:
        return False
    if target in PUBLIC_DOOR | DEPRECATED:
        return True
    return ORDER.index(package_of(module)) < ORDER.index(package_of(target))


def upward(edges):
    """Return the imports of packages that come later in ORDER."""
    pairs = ((module, target) for module, targets in edges.items() for target in targets)
    return sorted(f"{module} -> {target}" for module, target in pairs if is_upward(module, target))


def test_every_package_is_in_the_order():
    found = {package_of(module) for module in SOURCES if module not in PUBLIC_DOOR | DEPRECATED}
    assert found - set(ORDER) == set()
    assert len(set(ORDER)) == len(ORDER)


def test_packages_import_only_packages_before_them():
    assert upward(EDGES) == []


def test_no_circle_between_files():
    assert circles(EDGES) == []


def test_no_circle_between_packages():
    graph = {}
    for module, targets in EDGES.items():
        if module not in PUBLIC_DOOR | DEPRECATED:
            below = {package_of(target) for target in targets if target not in PUBLIC_DOOR}
            graph.setdefault(package_of(module), set()).update(below - {package_of(module)})
    assert circles(graph) == []


def room_of(name, is_package):
    """Return the folder of a module, or of a name in one; a module in the root is a room of its own."""
    while name not in is_package:
        name = name.rpartition(".")[0]
    folder = name.rpartition(".")[0]
    return name if is_package[name] or folder == "batchdot" else folder


def private_uses(source, module, is_package):
    """Return the private names of other packages that a module imports, or takes from what it imports.

    A file `_x.py` or a name `_x` is private to its folder: `batchdot._torch` is so to all of batchdot.
    """
    imports = list(imported_names(source, module, is_package))
    uses = [".".join([target, *filter(None, [name])]) for target, name in imports]
    origins = {use.rpartition(".")[2]: use for use in uses}
    uses += [
        f"{origins[node.value.id]}.{node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in origins
    ]
    return [use for use in uses if is_private_to_others(use, room_of(module, is_package), is_package)]


def is_private_to_others(use, room, is_package):
    parts = use.split(".")
    owners = [
        room_of(".".join(parts[:depth]), is_package)
        for depth, part in enumerate(parts)
        if part.startswith("_") and not part.startswith("__")
    ]
    return any(not f"{room}.".startswith(f"{owner}.") for owner in owners)


def test_private_names_stay_in_their_package():
    found = {m: private_uses(source, m, IS_PACKAGE) for m, source in SOURCES.items()}
    assert {module: uses for module, uses in found.items() if uses} == {}


def names_bound(source):
    """Return the names that an __init__ binds to something that is not a module, now or on first use."""
    bound = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            modules = {a.name for a in node.names if f"{node.module}.{a.name}" in SOURCES}
            bound |= {alias.asname or alias.name for alias in node.names if alias.name not in modules}
        elif isinstance(node, ast.Assign):
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            bound |= names
            if isinstance(node.value, ast.Dict):  # a table of lazy names (PEP 562)
                bound |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    return bound


PACKAGES = sorted(name for name, is_package in IS_PACKAGE.items() if is_package)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_hidden_by_a_name_of_its_package(package):
    children = {name.rpartition(".")[2] for name in SOURCES if name.rpartition(".")[0] == package}
    assert children & names_bound(SOURCES[package]) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_a_docstring(package):
    docstring = ast.get_docstring(ast.parse(SOURCES[package]))
    assert docstring
    assert docstring.partition("\n")[0].endswith((".", ":"))


# The checks themselves, on made-up packages: each finds what it is for.


def test_an_import_upwards_is_found():
    assert upward({"batchdot.planning.axes": {"batchdot.cli.main"}}) == [
        "batchdot.planning.axes -> batchdot.cli.main"
    ]
    assert upward({"batchdot.cli.main": {"batchdot"}}) == ["batchdot.cli.main -> batchdot"]


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import batchdot.io.npy", ("batchdot.io.npy", None)),
        ("from batchdot.io import npy", ("batchdot.io.npy", None)),
        ("from batchdot.io.npy import header as h", ("batchdot.io.npy", "header")),
        ("def f():\n    from batchdot.io import npy", ("batchdot.io.npy", None)),
        ("from . import plan", ("batchdot.planning.plan", None)),
        ("from .plan import Plan", ("batchdot.planning.plan", "Plan")),
        ("from ..io import npy", ("batchdot.io.npy", None)),
    ],
)
def test_every_form_of_import_is_parsed(source, found):
    assert set(imported_names(source, "batchdot.planning.axes", IS_PACKAGE)) == {found}


def test_imports_for_type_checkers_do_not_count():
    source = "if TYPE_CHECKING:\n    import batchdot.cli.main\nelse:\n    import batchdot.io.npy"
    assert set(imported_names(source, "batchdot.errors", IS_PACKAGE)) == {("batchdot.io.npy", None)}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from batchdot.io._x import y", ["batchdot.io._x.y"]),
        ("from batchdot.io.npy import _y", ["batchdot.io.npy._y"]),
        ("from batchdot import activations\nactivations._y", ["batchdot.activations._y"]),
        ("from batchdot import _torch\n_torch.compiling", []),
        ("from batchdot.planning.plan import _y", []),
        ("from batchdot.planning import plan\nplan._y, plan.__doc__", []),
    ],
)
def test_private_names_of_others_are_found(source, found):
    is_package = IS_PACKAGE | {"batchdot.io._x": False, "batchdot._torch": False}
    names = private_uses(source, "batchdot.planning.axes", is_package)
    assert names == found


@pytest.mark.parametrize(
    ("source", "bound"),
    [
        ("def explain(): ...", {"explain"}),
        ("from batchdot.explanation.explain import explain", {"explain"}),
        ("from batchdot.explanation import explain", set()),
        ("_MODULES = {'explain': 'explanation.explain'}", {"_MODULES", "explain"}),
        ("__all__ = ['explain']", {"__all__"}),
    ],
)
def test_a_name_that_hides_a_module_is_found(source, bound):
    assert names_bound(source) == bound

"""Generated functions run, their names are names, and their text is as ruff leaves it."""

import ast
import keyword
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from batchdot.codegen import Function, identifier, write_structure

RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent))


def test_compile_of_assignments_and_lines_runs_them_in_order() -> None:
    function = Function("run", ["x"])
    function.assign("y", "double(x)")
    function.add("if y > 9: return 'large'")
    function.assign(("y", "z"), "add(x, y), y")
    function.give(["y", "z"])
    run = function.compile({"double": lambda x: 2 * x, "add": lambda x, y: x + y})
    assert (run(2), run(5)) == ([6, 4], "large")


@pytest.mark.parametrize(
    ("structure", "source"),
    [
        ("x", "x"),
        ([], "[]"),
        ((), "()"),
        (["x", ["y", "z"]], "[x, [y, z]]"),
        (("x",), "(x,)"),
        (("x", ("y",), ("z", "w")), "x, (y,), (z, w)"),
        ({'a "b"': ("x", "y"), "c": []}, '{"a \\"b\\"": (x, y), "c": []}'),
    ],
)
def test_write_structure_of_a_structure_is_its_source(structure, source) -> None:
    assert write_structure(structure) == source
    found = eval(source, {name: name for name in "xyzw"})
    assert found == structure


def assert_formatted(text, folder) -> None:
    (folder / "case.py").write_text(text)
    command = [RUFF, "format", "--isolated", "--diff", folder]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, ""), process.stderr


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
@pytest.mark.parametrize("count", [1, 2, 4, 9])
@pytest.mark.parametrize("indent", ["", "    "])
def test_function_of_any_width_is_as_ruff_leaves_it(tmp_path, count, indent) -> None:
    names = [f"a_long_name_{number}" for number in range(count)]
    total = " + ".join([*names, "x"])
    sums = {"total": total, "rest": f"x - ({total}) - 1"}
    function = Function("run", names, "tuple[" + ", ".join(["Tensor"] * count) + "]", indent)
    with function.block("for _ in range(3):"):
        function.assign(tuple(names), f"self.layer({', '.join(names)})", "  # (B, 2)")
        for name, expression in sums.items():
            function.assign(name, expression)
    function.give({name: name for name in names})
    text = "\n".join([*["class A:"] * bool(indent), *function.lines]) + "\n"
    statements = {ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assign)}
    assert {f"{name} = {expression}" for name, expression in sums.items()} <= statements  # and no tuples
    assert_formatted(text, tmp_path)


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
@pytest.mark.parametrize(
    "behind",
    ["", ".shape", "[0]", ".view(3)", ".view(3)[0]", ".view(3).sum(1)", ".view(3).mT.sum()", ".sum().shape"],
)
def test_call_of_any_length_is_as_ruff_leaves_it(tmp_path, behind) -> None:
    function = Function("run", ["y"])
    for length in range(55, 90):
        function.assign("y", f"call({'x' * length}, y){behind}")
        function.assign("y", f"({'x' * length} + y){behind or '.mT'}")
    function.give(["y"])
    assert_formatted("\n".join(function.lines) + "\n", tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "dense", "Dense", "1st", "a.b", "a/b:0", "class", "None", "print", "é", "a b", "x" * 99, "_"],
)
def test_identifier_of_any_text_is_a_free_name(text: str) -> None:
    taken: set[str] = set()
    names = [identifier(text, taken) for _ in range(3)]
    assert len(set(names)) == 3
    assert taken == set(names)
    for name in names:
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert name not in dir(__builtins__)

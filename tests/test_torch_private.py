"""Private names of torch: all in `batchdot._torch`, and none that batchdot needs."""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.support import ROOT
from tests.support.broken_torch import CHANGES

import batchdot
from batchdot import _torch

SOURCES = Path(batchdot.__file__).parent

EXEMPT = {
    # State that all of PyTorch's ecosystem reads, and methods that PyTorch's documentation tells to override.
    *("_parameters", "_buffers", "_modules"),
    *("_apply", "_load_from_state_dict", "_save_to_state_dict"),
    # Of namedtuples.
    *("_replace", "_asdict", "_fields"),
}


@cache
def private_names_of_torch():
    """Return the private attributes of objects of torch: modules, functions, operators, DTensors."""
    from torch.distributed.tensor import DTensor

    objects = [
        torch.nn.Module,
        torch.nn.Module(),
        torch.autograd.Function,
        torch.Tensor,
        torch.ones(1),
        torch.ops.aten.mul.Tensor,
        torch.nn.modules.module,
        torch.autograd.forward_ad,
        DTensor,
    ]
    names = {name for thing in objects for name in dir(thing) if is_private(name)}
    return (names | {"_dynamo_marked_constant"}) - EXEMPT


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def own_names(tree):
    """Return the private names that a file defines or sets itself."""
    definitions = ast.FunctionDef | ast.ClassDef
    defined = {node.name for node in ast.walk(tree) if isinstance(node, definitions)}
    stored = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return defined | stored


def private_uses(source, ours=frozenset()):
    """List where a file uses private names of torch; ``ours`` are names that are batchdot's own."""
    tree, found = ast.parse(source), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if is_private_path(name.name)]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "torch":
            found += [
                f"{node.module}.{name.name}"
                for name in node.names
                if is_private_path(f"{node.module}.{name.name}")
            ]
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            path = ast.unparse(node)
            if is_private_path(path) or node.attr in private_names_of_torch() - ours:
                found.append(path)
    return found


def is_private_path(path):
    first, *others = path.split(".")
    return first == "torch" and any(is_private(name) for name in others)


def test_no_private_name_outside_one_file():
    trees = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES.rglob("*.py")}
    ours = frozenset().union(*(own_names(tree) for path, tree in trees.items() if path.name != "_torch.py"))
    found = {
        str(path.relative_to(SOURCES)): uses
        for path in trees
        if path.name != "_torch.py" and (uses := private_uses(path.read_text("utf-8"), ours))
    }
    assert not found


# A line of code, and whether it is a private use.
LINES = {
    "import torch._dynamo": True,
    "import torch.nn": False,
    "from torch._guards import TracingContext": True,
    "from torch.distributed.tensor.placement_types import _StridedShard": True,
    "from torch.nn import Module": False,
    "torch._C._get_tracing_state()": True,
    "torch.autograd.forward_ad._current_level": True,
    "forward_ad._current_level": True,
    "module._forward_hooks": True,
    "overload._op": True,
    "module._parameters": False,
    "self._own": False,
    "torch.ones(1)": False,
}


@pytest.mark.parametrize("line", LINES)
def test_private_use_is_found(line):
    assert bool(private_uses(line)) is LINES[line]


@pytest.fixture(scope="module")
def outcomes():
    """What goes wrong with each change of torch."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.broken_torch"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="each change has a forked process")
@pytest.mark.parametrize("name", CHANGES)
def test_changed_torch_gives_right_results(outcomes, name):
    assert outcomes[name] == ""


# --- fallbacks of what is asked of objects --------------------------------------------------------------


def test_hooks_that_cannot_be_seen_are_assumed():
    assert any(_torch.module_hooks(SimpleNamespace()))
    assert _torch.has_compiled_call(SimpleNamespace())


def test_overload_without_inner_operator_is_called_itself():
    overload = torch.ops.aten.mul.Tensor
    assert _torch.unwrapped_operator(overload)(torch.ones(2), 3).tolist() == [3.0, 3.0]
    assert _torch.unwrapped_operator(torch.mul) is torch.mul


@pytest.mark.skipif(not _torch.USES_PRIVATE, reason="all fallbacks are on")
def test_hooks_are_seen():
    module = torch.nn.Linear(1, 1)
    assert not any((*_torch.module_hooks(module), *_torch.global_hooks(), _torch.has_compiled_call(module)))
    for register in (module.register_forward_hook, module.register_forward_pre_hook):
        handle = register(lambda *args: None)
        assert any(_torch.module_hooks(module))
        handle.remove()
        assert not any(_torch.module_hooks(module))
    for register in (module.register_full_backward_hook, module.register_full_backward_pre_hook):
        handle = register(lambda *args: None)
        assert any(_torch.module_hooks(module))
        handle.remove()
    for kind in ("forward_hook", "forward_pre_hook", "full_backward_pre_hook"):
        handle = getattr(torch.nn.modules.module, f"register_module_{kind}")(lambda *args: None)
        assert any(_torch.global_hooks()), kind
        handle.remove()
    module.compile(backend="eager")
    assert _torch.has_compiled_call(module)


@pytest.mark.skipif(not _torch.USES_PRIVATE, reason="all fallbacks are on")
def test_every_private_name_is_there():
    """With the torch that the tests run on: a fallback in use shows here before it shows in a benchmark."""
    names = ("_TensorGuards", "_FunctionBase", "_TracingContext", "_active_fake_mode")
    assert [name for name in names if getattr(_torch, name) is None] == []
    assert _torch.are_transforms_active is torch._C._are_functorch_transforms_active
    assert _torch.in_forward_mode is _torch._is_level_open
    assert _torch.is_jit_tracing is torch._C._get_tracing_state


@pytest.mark.skipif(not _torch.USES_PRIVATE, reason="all fallbacks are on")
def test_compile_time_constant_is_marked_as_torch_marks_it():
    ours, theirs = (lambda: 1), (lambda: 1)
    _torch.compile_time_constant(ours)
    torch.compiler.assume_constant_result(theirs)
    assert vars(ours) == vars(theirs) != {}

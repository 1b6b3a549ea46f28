"""Importing the package loads nothing that a call does not need."""

import json
import subprocess
import sys
from functools import cache

import pytest
from tests.support import ROOT

UNWANTED = (
    "tensorflow",
    "tf_keras",
    "keras",
    "tqdm",
    "h5py",
    "safetensors",
    "sklearn",
    "matplotlib",
    "pytest",
    "torch._dynamo",
    "torch._inductor",
    "torch.export",
    "sympy",
)
SCRIPT = """
import json, sys
import torch
before = set(sys.modules)
import batchdot
first = set(sys.modules) - before
batchdot.batch_dot(torch.ones(2, 3), torch.ones(2, 3), 1, normalize=True)
batchdot.Dot(1)([torch.ones(2, 3), torch.ones(2, 3)])
print(json.dumps([sorted(first), sorted(set(sys.modules) - before)]))
"""


@cache
def loaded_by_script():
    """Return the modules that the package loads, and those that it and calls load."""
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def test_nothing_unwanted_is_loaded():
    for loaded in loaded_by_script():
        assert "batchdot" in loaded
        assert [m for m in loaded if any(m == u or m.startswith(u + ".") for u in UNWANTED)] == []


def test_the_first_import_is_ours_alone():
    first, _ = loaded_by_script()
    standard = sys.stdlib_module_names
    small = {"torch.utils.flop_counter", "torch.utils.module_tracker"}  # where formulas are registered
    others = [m for m in first if m.partition(".")[0] not in {"batchdot", *standard}]
    assert set(others) <= small


COMMANDS = (
    "--help",
    "--version",
    *(f"{command} --help" for command in ("dot", "top-k", "explain", "inspect", "demo", "info")),
)
LIGHT = {
    "import batchdot": "import batchdot",
    **{
        command: f"from batchdot.cli.main import main; assert main({command.split()}) == 0"
        for command in COMMANDS
    },
}
"""Statements that load neither torch nor numpy."""


EXAMPLE = str(ROOT / "tests" / "porting" / "fixtures" / "example.h5")
WITHOUT_TORCH = {
    "import batchdot.porting": "import batchdot.porting",
    "inspect": f"from batchdot.cli.main import main; assert main(['inspect', {EXAMPLE!r}]) == 0",
    "inspect --svg": "import os, tempfile; os.chdir(tempfile.mkdtemp()); from batchdot.cli.main import main; "
    f"assert main(['inspect', {EXAMPLE!r}, '--svg', 'graph.svg']) == 0",
}
"""Statements that load NumPy but no torch."""


def loaded_by(statement):
    code = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = process.stdout.splitlines()[-1].split()
    assert "batchdot" in loaded
    return set(loaded)


@pytest.mark.parametrize("statement", LIGHT.values(), ids=LIGHT)
def test_light_statements_load_neither_torch_nor_numpy(statement):
    assert {"torch", "numpy", "tqdm"} & loaded_by(statement) == set()


@pytest.mark.parametrize("statement", WITHOUT_TORCH.values(), ids=WITHOUT_TORCH)
def test_reading_saved_models_loads_no_torch(statement):
    unwanted = {"torch", "tqdm", "h5py", "tensorflow", "keras", "tf_keras", "safetensors"}
    assert unwanted & loaded_by(statement) == set()


def test_public_names():
    import batchdot

    assert set(batchdot.__all__) >= {"AxisError", "Dot", "batch_dot", "dot", "explain"}
    assert all(hasattr(batchdot, name) for name in batchdot.__all__)
    assert batchdot.layers.Dot is batchdot.Dot
    assert batchdot.backend.batch_dot is not None

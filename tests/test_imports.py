"""Importing the package loads nothing that a call does not need."""

import json
import subprocess
import sys

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


def test_nothing_unwanted_is_loaded():
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    for loaded in json.loads(result.stdout):
        assert "batchdot" in loaded
        assert [m for m in loaded if any(m == u or m.startswith(u + ".") for u in UNWANTED)] == []


def test_the_first_import_is_ours_alone():
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    first, _ = json.loads(result.stdout)
    standard = sys.stdlib_module_names
    small = {"torch.utils.flop_counter", "torch.utils.module_tracker"}  # where formulas are registered
    others = [m for m in first if m.partition(".")[0] not in {"batchdot", *standard}]
    assert set(others) <= small


def test_public_names():
    import batchdot

    assert set(batchdot.__all__) >= {"AxisError", "Dot", "batch_dot", "dot", "explain"}
    assert all(hasattr(batchdot, name) for name in batchdot.__all__)
    assert batchdot.layers.Dot is batchdot.Dot
    assert batchdot.backend.batch_dot is not None

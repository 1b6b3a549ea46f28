"""csrc by itself, without torch: headers that compile alone, and the largest errors of the kernels in ulp."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from tests.support import ROOT

CSRC = ROOT / "csrc"
TORCH = Path(torch.__file__).parent
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")
FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", f"-I{CSRC}/test/shim", f"-I{CSRC}/cpu"]

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")


def compile_cpp(*arguments, source=None, flags=FLAGS):
    """Run the compiler, which has to have nothing to say."""
    result = subprocess.run([COMPILER, *flags, *arguments], input=source, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("header", sorted(path.name for path in CSRC.glob("cpu/*.h")))
def test_header_compiles_by_itself(header):
    target = '-DBD_TARGET_INCLUDE="kernel_table-inl.h"'  # what foreach_target.h is told to include
    times = 1 if header == "foreach_target.h" else 2  # guards are tried as well
    source = f'#include "{header}"\n' * times
    if header == "boundary.h":  # the one that needs torch, not what stands for it here
        flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}/cpu", "-isystem", f"{TORCH}/include"]
        compile_cpp("-fsyntax-only", "-xc++", "-", source=source, flags=flags)
        return
    compile_cpp(target, "-fsyntax-only", "-xc++", "-", source=source)


def test_no_function_is_given_to_torch_unguarded():
    """Exceptions end in boundary.h: a wheel's library may not throw into torch."""
    users = [path.name for path in CSRC.glob("cpu/*") if re.search(r"\bTORCH_BOX\(\w*&", path.read_text())]
    assert users == []


@pytest.fixture(scope="module")
def ulp_program(tmp_path_factory):
    """The program of csrc/test/ulp.cpp."""
    program = tmp_path_factory.mktemp("csrc") / "ulp"
    sources = [f"{CSRC}/test/ulp.cpp", f"{CSRC}/cpu/dispatch.cpp"]
    compile_cpp("-O1", "-ffp-contract=off", *sources, "-o", str(program))
    return program


@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["baseline", "avx2", "avx512"])
def test_errors_of_kernels_within_051_ulp(ulp_program, instructions):
    """Adversarial and random rows; an instruction set that is not there gives way to a lesser one."""
    environment = os.environ | {"BATCHDOT_INSTRUCTIONS": instructions}
    result = subprocess.run([ulp_program, "60"], env=environment, capture_output=True, text=True)
    print(result.stdout)
    assert result.returncode == 0, result.stdout
    lines = result.stdout.splitlines()
    assert [line.split()[1:3] for line in lines[1:]] == [
        [dtype, kernel]
        for dtype in ("float32", "float64", "float16", "bfloat16")
        for kernel in ("dot", "cosine")
    ]

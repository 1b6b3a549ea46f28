"""csrc by itself, without torch's library: headers, registers, errors in ulp, equal bits everywhere.

aarch64 is tried under emulation: with a compiler for it and qemu-user, as Debian packages them.
"""

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


@pytest.mark.slow
@pytest.mark.parametrize("header", sorted(path.name for path in CSRC.glob("cpu/*.h")))
def test_header_compiles_by_itself(header):
    target = '-DBD_TARGET_INCLUDE="kernel_table-inl.h"'  # what foreach_target.h is told to include
    times = 1 if header == "foreach_target.h" else 2  # guards are tried as well
    source = f'#include "{header}"\n' * times
    needs_torch = "<torch/csrc/" in (CSRC / "cpu" / header).read_text(encoding="utf-8")
    if needs_torch:  # and not what stands for it here
        flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}/cpu", "-isystem", f"{TORCH}/include"]
        compile_cpp("-fsyntax-only", "-xc++", "-", source=source, flags=flags)
        return
    compile_cpp(target, "-fsyntax-only", "-xc++", "-", source=source)


def test_no_line_is_wider_than_120_columns():
    sources = [path for path in CSRC.rglob("*") if path.is_file()]
    lines = {
        f"{path.name}:{number}": line
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    }
    assert [place for place, line in lines.items() if len(line) > 120] == []


def test_no_function_is_given_to_torch_unguarded():
    """Exceptions end in boundary.h: a wheel's library may not throw into torch."""
    users = [path.name for path in CSRC.glob("cpu/*") if re.search(r"\bTORCH_BOX\(\w*&", path.read_text())]
    assert users == []


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """A function that compiles a program of csrc/test whose wrong accesses of memory end it."""
    folder = tmp_path_factory.mktemp("sanitized")

    def compiled(kinds, *arguments):
        flags, program = [f"-fsanitize={kinds}", "-fno-sanitize-recover=all"], str(folder / "program")
        empty = [COMPILER, *flags, "-xc++", "-", "-o", program]
        if subprocess.run(empty, input="int main() {}", capture_output=True, text=True).returncode:
            pytest.skip(f"the compiler comes without -fsanitize={kinds}")
        compile_cpp(*flags, "-ffp-contract=off", *arguments, "-o", program)
        return program

    return compiled


NO_LEAKS = {"ASAN_OPTIONS": "detect_leaks=0"}  # which containers do not always let it look for


def test_registers_compute_what_single_numbers_do(sanitized):
    """And touch no lane and no memory beyond: such a change often shows in no result."""
    program = sanitized("address,undefined", "-O1", f"{CSRC}/test/registers.cpp")
    result = subprocess.run([program], env=os.environ | NO_LEAKS, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    tried = [line.partition(":")[0] for line in result.stdout.splitlines()]
    assert tried == ["buffers", "baseline", "avx2", "avx512"][: len(tried)]
    assert len(tried) >= 2


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


# --- the same bits on every processor ---------------------------------------------------------------------

AARCH64 = {name: shutil.which(name) for name in ("aarch64-linux-gnu-g++", "qemu-aarch64")}
MISSING = [name for name, path in AARCH64.items() if path is None]
needs_aarch64 = pytest.mark.skipif(
    bool(MISSING), reason=f"no {' and no '.join(MISSING)}: apt-get install g++-aarch64-linux-gnu qemu-user"
)

# As setup.py compiles, with the types of torch itself.
AS_BUILT = ["-std=c++17", "-O3", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-psabi"]
AS_BUILT += [f"-I{CSRC}/cpu", f"-isystem{Path(torch.__file__).parent}/include"]


def run_command(*command, **environment):
    """Return what a command prints; it has to succeed without a complaint."""
    result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def bits_of(program, *emulator, **environment):
    """Return the instruction set that csrc/test/bits.cpp ran with, and its lines."""
    instructions, *lines = run_command(*emulator, str(program), **environment).splitlines()
    return instructions, lines


@pytest.fixture(scope="module")
def bits_program(tmp_path_factory):
    """The program of csrc/test/bits.cpp, and its lines by the baseline's instructions."""
    program = tmp_path_factory.mktemp("bits") / "bits"
    sources = [f"{CSRC}/test/bits.cpp", f"{CSRC}/cpu/dispatch.cpp"]
    run_command(COMPILER, *AS_BUILT, *sources, "-o", str(program))
    instructions, lines = bits_of(program, BATCHDOT_INSTRUCTIONS="baseline")
    assert instructions == "baseline"
    return program, lines


@pytest.mark.slow
def test_bits_cover_every_kernel(bits_program):
    """4 dtypes, 13 sizes, 3 kinds of numbers, 2 layouts of 8 outputs, 2 of 7, 1 of 1; each a digest."""
    _, lines = bits_program
    assert len(lines) == len({line.rpartition(" ")[0] for line in lines}) == 4 * 13 * 3 * (2 * (8 + 7) + 1)
    assert {line.split()[1] for line in lines} == {
        *("product", "product-x-gradient", "product-y-gradient", "unit", "unit-gradient"),
        *("cosine", "cosine-x-gradient", "cosine-y-gradient", "cosine-matrix"),
    }
    # Strides change no bit, nor do rows that are columns of a matrix, and other numbers do.
    digests = {tuple(line.split()[:-1]): line.split()[-1] for line in lines}
    for (*start, layout, kind), value in digests.items():
        plain = layout.removesuffix("-strided").removesuffix("-columns")
        assert digests[(*start, plain, kind)] == value
    assert len(set(digests.values())) > len(digests) / 3


@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["avx2", "avx512"])
def test_bits_of_wider_instructions(bits_program, instructions):
    program, lines = bits_program
    found, wider = bits_of(program, BATCHDOT_INSTRUCTIONS=instructions)
    if found != instructions:
        pytest.skip(f"this processor has no {instructions}")
    assert wider == lines


@pytest.mark.slow
def test_kernels_touch_no_memory_beyond_their_rows(bits_program, sanitized):
    """Nor do they compute other bits: -O0, at which the sanitizer takes a minute rather than ten."""
    program = sanitized("address", "-O0", f"{CSRC}/test/bits.cpp", f"{CSRC}/cpu/dispatch.cpp")
    for instructions in ("baseline", "avx2", "avx512"):
        _, lines = bits_of(program, BATCHDOT_INSTRUCTIONS=instructions, **NO_LEAKS)
        assert lines == bits_program[1]


@pytest.mark.slow
@needs_aarch64
def test_bits_on_aarch64(bits_program, tmp_path):
    """Emulated: every output has the bits that it has here."""
    program = tmp_path / "bits"
    sources = [f"{CSRC}/test/bits.cpp", f"{CSRC}/cpu/dispatch.cpp"]
    run_command(AARCH64["aarch64-linux-gnu-g++"], "-static", *AS_BUILT, *sources, "-o", str(program))
    assert bits_of(program, AARCH64["qemu-aarch64"]) == ("baseline", bits_program[1])


@pytest.mark.slow
@needs_aarch64
def test_float16_is_rounded_through_float32_on_aarch64(tmp_path):
    """As on x86-64. aarch64 can round a double to float16 at once, and GCC may make one rounding of two."""
    compiler, unit = AARCH64["aarch64-linux-gnu-g++"], str(tmp_path / "dispatch.o")
    run_command(compiler, *AS_BUILT, "-fPIC", "-c", f"{CSRC}/cpu/dispatch.cpp", "-o", unit)
    listing = run_command(compiler.replace("g++", "objdump"), "-d", unit)
    assert re.search(r"\bfcvt\s+h\d+, s\d+", listing)
    assert not re.findall(r".*\bfcvt\s+h\d+, d\d+.*", listing)

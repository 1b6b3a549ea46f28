"""Random changes to a C++ source, one operator or number each, and the library built with one of them."""

import os
import random
import re
import runpy
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.mutation.changes import Change

TOKEN = re.compile(
    r"""
    (?P<word> \b(?:min|max|true|false)\b )
    | (?P<skipped> //[^\n]* | /\*.*?\*/ | ^[ \t]*\#(?:[^\n]*\\\n)*[^\n]* | "[^"]*" | \bstatic_assert\b[^;]*;
        | \btemplate\s*<[^>]*> | \boperator\W+ | [A-Za-z_]\w* (?: <[\w\s:,*]*> (?=\s*[({&\w]) )?
        | <<|>>|->|::|\+\+|-- )
    | (?P<number> (?<![\w.]) \d+ (?:\.\d*)? (?:[eE][+-]?\d+)? (?![\w.]) )
    | (?P<operator> <=|>=|==|!=|&&|\|\||[-+*/%]=|[-+*/%<>!] )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
SWAPPED = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "!": "",
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "+=": "-=", "-=": "+=", "*=": "+=", "/=": "*=",
    "min": "max", "max": "min", "true": "false", "false": "true",
}  # fmt: skip


def random_native_change(source: str, generator: random.Random) -> Change | None:
    """Return a random change of a C++ source, or None if it has nothing to change.

    A change that does not compile is no change: the caller tries it.

    >>> random_native_change("bool f(int a) { return a < limit; }", random.Random(0)).source
    'bool f(int a) { return a <= limit; }'
    """
    places = [match for match in TOKEN.finditer(source) if match.lastgroup != "skipped"]
    if not places:
        return None
    place = generator.choice(places)
    old = place.group()
    new = str(int(old) + generator.choice((1, -1))) if old.isdecimal() else SWAPPED.get(old, f"(2 * {old})")
    line = source.count("\n", 0, place.start()) + 1
    around = source[: place.start()].rpartition("\n")[2] + old + source[place.end() :].partition("\n")[0]
    changed = source[: place.start()] + new + source[place.end() :]
    return Change(line, f"{old} -> {new or 'nothing'} in `{around.strip()}`", changed)


@dataclass
class NativeBuild:
    """The library of a copy of the sources: what does not include a changed file is not compiled again.

    Flags are those of setup.py, but for optimizations that take three quarters of the time and change no bit.
    """

    root: Path

    def unchanged(self) -> bool:
        """Compile every source, and say whether the library could be built."""
        (self.root / "build").mkdir(exist_ok=True)
        return all(self._compile(source, "o") for source in self._sources()) and self._link({})

    def changed(self, path: Path) -> bool:
        """Compile the sources that include a file, which is not as ``unchanged`` found it."""
        affected = [source for source in self._sources() if path.name in self._included(source)]
        if not all(self._compile(source, "changed.o") for source in affected):
            return False
        return self._link(dict.fromkeys(affected, "changed.o"))

    def _link(self, suffixes: dict[str, str]) -> bool:
        library, extension = self.root / "src/batchdot/kernels/cpu/librows.so.1", self._extension()
        library.unlink(missing_ok=True)  # a process that has it loaded keeps it
        objects = [str(self._unit(source, suffixes.get(source, "o"))) for source in self._sources()]
        libraries = [f"-L{folder}" for folder in extension.library_dirs]
        libraries += [f"-l{name}" for name in extension.libraries]
        return self._run("-shared", *objects, *libraries, "-o", str(library))

    def _compile(self, source: str, suffix: str) -> bool:
        extension = self._extension()
        flags = [*extension.extra_compile_args, "-Og", "-fPIC", "-MMD"]
        flags += [f"-D{name}={value}" for name, value in extension.define_macros]
        flags += [f"-isystem{folder}" for folder in extension.include_dirs]
        return self._run(*flags, "-c", source, "-o", str(self._unit(source, suffix)))

    def _run(self, *arguments: str) -> bool:
        command = [os.environ.get("CXX", "c++"), *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, check=False).returncode == 0

    def _unit(self, source: str, suffix: str) -> Path:
        return self.root / "build" / f"{Path(source).stem}.{suffix}"

    def _sources(self) -> list[str]:
        return list(self._extension().sources)

    def _included(self, source: str) -> set[str]:
        return {Path(name).name for name in self._unit(source, "d").read_text().split()}

    def _extension(self) -> Any:
        (extension,) = runpy.run_path(str(self.root / "setup.py"))["native_kernels"]()
        return extension

"""Compile a Triton kernel for a GPU that is not there, and read its machine code."""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

POINTERS = {
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int64: "*i64",
}


@dataclass(frozen=True)
class MachineCode:
    """What a kernel was compiled to.

    Attributes:
        instructions: names of instructions, in the order of the program.
        first_part: those before the first branch: all that rows without cancellation take, but for the end.
        registers: of a thread.
        stack: bytes of a thread that do not fit in registers.
        ptx: the assembly before it.
    """

    instructions: tuple[str, ...]
    first_part: tuple[str, ...]
    registers: int
    stack: int
    ptx: str

    def loads(self) -> Counter[str]:
        """Return how many loads from global memory of each width there are."""
        return Counter(name for name in self.instructions if name.startswith("LDG"))


class Recorder:
    """In place of `Launch`: keeps what would be launched."""

    made: list["Recorder"]

    def __init__(self, function: Any, programs: int, constants: dict[str, Any], warps: int = 4) -> None:
        self.function, self.programs, self.warps = function, programs, warps
        self.constants = {name: constants[name] for name in function.arg_names if name in constants}
        self.made.append(self)


def launches(monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any], *arguments: Any) -> list[Recorder]:
    """Return what an operator would launch for tensors on a GPU of 132 multiprocessors."""
    from batchdot.kernels.triton import matrix_operators, row_operators

    Recorder.made = []
    for module in (row_operators, matrix_operators):
        monkeypatch.setattr(module, "Launch", Recorder)
    monkeypatch.setattr(row_operators, "multiprocessors", lambda device: 132)
    make(*arguments)
    return Recorder.made


def compile_for(capability: int, launch: Recorder, dtype: torch.dtype) -> MachineCode:
    """Compile a kernel for CUDA devices of a compute capability, as 90 for 9.0."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as triton_compile

    signature, constants, attributes = {}, {}, {}
    for place, name in enumerate(launch.function.arg_names):
        if name in launch.constants:
            signature[name], constants[(place,)] = "constexpr", launch.constants[name]
        elif name.endswith("_pointer"):
            is_sum = name[0] in "scp"  # sums, coefficients, partial gradients
            signature[name] = "*fp64" if is_sum else POINTERS[dtype]
            attributes[(place,)] = [["tt.divisibility", 16]]
        else:
            signature[name] = "i64"
    source = ASTSource(launch.function, signature, constants, attributes)
    options = {"num_warps": launch.warps, "enable_fp_fusion": False}
    found = triton_compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(found.asm["cubin"])
        file.flush()
        code, usage = (_disassemble(file.name, option) for option in ("-sass", "-res-usage"))
    pattern = r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]+)[^;]*;"
    names = re.findall(pattern, code)
    branch = next((n for n, name in enumerate(names) if name.startswith(("BRA", "EXIT"))), len(names))
    resources = re.search(r"REG:(\d+).*?STACK:(\d+)", usage)
    assert resources, usage
    return MachineCode(
        tuple(names), tuple(names[:branch]), *(int(number) for number in resources.groups()), found.asm["ptx"]
    )


def _disassemble(path: str, option: str) -> str:
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    return subprocess.run([tool, option, path], capture_output=True, text=True, check=True).stdout

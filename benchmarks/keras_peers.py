"""The Kerases that stand beside us, each in a process of its own, timed in turns over a pipe."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from benchmarks.keras_worker import FRAMEWORKS, Request
from benchmarks.workloads import Workload

ROOT = Path(__file__).parent.parent
Arrays: TypeAlias = list[Any]


class KerasError(RuntimeError):
    """A Keras, in its own process, refused or died; one line says why."""


class KerasProcess:
    """One Keras that runs.

    Attributes:
        framework: its name in FRAMEWORKS.
        versions: of the modules it imported.
    """

    def __init__(self, framework: str) -> None:
        self.framework = framework
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.keras_worker", framework],
            cwd=ROOT,
            env=os.environ
            | FRAMEWORKS[framework][1]
            | {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.versions: dict[str, str] = {}

    def start(self) -> str | None:
        """Wait until it has imported what it needs; return why it cannot."""
        try:
            self.versions = self._receive()
        except KerasError as error:
            return str(error)
        return None

    def make(self, request: Request) -> dict[str, Arrays]:
        """Make a layer, and return by name of the peer what it gives."""
        self._send(request)
        answer: dict[str, Arrays] = self._receive()
        return answer

    def time(self, peer: str) -> float:
        """Return the seconds a call of one block of calls."""
        self._send(peer)
        seconds: float = self._receive()
        return seconds

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._process.wait()
        self._log.close()

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise KerasError(self._last_words()) from None

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        try:
            answer = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise KerasError(self._last_words()) from None
        if isinstance(answer, RuntimeError):
            raise KerasError(str(answer))
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"its process ended: {lines[-1] if lines else self._process.returncode}"


class RemoteBlock:
    """Calls of a peer in its own process."""

    def __init__(self, process: KerasProcess, peer: str) -> None:
        self.process, self.peer = process, peer

    def run(self) -> float:
        """Return the seconds a call of one block."""
        return self.process.time(self.peer)


class KerasPeers:
    """Every Keras that is installed.

    Attributes:
        absent: by name, why one is not there.
    """

    def __init__(self, wanted: bool = True) -> None:
        self.absent: dict[str, str] = {}
        self.processes: list[KerasProcess] = []
        for framework, (modules, _, _) in FRAMEWORKS.items():
            missing = [module for module in modules if find_spec(module) is None]
            if not wanted:
                self.absent[framework] = "left out as asked"
            elif missing:
                self.absent[framework] = f"{', '.join(missing)} not installed"
            else:
                self.processes.append(KerasProcess(framework))
        for process in list(self.processes):
            reason = process.start()
            if reason is not None:
                self.absent[process.framework] = reason
                self.processes.remove(process)
                process.close()

    @property
    def versions(self) -> dict[str, str]:
        """Versions of what they imported."""
        return {name: version for process in self.processes for name, version in process.versions.items()}

    def make(self, request: Request) -> tuple[dict[str, Arrays], dict[str, RemoteBlock], dict[str, str]]:
        """Make a layer in each of them.

        Returns:
            By name of the peer, what it gives and what times it; and by name of the Keras, why it cannot.
        """
        values: dict[str, Arrays] = {}
        blocks: dict[str, RemoteBlock] = {}
        reasons = dict(self.absent)
        for process in self.processes:
            try:
                made = process.make(request)
            except KerasError as error:
                reasons[process.framework] = str(error)
                continue
            values |= made
            blocks |= {peer: RemoteBlock(process, peer) for peer in made}
        return values, blocks, reasons

    def close(self) -> None:
        """End them all."""
        for process in self.processes:
            process.close()


@contextmanager
def start_keras_peers(wanted: bool = True) -> Iterator[KerasPeers]:
    """Start every Keras that is installed, and end them behind the block."""
    started = KerasPeers(wanted)
    try:
        yield started
    finally:
        started.close()


def request(work: Workload, x: Tensor, y: Tensor, gradient: Tensor | None) -> Request | str:
    """Return what to ask Keras for, or the reason why it has no such layer."""
    if work.options.get("batch_dims", 1) != 1:
        return "Keras shares the first axis only"
    return Request(
        as_array(x),
        as_array(y),
        work.axes,
        work.options.get("normalize", False),
        work.dtype,
        None if gradient is None else as_array(gradient),
    )


def as_array(tensor: Tensor) -> Any:
    """Return a numpy array; of 16-bit numbers one of float32, which numpy has in every version."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.itemsize == 2 else tensor).numpy()

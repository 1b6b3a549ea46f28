"""The Keras peers: tf_keras and Keras 3 per backend, each in its own process, controlled by a pipe."""

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

from batchdot.convert import Array
from benchmarks.keras_worker import FRAMEWORKS, ModelRequest, Request
from benchmarks.workloads import Workload

ROOT = Path(__file__).parent.parent
Arrays: TypeAlias = list[Array]


class KerasError(RuntimeError):
    """A Keras process refused a request or ended; the message is one line."""


class KerasProcess:
    """A running Keras process.

    Attributes:
        framework: its name in FRAMEWORKS.
        versions: versions of its modules.
    """

    def __init__(self, framework: str) -> None:
        self.framework = framework
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
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
        """Wait for the imports of the process; return the reason if they fail."""
        try:
            self.versions = self._receive()
        except KerasError as error:
            return str(error)
        return None

    def make(self, request: Request | ModelRequest) -> dict[str, Arrays]:
        """Build a layer or load a model; return its results by name of the peer."""
        self._send(request)
        answer: dict[str, Arrays] = self._receive()
        return answer

    def time(self, peer: str) -> float:
        """Time one block; return seconds per call."""
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
    """A block of calls of a peer in its own process."""

    def __init__(self, process: KerasProcess, peer: str) -> None:
        self.process, self.peer = process, peer

    def run(self) -> float:
        """Time one block; return seconds per call."""
        return self.process.time(self.peer)


class KerasPeers:
    """The processes of all installed Keras frameworks.

    Attributes:
        absent: by name, why a framework does not run.
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
        """Versions of their modules."""
        return {name: version for process in self.processes for name, version in process.versions.items()}

    def make(
        self, request: Request | ModelRequest
    ) -> tuple[dict[str, Arrays], dict[str, RemoteBlock], dict[str, str]]:
        """Build a layer, or load a model, in each process.

        Returns:
            By name of the peer, its results and its block; by name of the framework, why it refused.
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
        """End all processes."""
        for process in self.processes:
            process.close()


@contextmanager
def start_keras_peers(wanted: bool = True) -> Iterator[KerasPeers]:
    """Start a process for every installed Keras, and end them on exit."""
    started = KerasPeers(wanted)
    try:
        yield started
    finally:
        started.close()


def request(work: Workload, x: Tensor, y: Tensor, gradient: Tensor | None) -> Request | str:
    """Return the request for a workload, or the reason why Keras has no such layer."""
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


def as_array(tensor: Tensor) -> Array:
    """Return a numpy array, of float32 for the 16-bit floats."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.itemsize == 2 else tensor).numpy()

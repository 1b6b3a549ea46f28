"""A new file that appears whole or not at all: written beside its place, then renamed."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

import torch
from torch import Tensor

from batchdot.errors import FileFormatError
from batchdot.io.regular_file import NUMPY, RegularFile, kind_of, naming, shown


class NewFile:
    """A file being written, under a temporary name in the folder it will be in; a context manager.

    Leaving it without an exception puts the file in its place. Leaving it with one, whichever it is,
    removes what was written; a file that was there before stays as it was.

    Args:
        path: where the file will be. A symbolic link is followed.
        nbytes: how large it will be.
        inputs: files that it must not replace.

    Raises:
        FileFormatError: the place is taken by one of the inputs, or by what is not a regular file.
        OSError: the folder is missing or cannot be written to, or the disk has no room.
    """

    def __init__(self, path: str, nbytes: int, inputs: Sequence[RegularFile] = ()) -> None:
        self.shown_path = shown(path)
        self.path = os.path.realpath(path)
        self.folder = os.path.dirname(self.path)
        self.temporary = os.path.join(self.folder, f".batchdot-{os.urandom(8).hex()}.tmp")
        self.mode = self._check_place(inputs)
        self._check_room(nbytes)

    def write(self, data: "bytes | memoryview", offset: int | None = None) -> None:
        """Append bytes; or write them at a position, which several threads may where the system can."""
        rest = memoryview(data).cast("B") if len(data) else memoryview(b"")
        with naming("write", self.shown_path):
            while rest:
                count = self._write_some(rest, offset)
                rest = rest[count:]
                offset = None if offset is None else offset + count

    def _write_some(self, data: memoryview, offset: int | None) -> int:
        if offset is not None:
            if hasattr(os, "pwrite"):
                return os.pwrite(self.raw.fileno(), data, offset)
            self.raw.seek(offset)
        return self.raw.write(data)

    def write_tensor(self, tensor: Tensor, offset: int | None = None) -> None:
        """Write the numbers of a tensor in C order, little-endian, where `write` would."""
        tensor = tensor.detach().contiguous()
        stored = NUMPY[tensor.dtype]
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.view(torch.int16)
        if tensor.numel():
            numbers = tensor.numpy().astype(stored, copy=False).reshape(-1).view("u1")
            self.write(memoryview(numbers), offset)  # type: ignore[arg-type]

    def _check_place(self, inputs: Sequence[RegularFile]) -> int | None:
        """Check that the place can be taken; return the permissions of the file that is there."""
        with naming("write", self.shown_path):
            try:
                status = os.stat(self.path)
            except FileNotFoundError:
                status = None
        if status is None:
            if not os.path.isdir(self.folder):
                raise FileNotFoundError(
                    2, f"cannot write {self.shown_path}: there is no folder {shown(self.folder)}"
                )
            return None
        if not stat.S_ISREG(status.st_mode):
            raise FileFormatError(
                f"cannot write {self.shown_path}: it is {kind_of(status.st_mode)}, not a regular file"
            )
        for file in inputs:
            if os.path.samestat(status, file.stat):
                raise FileFormatError(
                    f"cannot write {self.shown_path}: it is the same file as the input {shown(file.path)}"
                )
        return stat.S_IMODE(status.st_mode)

    def _check_room(self, nbytes: int) -> None:
        if not hasattr(os, "statvfs"):
            return
        with naming("write", self.shown_path):
            disk = os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize
        if disk.f_blocks and nbytes > free:
            raise OSError(
                28,
                f"cannot write {self.shown_path}: it takes {nbytes:,} bytes and the disk has {free:,} free",
            )

    def __enter__(self) -> "NewFile":
        try:
            with naming("write", self.shown_path):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
                self.raw = os.fdopen(os.open(self.temporary, flags, 0o666), "wb", buffering=0)
                if self.mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(self.raw.fileno(), self.mode)
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self.raw:
                if kind is None:
                    with naming("write", self.shown_path):
                        os.fsync(self.raw.fileno())
            if kind is None:
                with naming("write", self.shown_path):
                    os.replace(self.temporary, self.path)
        finally:
            self.remove()

    def remove(self) -> None:
        """Remove the temporary file, if it is there: renamed, it is not."""
        with suppress(FileNotFoundError):
            os.unlink(self.temporary)


def write_file(path: str, data: bytes) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        FileFormatError, OSError: as `NewFile`.
    """
    new = NewFile(path, len(data))
    try:
        with new:
            new.write(data)
    finally:  # again, for the signal that arrives when the first removal has not begun
        new.remove()

"""Atomic file writes: write a temporary file in the same folder, and give it its name at the end."""

import os
import re
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import ClassVar, Self

try:
    import fcntl
except ImportError:  # Windows, which removes no file that is open
    fcntl = None  # type: ignore[assignment]

from batchdot.errors import FileFormatError
from batchdot.io.regular_file import RegularFile, file_type, printable, with_path_in_errors

STALE_SECONDS = 60
"""The least age of a temporary file that is removed: a younger one may not be locked yet by its writer."""

_TEMPORARY = re.compile(r"\.batchdot-[0-9a-f]{16}\.tmp")


class AtomicFile:
    """A context manager for an atomic write: the file at ``path`` is replaced at the end or not at all.

    Data go to a file without a name in the same folder (``O_TMPFILE`` of Linux), which gets its name on exit.
    With any exception, or when the process is killed, it is gone, and an older file at ``path`` stays as it
    was. Where the system or the file system has no such files, the file has a hidden name, and a run that was
    killed leaves it; it is locked while its process lives, and the next write in that folder removes those
    that are not.

    Args:
        path: the file to write. A symbolic link is followed.
        nbytes: size of the file, to check the free space of the disk.
        inputs: open files that must not be replaced.

    Raises:
        FileFormatError: ``path`` is one of the inputs, or exists and is not a regular file.
        OSError: the folder is missing or not writable, the file is read-only, or the disk is full.
    """

    may_be_nameless: ClassVar = True

    def __init__(self, path: str, nbytes: int, inputs: Sequence[RegularFile] = ()) -> None:
        self.shown_path = printable(path)
        self.path = os.path.realpath(path)
        self.folder = os.path.dirname(self.path)
        self.temporary = os.path.join(self.folder, f".batchdot-{os.urandom(8).hex()}.tmp")
        self.mode = self._check_target(inputs)
        self._check_disk_space(nbytes)

    def write(self, data: bytes | memoryview, offset: int | None = None) -> None:
        """Append bytes, or write them at an offset, which on POSIX several threads may do at a time."""
        rest = memoryview(data).cast("B") if len(data) else memoryview(b"")
        with with_path_in_errors("write", self.shown_path):
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

    def _check_target(self, inputs: Sequence[RegularFile]) -> int | None:
        """Check that the path can be replaced; return the permission bits of an existing file."""
        with with_path_in_errors("write", self.shown_path):
            try:
                status = os.stat(self.path)
            except FileNotFoundError:
                status = None
        if status is None:
            if not os.path.isdir(self.folder):
                raise FileNotFoundError(
                    2, f"cannot write {self.shown_path}: there is no folder {printable(self.folder)}"
                )
            return None
        if not stat.S_ISREG(status.st_mode):
            raise FileFormatError(
                f"cannot write {self.shown_path}: it is {file_type(status.st_mode)}, not a regular file"
            )
        for file in inputs:
            if os.path.samestat(status, file.stat):
                raise FileFormatError(
                    f"cannot write {self.shown_path}: it is the same file as the input {printable(file.path)}"
                )
        mode = stat.S_IMODE(status.st_mode)
        if not mode & 0o222 or not os.access(self.path, os.W_OK):  # the superuser may write everything
            raise PermissionError(
                13, f"cannot write {self.shown_path}: it is read-only (mode {mode:04o}); remove it first"
            )
        return mode

    def _check_disk_space(self, nbytes: int) -> None:
        if not hasattr(os, "statvfs"):
            return
        with with_path_in_errors("write", self.shown_path):
            disk = os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize
        if disk.f_blocks and nbytes > free:
            raise OSError(
                28,
                f"cannot write {self.shown_path}: it takes {nbytes:,} bytes and the disk has {free:,} free",
            )

    def __enter__(self) -> Self:
        try:
            with with_path_in_errors("write", self.shown_path):
                remove_stale_files(self.folder)
                descriptor = _open_nameless(self.folder) if self.may_be_nameless else None
                self.nameless = descriptor is not None
                if descriptor is None:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
                    descriptor = os.open(self.temporary, flags, 0o666)
                self.raw = os.fdopen(descriptor, "wb", buffering=0)
                _lock(descriptor)
                if self.mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(descriptor, self.mode)
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
                    with with_path_in_errors("write", self.shown_path):
                        os.fsync(self.raw.fileno())
                        if self.nameless:
                            self._link()
            if kind is None and not self.nameless:
                self.replace()
        finally:
            self.remove()

    def replace(self) -> None:
        """Rename the temporary file to the path."""
        with with_path_in_errors("write", self.shown_path):
            os.replace(self.temporary, self.path)

    def _link(self) -> None:
        """Give the nameless file its name; where there is an older file, by way of a temporary name."""
        try:
            _link_descriptor(self.raw.fileno(), self.path)
        except FileExistsError:  # link(2) replaces nothing, and rename(2) takes names only
            _link_descriptor(self.raw.fileno(), self.temporary)
            os.replace(self.temporary, self.path)

    def remove(self) -> None:
        """Remove the temporary file, unless it was renamed or never had a name."""
        with suppress(FileNotFoundError):
            os.unlink(self.temporary)


class AtomicPart(AtomicFile):
    """One of several files that are replaced together, by `write_files`.

    At its end the data are on the disk under the temporary name, and what was at the path stays at hand as
    ``backup``, so that `restore` can undo `replace`.
    """

    may_be_nameless: ClassVar = False

    def __init__(self, path: str, nbytes: int) -> None:
        super().__init__(path, nbytes)
        self.backup = f"{self.temporary}.old"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.raw:
            if kind is None:
                with with_path_in_errors("write", self.shown_path):
                    os.fsync(self.raw.fileno())

    def replace(self) -> None:
        """Rename the older file to ``backup``, and the temporary file to the path."""
        with suppress(FileNotFoundError):
            os.replace(self.path, self.backup)
        try:
            super().replace()
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Undo `replace`."""
        with suppress(FileNotFoundError):
            os.unlink(self.path)
        with suppress(FileNotFoundError):
            os.replace(self.backup, self.path)

    def remove(self) -> None:
        """Remove the temporary file and the older one, where they are."""
        super().remove()
        with suppress(FileNotFoundError):
            os.unlink(self.backup)


def write_files(contents: Mapping[str, Sequence[bytes | memoryview]]) -> None:
    """Write several files together: all have all of their data, or none is changed.

    Args:
        contents: by path, the parts of the file in order.

    Raises:
        FileFormatError, OSError: as `AtomicFile`.
    """
    files: list[AtomicPart] = []
    try:
        for path, parts in contents.items():
            files.append(AtomicPart(path, sum(map(len, parts))))
            with files[-1] as file:
                for part in parts:
                    file.write(part)
        for number, file in enumerate(files):
            try:
                file.replace()
            except BaseException:
                for other in reversed(files[:number]):
                    other.restore()
                raise
    finally:
        for file in files:
            file.remove()


def remove_stale_files(folder: str) -> None:
    """Remove the temporary files in a folder whose writers were killed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_stale(entry)


def _remove_if_stale(entry: os.DirEntry[str]) -> None:
    if time.time() - entry.stat(follow_symlinks=False).st_mtime < STALE_SECONDS:
        return
    descriptor = os.open(entry.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        _lock(descriptor)  # BlockingIOError: its writer lives
        os.unlink(entry.path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock a file for as long as its process lives, where the system and the file system can."""
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass


def _open_nameless(folder: str) -> int | None:
    """Return the descriptor of a new file without a name, or None where such a file cannot be named later."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None:
        return None
    try:
        descriptor = os.open(folder, flag | os.O_WRONLY, 0o666)
    except OSError:  # the file system has none, or the folder is not writable, which the next attempt says
        return None
    if os.path.exists(f"/proc/self/fd/{descriptor}"):
        return descriptor
    os.close(descriptor)
    return None


def _link_descriptor(descriptor: int, path: str) -> None:
    # Python follows the symbolic link only where it calls linkat(2), which a descriptor of a folder makes it
    # do; for an absolute path the kernel ignores that.
    os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)


def write_file(path: str, data: bytes) -> None:
    """Write a file atomically: it has all of the data or is not changed.

    Raises:
        FileFormatError, OSError: as `AtomicFile`.
    """
    new = AtomicFile(path, len(data))
    try:
        with new:
            new.write(data)
    finally:  # a signal may arrive before the context manager has begun to remove the file
        new.remove()

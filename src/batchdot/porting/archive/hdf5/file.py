"""Read groups and datasets of an HDF5 file."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.archive.hdf5 import messages
from batchdot.porting.archive.hdf5.bytes_reader import UNDEFINED, Fields, Reader
from batchdot.porting.archive.hdf5.chunked import read_chunks
from batchdot.porting.archive.hdf5.header import Attribute, Attributes, read_messages
from batchdot.porting.archive.hdf5.heaps import read_local_heap
from batchdot.porting.archive.hdf5.trees import symbol_table
from batchdot.porting.archive.limits import MAX_OBJECTS, MAX_PATH, MAX_PATHS, most_inflated
from batchdot.porting.archive.source import Source
from batchdot.porting.errors import ModelFileError, quote

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass
class _File:
    """What the objects of one file share."""

    source: Source
    reader: Reader
    attributes: Attributes
    claimed: int = 0
    inflated: int = 0
    path_left: int = MAX_PATHS
    opened: set[int] = field(default_factory=set)

    def open(self, address: int, path: str) -> dict[int, list[bytes]]:
        """Return the messages of an object, which is opened once: a file of a model is a tree.

        Raises:
            ModelFileError: the object has two names, perhaps because groups form a cycle; or lies too deep.
        """
        if address in self.opened:
            raise ModelFileError("an HDF5 object with two names, or a cycle of groups", "a tree")
        self.path_left -= len(path)
        if len(self.opened) >= MAX_OBJECTS or len(path) > MAX_PATH or self.path_left < 0:
            raise ModelFileError(
                "more or deeper HDF5 objects",
                f"{MAX_OBJECTS:,}, paths of {MAX_PATH:,} characters, {MAX_PATHS:,} in all",
            )
        self.opened.add(address)
        return read_messages(self.reader, address)

    def claim(self, size: int) -> None:
        """Refuse datasets that together claim more bytes than the file has, so that some overlap."""
        self.claimed += size
        if self.claimed > self.source.size:
            raise ModelFileError("HDF5 datasets that overlap in the file")

    def claim_chunked(self, size: int) -> None:
        """Refuse datasets in chunks that together are larger than the file can be when it is inflated."""
        self.inflated += size
        stored = self.source.stored
        if self.inflated > most_inflated(stored):
            raise ModelFileError(
                f"chunks that inflate from {stored:,} to {self.inflated:,} bytes or more",
                f"{most_inflated(stored):,}",
            )


def open_hdf5(source: Source) -> "Group":
    """Return the root group of an HDF5 file.

    Raises:
        ModelFileError: it is no HDF5 file, truncated, or of a kind that Keras does not write.
    """
    fields = Fields(source.read(0, min(source.size, 96)))
    if fields.take(min(8, fields.left)) != SIGNATURE:
        raise ModelFileError("no HDF5 file")
    version = fields.unsigned(1)
    if version in (0, 1):
        fields.take(4)
        sizes = fields.unsigned(1), fields.unsigned(1)
        fields.take(9 + (4 if version == 1 else 0))
        base = fields.unsigned(8)
        fields.take(8)
        end = fields.unsigned(8)
        fields.take(16)
        root = fields.unsigned(8)
    elif version in (2, 3):
        sizes = fields.unsigned(1), fields.unsigned(1)
        fields.take(1)
        base = fields.unsigned(8)
        fields.take(8)
        end, root = fields.unsigned(8), fields.unsigned(8)
    else:
        raise ModelFileError(f"an HDF5 superblock of version {version}", "0 to 3")
    if sizes != (8, 8) or base:
        raise ModelFileError("HDF5 with addresses of another size or another start", "8 bytes, from byte 0")
    if end > source.size:
        raise ModelFileError(
            f"{source.size:,} of {end:,} bytes of an HDF5 file",
            "the whole file: the download or copy was cut off",
        )
    reader = Reader(source)
    file = _File(source, reader, Attributes(reader))
    return Group(file, file.open(root, "/"), "/")


@dataclass
class Group:
    """A group of an HDF5 file: named members and attributes, read when asked for."""

    _file: _File = field(repr=False)
    _messages: dict[int, list[bytes]] = field(repr=False)
    path: str

    @cached_property
    def attributes(self) -> dict[str, Attribute]:
        """The attributes by name."""
        with _placed(self.path):
            return self._file.attributes.read(self._messages)

    @cached_property
    def members(self) -> dict[str, "Group | Dataset"]:
        """Groups and datasets by name, in the order of the file's own index.

        Raises:
            ModelFileError: a link leads elsewhere, a name occurs twice.
        """
        with _placed(self.path):
            found: dict[str, Group | Dataset] = {}
            for name, address in self._links():
                if name in found or "/" in name:
                    raise ModelFileError(f"the HDF5 member {quote(name)}", "names once, without slashes")
                found[name] = self._open(name, address)
            return found

    def _links(self) -> Iterator[tuple[str, int]]:
        reader = self._file.reader
        for body in self._messages.get(messages.SYMBOL_TABLE, ()):
            fields = Fields(body)
            tree, heap = fields.unsigned(8), fields.unsigned(8)
            yield from symbol_table(reader, tree, read_local_heap(reader, heap))
        links = [*self._messages.get(messages.LINK, ())]
        for info in self._messages.get(messages.LINK_INFO, ()):
            links += self._file.attributes.links(info)
        for body in links:
            yield messages.parse_link(Fields(body))

    def _open(self, name: str, address: int) -> "Group | Dataset":
        path = f"{self.path.rstrip('/')}/{name}"
        with _placed(path):
            found = self._file.open(address, path)
            if messages.LAYOUT in found or messages.DATASPACE in found:
                return Dataset.open(self._file, found, path)
            return Group(self._file, found, path)

    def get(self, path: str) -> "Group | Dataset | None":
        """Return the object at a path below this group, None where there is none."""
        here: Group | Dataset | None = self
        for name in path.split("/"):
            if not name:
                continue
            if not isinstance(here, Group):
                return None
            here = here.members.get(name)
        return here

    def groups(self) -> Iterator["Group"]:
        """Yield this group and all groups below it."""
        waiting = [self]
        while waiting:
            group = waiting.pop()
            yield group
            waiting += [member for member in group.members.values() if isinstance(member, Group)]

    def datasets(self) -> Iterator["Dataset"]:
        """Yield all datasets below this group."""
        for group in self.groups():
            yield from (member for member in group.members.values() if isinstance(member, Dataset))


@dataclass(frozen=True)
class Dataset:
    """An array of an HDF5 file, of which only the description is read until `read` is called.

    Attributes:
        path: where it is in the file.
        shape: its sizes.
        dtype: numpy's name of its numbers ("float32", "bool"), or "bfloat16".
    """

    _file: _File = field(repr=False)
    _type: messages.Datatype = field(repr=False)
    _layout: messages.Layout = field(repr=False)
    _filters: tuple[int, ...] = field(repr=False)
    _messages: dict[int, list[bytes]] = field(repr=False)
    path: str
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def open(cls, file: _File, found: dict[int, list[bytes]], path: str) -> "Dataset":
        """Read the description of a dataset.

        Raises:
            ModelFileError: its numbers are of a kind, or kept in a way, that Keras does not write.
        """
        if messages.EXTERNAL in found:
            raise ModelFileError("an HDF5 dataset whose data lie in other files", "data in this file")
        kinds = (messages.DATATYPE, messages.DATASPACE, messages.LAYOUT)
        if any(len(found.get(kind, ())) != 1 for kind in kinds):
            raise ModelFileError("an HDF5 dataset without type, shape or place")
        datatype = messages.parse_datatype(Fields(found[messages.DATATYPE][0]))
        shape = messages.parse_dataspace(Fields(found[messages.DATASPACE][0]))
        layout = messages.parse_layout(Fields(found[messages.LAYOUT][0]))
        filters = found.get(messages.FILTERS, ())
        names = messages.parse_filters(Fields(filters[0])) if filters else ()
        if shape is None:
            raise ModelFileError("an empty HDF5 dataset")
        size = prod(shape) * datatype.size
        stored = {"compact": len(layout.data), "contiguous": layout.size}.get(layout.kind, size)
        written = layout.kind != "contiguous" or layout.address != UNDEFINED
        if size and (stored != size or not written):
            raise ModelFileError(f"{stored:,} bytes for an HDF5 dataset of shape {quote(shape)}", f"{size:,}")
        if layout.kind == "contiguous" and size:
            file.claim(size)
        if layout.kind == "chunked":
            file.claim_chunked(size)
        dtype = _dtype(file, datatype, found)
        return cls(file, datatype, layout, names, found, path, shape, dtype)

    @property
    def attributes(self) -> dict[str, Attribute]:
        """The attributes by name."""
        with _placed(self.path):
            return self._file.attributes.read(self._messages)

    @property
    def place(self) -> str:
        """The path, as an error names it."""
        return quote(self.path)

    def read(self) -> NDArray[np.generic]:
        """Return the numbers in this machine's byte order; bfloat16 as the float32 that it is exactly.

        Raises:
            ModelFileError: they are not all there, or damaged, or the dataset holds text.
        """
        with _placed(self.path):
            if not self._type.code:
                raise ModelFileError("text or bytes in an HDF5 dataset", "numbers")
            self._file.source.verify()
            return self._numbers()

    def _numbers(self) -> NDArray[np.generic]:
        stored: np.dtype[Any] = np.dtype(self._type.code)
        array: NDArray[Any]
        if self._layout.kind == "chunked" and 0 not in self.shape:
            array = read_chunks(self._file.reader, self._layout, self._filters, self.shape, stored)
        else:
            array = np.empty(self.shape, stored)
            buffer = array.reshape(-1).view(np.uint8).data
            if self._layout.kind == "compact":
                buffer[:] = self._layout.data[: len(buffer)]
            elif len(buffer):
                self._file.source.read_into(self._layout.address, buffer)
        if not stored.isnative:
            array = array.byteswap(inplace=True).view(stored.newbyteorder("="))
        if self.dtype == "bfloat16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array


def _dtype(file: _File, datatype: messages.Datatype, found: dict[int, list[bytes]]) -> str:
    if datatype.kind == "bfloat16":
        return "bfloat16"
    if datatype.code:
        name = str(np.dtype(datatype.code).name)
        if name == "uint16" and _says_bfloat16(file, found):
            return "bfloat16"
        return name
    return datatype.kind


def _says_bfloat16(file: _File, found: dict[int, list[bytes]]) -> bool:
    return file.attributes.read(found).get("dtype") == "bfloat16"


class _placed:  # noqa: N801 -- a context manager, used as a word of the statement
    """Give errors that know no place the path of the object being read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ModelFileError) and not error.place:
            error.place = quote(self.path)

"""Arrays of a weights file by name, in the two layouts that versions of Keras write."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from batchdot.porting.archive.hdf5 import Dataset, Group
from batchdot.porting.archive.hdf5.header import Attribute
from batchdot.porting.archive.limits import MAX_ARRAYS
from batchdot.porting.archive.npz import NpyArray
from batchdot.porting.errors import ModelFileError, quote


class Array(Protocol):
    """An array of a file, read when asked for."""

    @property
    def path(self) -> str:
        """Where it is in its file."""

    @property
    def place(self) -> str:
        """The path, quoted for an error."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""

    @property
    def dtype(self) -> str:
        """NumPy's name of its numbers, or "bfloat16"."""

    def read(self) -> NDArray[np.generic]:
        """Return the numbers."""


@dataclass(frozen=True)
class LegacyWeights:
    """Weights by layer and order, as all versions before TF 2.12 and every ``.h5`` have them.

    Attributes:
        layers: per top-level layer its name, and its arrays by full weight name, in the file's order.
        version: the version of Keras that the file names, "" where it names none, as in Keras 1.
        backend: the backend that it names, "" where none. Theano flips kernels of convolutions.
    """

    layers: tuple[tuple[str, tuple[tuple[str, Array], ...]], ...]
    version: str
    backend: str

    @property
    def is_keras1(self) -> bool:
        """Whether Keras 1 wrote the weights: it wrote no version beside them."""
        return not self.version


@dataclass(frozen=True)
class ObjectWeights:
    """Weights by the path of the Python object that owns them, as ``.weights.h5`` has them.

    Attributes:
        arrays: per object, its variables in order: {"layers/dense": (kernel, bias)}.
        names: the name of the layer at a path, where the file tells it (Keras 3.8 and later).
        owners: paths of all objects, of those without variables too, where the file tells them.
        container: "layers", or "_layer_checkpoint_dependencies" in TF 2.12 and 2.13.
    """

    arrays: Mapping[str, tuple[Array, ...]]
    names: Mapping[str, str]
    owners: frozenset[str]
    container: str


def legacy_weights(group: Group, root: Group) -> LegacyWeights:
    """Return the weights of a group that names its layers.

    Args:
        group: what holds one group for each layer.
        root: the root of the file, for the attributes that ``group`` lacks.

    Raises:
        ModelFileError: a weight that is named is not there, or one that is there is not named.
    """
    layers = []
    used: set[str] = set()
    for name in names(group, "layer_names"):
        layer = _group(group, name)
        found = []
        for weight in names(layer, "weight_names"):
            array = layer.get(weight)
            if not isinstance(array, Dataset):
                raise ModelFileError(
                    f"no dataset {quote(weight)}, which the file names", place=quote(layer.path)
                )
            if array.path in used:
                raise ModelFileError("a weight that is named twice", place=array.place)
            used.add(array.path)
            found.append((weight, array))
        layers.append((name, tuple(found)))
    if len({name for name, _ in layers}) != len(layers):
        raise ModelFileError("two layers of one name", place=quote(group.path))
    for array in group.datasets():
        if array.path not in used and not array.path.startswith("/optimizer_weights/"):
            raise ModelFileError("a weight that no layer names", place=array.place)
    version, backend = (_text(group, root, key) for key in ("keras_version", "backend"))
    return LegacyWeights(tuple(layers), version, backend)


def _group(parent: Group, path: str) -> Group:
    found = parent.get(path)
    if not isinstance(found, Group):
        raise ModelFileError(f"no group {quote(path)}, which the file names", place=quote(parent.path))
    return found


def _text(group: Group, root: Group, key: str) -> str:
    """Return an attribute of the group of weights; a file of weights alone has it at the root."""
    value = group.attributes.get(key)
    return value if isinstance(value, str) else ""


def names(group: Group, key: str) -> tuple[str, ...]:
    """Return a list of names in an attribute, which is split where it exceeds 64 KiB.

    Raises:
        ModelFileError: it is missing or holds no names.
    """
    attributes = group.attributes
    if key in attributes:
        return _names(group, key, attributes[key])
    parts: list[str] = []
    number = 0
    while f"{key}{number}" in attributes:
        parts += _names(group, key, attributes[f"{key}{number}"])
        number += 1
    if not number:
        raise ModelFileError(f"no attribute {quote(key)}", place=quote(group.path))
    return tuple(parts)


def _names(group: Group, key: str, value: Attribute) -> tuple[str, ...]:
    if isinstance(value, tuple):
        if len(value) > MAX_ARRAYS or not all(value):
            raise ModelFileError(f"an attribute {quote(key)} of bad names", place=quote(group.path))
        return value
    if value is None or (isinstance(value, np.ndarray) and value.size == 0):
        return ()
    raise ModelFileError(f"an attribute {quote(key)} that is no list of names", place=quote(group.path))


CONTAINERS = ("layers", "_layer_checkpoint_dependencies")

LEFT_OUT_AT_TOP = ("optimizer", "metrics", "compile_metrics", "loss_tracker")
LEFT_OUT = ("seed_generator", "random_generator", "_random_generator")
"""Objects whose variables inference does not need: the optimizer's state, metrics; seeds, of any layer."""


def object_weights(root: Group) -> ObjectWeights:
    """Return the weights of a ``.weights.h5`` file.

    Raises:
        ModelFileError: an array lies outside of the variables of an object.
    """
    found: dict[str, list[tuple[str, Array]]] = {}
    layer_names: dict[str, str] = {}
    owners: set[str] = set()
    for group in root.groups():  # names stand on groups without datasets, too
        if group.path.endswith("/vars"):
            owners.add(_owner(group.path))
            name = group.attributes.get("name")
            if isinstance(name, str):
                layer_names[_owner(group.path)] = name
    for array in root.datasets():
        head, _, number = array.path.rpartition("/")
        if not head.endswith("/vars"):
            raise ModelFileError("a dataset that is no variable of an object", place=array.place)
        found.setdefault(_owner(head), []).append((number, array))
    return _ordered(found, layer_names, owners)


def npz_weights(arrays: Iterable[NpyArray]) -> ObjectWeights:
    """Return the weights of a ``.npz`` archive, whose paths are those of ``.weights.h5``.

    Raises:
        ModelFileError: a path does not end with the number of a variable.
    """
    found: dict[str, list[tuple[str, Array]]] = {}
    for array in arrays:
        head, _, number = array.path.rpartition("/")
        found.setdefault(_owner("/" + head), []).append((number, array))
    return _ordered(found, {}, ())


def _owner(path: str) -> str:
    return path.removesuffix("/vars").strip("/")


def _ordered(
    found: dict[str, list[tuple[str, Array]]], layer_names: dict[str, str], owners: Iterable[str]
) -> ObjectWeights:
    arrays: dict[str, tuple[Array, ...]] = {}
    for owner, variables in found.items():
        parts = owner.split("/")
        if parts[0] in LEFT_OUT_AT_TOP or any(name in parts for name in LEFT_OUT):
            continue
        numbered = {}
        for number, array in variables:
            if not number.isascii() or not number.isdigit() or len(number) > 6 or number != str(int(number)):
                raise ModelFileError(f"a variable {quote(number)}", "a number", place=array.place)
            numbered[int(number)] = array
        if sorted(numbered) != list(range(len(numbered))):
            raise ModelFileError("variables that are not numbered from 0", place=quote(owner))
        arrays[owner] = tuple(numbered[number] for number in sorted(numbered))
    container = CONTAINERS[any(owner.startswith(CONTAINERS[1]) for owner in found)]
    return ObjectWeights(arrays, layer_names, frozenset(owners), container)

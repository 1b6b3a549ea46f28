"""Open a saved Keras model or its weights: HDF5, ``.keras`` or JSON, recognized by content."""

import os
from dataclasses import dataclass
from typing import TypeAlias

from batchdot.porting.archive import json_text
from batchdot.porting.archive.hdf5 import Group, open_hdf5
from batchdot.porting.archive.json_text import Json
from batchdot.porting.archive.limits import MAX_JSON_BYTES
from batchdot.porting.archive.npz import arrays
from batchdot.porting.archive.sniff import HEAD, KERAS, refuse_directory, sniff
from batchdot.porting.archive.source import FileSource, Source
from batchdot.porting.archive.weights import (
    CONTAINERS,
    LegacyWeights,
    ObjectWeights,
    legacy_weights,
    npz_weights,
    object_weights,
)
from batchdot.porting.archive.zip_file import members
from batchdot.porting.errors import ModelFileError, quote

Weights: TypeAlias = LegacyWeights | ObjectWeights

CONFIG, METADATA = "config.json", "metadata.json"
WEIGHTS_H5, WEIGHTS_NPZ, WEIGHTS_SHARDED = "model.weights.h5", "model.weights.npz", "model.weights.json"

SHARDED = "weights in several files", "one file: model.save(...) without max_shard_size"


@dataclass(frozen=True)
class Archive:
    """The contents of one file: a config, arrays, or both.

    Attributes:
        path: the file.
        container: in words, for people: "Keras 3 archive (.keras)".
        config: the object with ``class_name`` and ``config``; None in a file of weights.
        place: where in the file the config is.
        version: the version of Keras that wrote it, as it says; "" where it does not.
        backend: the backend that it names; "" where it does not.
        training: the training config, as it is in the file; None where the model was not compiled.
        weights: the arrays; None in a config alone.
        assets: members with vocabularies and the like, which are not read.
    """

    path: str
    container: str
    config: Json = None
    place: str = ""
    version: str = ""
    backend: str = ""
    training: Json = None
    weights: Weights | None = None
    assets: tuple[str, ...] = ()


def open_archive(path: str | os.PathLike[str]) -> Archive:
    """Open a saved model and recognize its container by its content.

    Numbers of weights are not read; the file stays open while something refers to them.

    Raises:
        OSError: the file cannot be opened.
        ModelFileError: it is no model that Keras saved, or is damaged.
    """
    name = os.fsdecode(path)
    try:
        if os.path.isdir(name):
            refuse_directory(name)
        source = FileSource(name)
        opened = parse_archive(name, source)
        source.check_unchanged()
        return opened
    except ModelFileError as error:
        error.file = error.file or name
        raise


def parse_archive(name: str, source: Source) -> Archive:
    """Recognize the container that bytes hold, and return what Keras saved in it.

    Raises:
        ModelFileError: it is no model that Keras saved, or is damaged.
    """
    kind = sniff(source.read(0, min(HEAD, source.size)), source.size)
    return {"hdf5": _open_hdf5, "zip": _open_zip, "json": _open_json}[kind](name, source)


def _open_json(path: str, source: Source) -> Archive:
    if source.size > MAX_JSON_BYTES:
        raise ModelFileError(f"{source.size:,} bytes of JSON", f"{MAX_JSON_BYTES:,}")
    value = json_text.parse(source.read(0, source.size), "")
    if isinstance(value, str):  # json.dump(model.to_json(), file)
        value = json_text.parse(value.encode("utf-8"), "")
    if isinstance(value, dict) and "weight_map" in value:
        raise ModelFileError(*SHARDED)
    if not isinstance(value, dict) or "class_name" not in value or "config" not in value:
        raise ModelFileError("JSON that is no config of a model", "what model.to_json() returns")
    version, backend = _text(value.get("keras_version")), _text(value.get("backend"))
    return Archive(path, "config (JSON)", value, version=version, backend=backend)


def _open_hdf5(path: str, source: Source) -> Archive:
    root = open_hdf5(source)
    attributes = root.attributes
    version, backend = (_text(attributes.get(key)) for key in ("keras_version", "backend"))
    if "model_config" in attributes:
        config = _json_attribute(root, "model_config")
        training = _json_attribute(root, "training_config") if "training_config" in attributes else None
        group = root.get("model_weights")
        weights = legacy_weights(group, root) if isinstance(group, Group) else None
        if isinstance(weights, LegacyWeights):
            version, backend = version or weights.version, backend or weights.backend
        if not isinstance(config, dict):
            raise ModelFileError(quote(config), "an object", place="model_config")
        version = version or _text(config.get("keras_version"))
        place = "model_config"
        return Archive(path, "whole model (HDF5)", config, place, version, backend, training, weights)
    if "layer_names" in attributes or "layer_names0" in attributes:
        return Archive(
            path, "weights (HDF5)", version=version, backend=backend, weights=legacy_weights(root, root)
        )
    group = root.get("model_weights")
    if isinstance(group, Group):
        old = legacy_weights(group, root)
        return Archive(path, "weights (HDF5)", version=old.version, backend=old.backend, weights=old)
    if any(name in root.members for name in (*CONTAINERS, "vars")):
        return Archive(path, "weights (.weights.h5)", weights=object_weights(root))
    raise ModelFileError("an HDF5 file that is no Keras model", KERAS)


def _json_attribute(root: Group, key: str) -> Json:
    value = root.attributes[key]
    if not isinstance(value, str):
        raise ModelFileError("an attribute that is no text", "JSON", place=key)
    return json_text.parse(value.encode("utf-8"), key)


def _open_zip(path: str, source: Source) -> Archive:
    refused: list[str] = []

    def is_expected(name: str) -> bool:
        refused.append(name)
        return name in (CONFIG, METADATA, WEIGHTS_H5, WEIGHTS_NPZ) or name.startswith("assets/")

    try:
        found = members(source, is_expected)
    except ModelFileError as error:
        raise _other_zip(refused[-1] if refused else "") or error from None
    if CONFIG not in found:
        raise ModelFileError(f"a zip without {CONFIG}", KERAS)
    config = _json_member(found, CONFIG)
    if not isinstance(config, dict):
        raise ModelFileError(quote(config), "an object", place=CONFIG)
    metadata = _json_member(found, METADATA) if METADATA in found else {}
    version = _text(metadata.get("keras_version")) if isinstance(metadata, dict) else ""
    training = config.get("compile_config")
    weights: Weights | None = None
    if WEIGHTS_H5 in found and WEIGHTS_NPZ in found:
        raise ModelFileError("weights twice, as HDF5 and as .npz", "one of them")
    for name in (WEIGHTS_H5, WEIGHTS_NPZ):
        if name in found:
            weights = _weights_member(name, found[name])
    assets = tuple(sorted(name for name in found if name.startswith("assets/")))
    return Archive(path, "archive (.keras)", config, CONFIG, version, "", training, weights, assets)


def _weights_member(name: str, source: Source) -> Weights:
    try:
        return object_weights(open_hdf5(source)) if name == WEIGHTS_H5 else npz_weights(arrays(source))
    except ModelFileError as error:
        error.place = f"{name}{error.place and ' '}{error.place}"
        raise


def _json_member(found: dict[str, Source], name: str) -> Json:
    source = found[name]
    if source.size > MAX_JSON_BYTES:
        raise ModelFileError(f"{source.size:,} bytes of JSON", f"{MAX_JSON_BYTES:,}", place=name)
    try:
        source.verify()
        data = source.read(0, source.size)
    except ModelFileError as error:
        error.place = name
        raise
    return json_text.parse(data, name)


def _other_zip(name: str) -> ModelFileError | None:
    """Say what a zip is whose member no Keras archive has."""
    base = name.rsplit("/", 1)[-1]
    if name in (CONFIG, METADATA, WEIGHTS_H5, WEIGHTS_NPZ) or name.startswith("assets/") or not name:
        return None
    if name == WEIGHTS_SHARDED or (base.startswith("model_") and base.endswith(".weights.h5")):
        return ModelFileError(*SHARDED)
    if base.endswith(".pkl"):
        return ModelFileError("a PyTorch checkpoint", "nothing to port: load it with torch")
    if base.endswith(".npy"):
        return ModelFileError("NumPy arrays (.npz), no model", f"{KERAS}; arrays go with weights=")
    if base in ("saved_model.pb", "keras_metadata.pb"):
        return ModelFileError(
            "a zipped TensorFlow SavedModel", "unpack it, load it with TensorFlow, save it as .keras"
        )
    if name.startswith(("word/", "xl/", "ppt/", "META-INF/", "[Content_Types]")):
        return ModelFileError("an office document or a Java archive", KERAS)
    if base in (CONFIG, METADATA, WEIGHTS_H5) and "__MACOSX" not in name:
        return ModelFileError(
            f"a .keras archive inside of the folder {quote(name[: -len(base)])}",
            "its files at the top of the zip",
        )
    return None


def open_weights(path: str | os.PathLike[str]) -> Weights:
    """Open a file and return the weights in it: of a whole model, or by themselves.

    Raises:
        OSError: the file cannot be opened.
        ModelFileError: it holds no weights.
    """
    name = os.fsdecode(path)
    try:
        source = None if os.path.isdir(name) else FileSource(name)
        head = source.read(0, min(HEAD, source.size)) if source else b""
        if source and head.startswith(b"PK\3\4") and b".npy" in head[:300]:
            return npz_weights(arrays(source))
    except ModelFileError as error:
        error.file = error.file or name
        raise
    weights = open_archive(path).weights
    if weights is None:
        raise ModelFileError("a config without weights", "a file of weights", file=name)
    return weights


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 64 else ""

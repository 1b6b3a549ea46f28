"""Recognize a file by its first bytes: HDF5, zip or JSON, or another kind, which is refused with advice.

For another kind the error says what it is and what to do.
"""

import os
import re

from batchdot.porting.errors import ModelFileError

HEAD = 1024
"""Bytes that are looked at: a tar file names itself at byte 257."""

KERAS = "a model that Keras saved: .keras, .h5, .weights.h5, or the JSON of to_json()"

UNPACK = "unpack it first, and give the model inside"
TORCH = "nothing to port: load it with torch.load(..., weights_only=True)"

TORCH_MEMBER = re.compile(rb"[^/\0]{1,250}/(data\.pkl|\.format_version|\.data/serialization_id)")
"""What the first member of a zip that torch.save wrote is called."""

SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs", "a git-lfs pointer, not the file itself", "the file: git lfs pull"),
    (0, b"\x1f\x8b", "a gzip archive", UNPACK),
    (0, b"BZh", "a bzip2 archive", UNPACK),
    (0, b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!", "a rar archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", KERAS),
    (0, b"\x80\x02\x8a\x0al\xfc\x9cF", "a PyTorch checkpoint", TORCH),
    (4, b"TFL3", "a TensorFlow Lite model", "the Keras model that it was made from"),
    (0, b"GGUF", "a GGUF file of weights", KERAS),
    (0, b"%PDF", "a PDF document", KERAS),
    (0, b"\x7fELF", "a program", KERAS),
    (0, b"MZ", "a program", KERAS),
    (0, b"\x89PNG", "a picture", KERAS),
    (0, b"\xff\xd8\xff", "a picture", KERAS),
    (0, b"SQLite format 3", "an SQLite database", KERAS),
    (
        0,
        b"model_checkpoint_path:",
        "the index of a TensorFlow checkpoint",
        "save the model with model.save(...)",
    ),
)

SAVED_MODEL = "a TensorFlow SavedModel", 'load it with TensorFlow and save it with model.save("model.keras")'


def sniff(head: bytes, size: int) -> str:
    """Return "hdf5", "zip" or "json".

    Args:
        head: the first `HEAD` bytes of a file.
        size: bytes of the whole file.

    Raises:
        ModelFileError: the file is something else; the error says what.

    >>> sniff(b'{"class_name": "Sequential"}', 28)
    'json'
    >>> sniff(b"<!DOCTYPE html>", 15)
    Traceback (most recent call last):
    ...
    batchdot.porting.errors.ModelFileError: found a web page, saved in the place of the file; \
allowed: the file itself: download it again
    """
    if not size:
        raise ModelFileError("an empty file", KERAS)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"PK\3\4"):
        if TORCH_MEMBER.match(head[30:]):
            raise ModelFileError("a PyTorch checkpoint", TORCH)
        return "zip"
    for at, signature, what, advice in SIGNATURES:
        if head.startswith(signature, at):
            raise ModelFileError(what, advice)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] in (b"{", b"[", b'"'):
        return "json"
    raise _other(head, text)


def _other(head: bytes, text: bytes) -> ModelFileError:
    lower = text[:256].lower()
    if lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return ModelFileError(
            "a web page, saved in the place of the file", "the file itself: download it again"
        )
    if lower.startswith(b"<"):
        return ModelFileError("XML", KERAS)
    if re.match(rb"\x80[\x02-\x05]", head):
        return ModelFileError("a pickle, which would run code", KERAS)
    if b"{" in head[8:10] and len(head) > 10 and head[6:8] == b"\0\0":
        return ModelFileError("a safetensors file: weights without a model", KERAS)
    if head.startswith(b"\x08") and re.search(rb"onnx|pytorch|tf2onnx|skl2onnx|ir_version", head[:256]):
        return ModelFileError("an ONNX model", "the Keras model that it was made from")
    if head.startswith(b"\x08\x01\x12"):
        return ModelFileError(*SAVED_MODEL)
    if re.match(rb"\x0a.{1,4}\x0a", head, re.DOTALL):
        return ModelFileError("a TensorFlow graph (.pb)", "save the Keras model with model.save(...)")
    if re.match(rb"(?:backend|class_name|config|keras_version):", text):
        return ModelFileError("a YAML config, which Keras no longer writes", "the JSON of model.to_json()")
    if re.match(rb"import |from |#!|def |class ", text):
        return ModelFileError("source code", KERAS)
    if text and not re.search(rb"[^\t\n\r\x20-\x7e]", text):
        return ModelFileError("plain text", KERAS)
    return ModelFileError("a file of an unknown kind", KERAS)


def refuse_directory(path: str) -> None:
    """Say what a directory holds, and what to do with it.

    Raises:
        ModelFileError: always.
    """

    def holds(*names: str) -> bool:
        return any(os.path.exists(os.path.join(path, name)) for name in names)

    if holds("saved_model.pb", "saved_model.pbtxt"):
        raise ModelFileError(*SAVED_MODEL, file=path)
    if holds("config.json") and holds("model.weights.h5"):
        raise ModelFileError(
            "an unpacked .keras archive",
            "its files as one archive: zip model.keras config.json metadata.json model.weights.h5",
            file=path,
        )
    if holds("checkpoint"):
        raise ModelFileError("a TensorFlow checkpoint", "save the model with model.save(...)", file=path)
    raise ModelFileError("a directory", KERAS, file=path)

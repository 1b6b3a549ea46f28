"""Files of other kinds under the name of a model: one sentence each."""

import pickle
import struct

from tests.support.porting.attacks.registry import attack_for

attack = attack_for(".h5")

OTHERS = {
    "empty": (b"", "an empty file"),
    "one_byte": (b"\x89", "unknown kind"),
    "web_page": (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "xml_error_of_a_bucket": (b"<?xml version='1.0'?><Error>NoSuchKey</Error>", "XML"),
    "git_lfs_pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
        "git-lfs pointer.*git lfs pull",
    ),
    "pickle_of_protocol_4": (pickle.dumps({"a": 1}, 4), "a pickle, which would run code"),
    "pickle_of_protocol_2": (pickle.dumps({"a": 1}, 2), "a pickle, which would run code"),
    "torch_checkpoint_of_old": (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "PyTorch checkpoint"),
    "numpy_array": (b"\x93NUMPY\x01\x00v\x00{}", "NumPy array"),
    "tflite": (b"\x1c\0\0\0TFL3\0\0", "TensorFlow Lite"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x05" + b"2.1.0", "ONNX"),
    "saved_model_pb": (b"\x08\x01\x12\xa0\x03\x0a\x05", "SavedModel"),
    "frozen_graph_pb": (b"\x0a\x1f\x0a\x05input\x12\x0bPlaceholder", "TensorFlow graph"),
    "safetensors": (struct.pack("<Q", 40) + b'{"a":{"dtype":"F32"}}', "safetensors"),
    "gzip": (b"\x1f\x8b\x08\0\0", "gzip.*unpack"),
    "tar": (b"x" * 257 + b"ustar\0", "tar.*unpack"),
    "rar": (b"Rar!\x1a\x07", "rar.*unpack"),
    "checkpoint_index": (b'model_checkpoint_path: "ckpt-1"\n', "TensorFlow checkpoint"),
    "yaml": (b"backend: tensorflow\nclass_name: Model\n", "YAML"),
    "source": (b"import keras\nmodel = keras.Model()\n", "source code"),
    "plain_text": (b"hello, here is your model\n", "plain text"),
    "noise": (bytes(range(200, 256)) * 10, "unknown kind"),
    "zeros": (bytes(1000), "unknown kind"),
    "office_document": (b"PK\3\4" + b"\0" * 100, "end record"),
    "picture": (b"\x89PNG\r\n\x1a\n", "a picture"),
}

for _name, (_data, _refused) in OTHERS.items():

    def _build(data=_data):
        return data

    _build.__name__ = _name
    attack(_refused)(_build)

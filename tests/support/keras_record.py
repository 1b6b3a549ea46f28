"""What Keras answers to the questions of tests, recorded in tests/data/keras and compared with live Keras.

A question is a function at the top of a test file that runs live Keras and returns what it found: numbers,
texts, arrays, lists, tuples and dictionaries of those. A test calls it through the fixture ``keras_says``:

    def keras_output(name, shape):
        return np.asarray(getattr(tf_keras.activations, name)(np.ones(shape)))

    def test_values(name, keras_says):
        wanted = keras_says(keras_output, name, (2, 3))

pytest then runs the test twice: once with the recorded answer, and once, marked ``keras``, with the answer
of live Keras, which has to be the recorded one. ``make record-keras`` rewrites the record.
"""

import json
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import ROOT

FOLDER = ROOT / "tests" / "data" / "keras"
TOLERANCE = {"float16": 2e-3, "float32": 2e-5, "float64": 2e-5}
"""Relative and absolute difference allowed between machines: Keras computes in float32 now and then."""


RECORDS: dict[Path, dict[str, Any]] = {}
"""Of every file read or rewritten: from the text of a call to its encoded answer."""

LIVE: dict[tuple[Path, str], Any] = {}
"""What live Keras has answered and was compared: each question is put to it once."""


class KerasSays:
    """Answer a question from the record, or by live Keras.

    Args:
        live: Ask live Keras, and check that the record says the same.
        rewrite: Ask live Keras, and record what it says.
    """

    def __init__(self, live: bool, rewrite: bool = False) -> None:
        self.live, self.rewrite = live or rewrite, rewrite

    def __call__(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """Return the answer to ``question(*arguments)``; the arguments are Python literals."""
        path = FOLDER / f"{question.__module__.rpartition('.')[2].removeprefix('test_')}.json"
        key = f"{question.__name__}{arguments!r}"
        literal_eval(repr(arguments))  # fails for anything whose text does not say what it is
        if path not in RECORDS:
            RECORDS[path] = {} if self.rewrite else json.loads(path.read_text(encoding="utf-8"))
        record = RECORDS[path]
        if not self.live:
            if key not in record:
                pytest.fail(f"{path.name} has no answer to {key}; `make record-keras` records it.")
            return decode(record[key])
        if (path, key) not in LIVE:
            encoded = json.loads(json.dumps(encode(question(*arguments))))
            if self.rewrite:
                record[key] = encoded
            else:
                assert_same(decode(encoded), decode(record[key]), key)
            LIVE[path, key] = encoded
        return decode(LIVE[path, key])


def save(whole: bool) -> None:
    """Write every record that was rewritten, an answer a line; what was not asked goes where all was."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, rewritten in RECORDS.items():
        kept = {} if whole or not path.exists() else json.loads(path.read_text(encoding="utf-8"))
        record = kept | rewritten
        lines = [f"{json.dumps(key)}: {json.dumps(answer)}" for key, answer in sorted(record.items())]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def encode(value: Any) -> Any:
    """Return a value as JSON has it: arrays with their dtype, tuples apart from lists."""
    if isinstance(value, np.ndarray | np.generic):
        # The shortest text that reads as the same float16 or float32.
        numbers = [float(str(x)) if value.dtype.kind == "f" else x.item() for x in np.asarray(value).flat]
        return {"dtype": str(value.dtype), "shape": list(value.shape), "numbers": numbers}
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in value]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {"pairs": [[key, encode(item)] for key, item in value.items()]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"An answer of Keras holds a {type(value).__name__}, which the record cannot: {value!r}")


def decode(value: Any) -> Any:
    """Return what `encode` was given."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(decode(item) for item in value["tuple"])
    if "pairs" in value:
        return {key: decode(item) for key, item in value["pairs"]}
    return np.array(value["numbers"], value["dtype"]).reshape(value["shape"])


def assert_same(live: Any, recorded: Any, key: str) -> None:
    """Check that live Keras says what is recorded; floating-point numbers within `TOLERANCE`."""
    assert type(live) is type(recorded), key
    if isinstance(live, np.ndarray):
        assert (live.dtype, live.shape) == (recorded.dtype, recorded.shape), key
        tolerance = TOLERANCE.get(str(live.dtype), 0)
        np.testing.assert_allclose(live, recorded, rtol=tolerance, atol=tolerance / 10, err_msg=key)
    elif isinstance(live, dict):
        assert list(live) == list(recorded), key
        assert_same(list(live.values()), list(recorded.values()), key)
    elif isinstance(live, list | tuple):
        assert len(live) == len(recorded), key
        for mine, other in zip(live, recorded, strict=True):
            assert_same(mine, other, key)
    elif isinstance(live, float):
        assert live == pytest.approx(recorded, rel=TOLERANCE["float32"], nan_ok=True), key
    else:
        assert live == recorded, key

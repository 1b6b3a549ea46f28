"""pytest plugin: records which functions of src/batchdot each test calls.

It is given by ``-p tests.support.mutation.touched`` and writes to the file that BATCHDOT_TOUCHED names.
"""

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

import batchdot

ROOT = str(Path(batchdot.__file__).parent) + os.sep
_of_package: dict[CodeType, str] = {}
_touched: dict[str, set[str]] = defaultdict(set)
_current: set[str] = set()


def _profile(frame: FrameType, event: str, argument: object) -> None:
    if event != "call":
        return
    code = frame.f_code
    name = _of_package.get(code)
    if name is None:
        inside = code.co_filename.startswith(ROOT)
        name = _of_package[code] = f"{code.co_filename[len(ROOT) :]}:{code.co_firstlineno}" if inside else ""
    if name:
        _current.add(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Record one test, its fixtures included."""
    _current.clear()
    threading.setprofile(_profile)
    sys.setprofile(_profile)
    try:
        return (yield)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        _touched[item.nodeid.partition("[")[0]] |= _current


def pytest_sessionfinish() -> None:
    """Add what was recorded to the file."""
    path = Path(os.environ["BATCHDOT_TOUCHED"])
    table = json.loads(path.read_text()) if path.exists() else {}
    table |= {test: sorted(functions) for test, functions in _touched.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=0))

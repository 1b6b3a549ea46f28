"""Every hostile file is refused in a sentence or read, within the limits, and nothing else happens."""

import json
import os
import re
import socket
import time
import tracemalloc

import pytest
from tests.support.porting.attacks import ATTACKS, json_attacks
from tests.support.tiers import one_of

from batchdot import porting

MIB = 2**20


def open_it(path):
    report = porting.inspect(path)
    str(report)
    report.svg()
    json.dumps(report.data(), allow_nan=False)
    return report


@pytest.fixture(scope="module", autouse=True)
def _imported(tmp_path_factory):
    """Have everything imported before anything is measured."""
    path = tmp_path_factory.mktemp("first") / "first.json"
    path.write_bytes(json_attacks.dense())
    open_it(path)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_refused_or_read(attack, tmp_path):
    path = tmp_path / f"model{attack.suffix}"
    path.write_bytes(attack.build())
    started = time.process_time()
    try:
        open_it(path)
        said = None
    except porting.ModelFileError as error:
        said = str(error)
        place = error.file
    took = time.process_time() - started
    if attack.refused is None:
        assert said is None
    else:
        assert said is not None, "it was read"
        assert place == str(path)
        assert re.search(attack.refused, said), said
        assert len(said) < 500 + len(str(path))
        assert said.isprintable()
    assert took < 5, "a hang"


@pytest.mark.parametrize("attack", one_of(4, ATTACKS), ids=lambda attack: attack.name)
def test_attack_takes_little_memory(attack, tmp_path):
    path = tmp_path / f"model{attack.suffix}"
    path.write_bytes(attack.build())
    tracemalloc.start()
    try:
        porting.read(path)
    except porting.ModelFileError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 64 * MIB + 4 * path.stat().st_size


def test_attack_names_unique():
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names)
    assert len(names) > 150


# Paths


def fifo(path):
    os.mkfifo(path)


def directory(path):
    path.mkdir()


def saved_model(path):
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"")


def unpacked_archive(path):
    path.mkdir()
    for name in ("config.json", "model.weights.h5"):
        (path / name).write_bytes(b"")


def checkpoint(path):
    path.mkdir()
    (path / "checkpoint").write_bytes(b"")


def unix_socket(path):
    socket.socket(socket.AF_UNIX).bind(str(path))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (fifo, "a pipe"),
        (directory, "a directory"),
        (saved_model, "SavedModel.*load it with TensorFlow"),
        (unpacked_archive, "an unpacked .keras archive.*zip"),
        (checkpoint, "a TensorFlow checkpoint"),
        (unix_socket, "a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.skipif(os.name != "posix", reason="named pipes and sockets of POSIX")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_path_that_is_no_file_refused(make, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(tmp_path / "m")
    with pytest.raises(porting.ModelFileError, match=said):
        porting.read("m" if make is not unix_socket else tmp_path / "m")


def loop(path):
    path.symlink_to(path)


def dangling(path):
    path.symlink_to(path.with_name("nothing"))


@pytest.mark.parametrize("make", [loop, dangling, lambda path: None], ids=["loop", "dangling", "missing"])
def test_path_that_cannot_be_opened_stays_oserror(make, tmp_path):
    make(tmp_path / "m.h5")
    with pytest.raises(OSError, match=r"m\.h5"):
        porting.read(tmp_path / "m.h5")

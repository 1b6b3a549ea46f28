"""While a hostile file is read, nothing is imported, executed, fetched or opened but the file itself."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support import ROOT

import batchdot

SOURCES = Path(batchdot.__file__).parent.parent

PROGRAM = textwrap.dedent(
    """
    import os, sys, json
    sys.path[:0] = [{sources!r}, {root!r}]
    from tests.support.porting.attacks import ATTACKS, json_attacks
    from tests.support.porting.corpus import fixture_files
    from batchdot import porting

    files = [(one.name, one.suffix, one.build()) for one in ATTACKS if "thousand" not in one.name]
    files += [(name, ".bin", data) for name, data in fixture_files()[:200]]
    place = os.path.join({work!r}, "model")
    open(place, "wb").write(json_attacks.dense())
    str(porting.inspect(place)), porting.inspect(place).svg(), json.dumps(porting.inspect(place).data())
    watched = (
        "import exec compile open os.system os.exec os.posix_spawn os.spawn os.fork subprocess.Popen socket "
        "ctypes marshal.loads pickle.find_class shutil os.remove os.rename os.mkdir mmap.__new__ "
        "urllib.Request tempfile glob.glob os.listdir os.scandir"
    ).split()
    groups = ("socket", "ctypes", "shutil", "tempfile")
    seen = []

    def hook(event, arguments):
        if not reading:
            return
        name = event.split(".")[0] if event.split(".")[0] in groups else event
        if name == "open" and arguments[0] == place:
            opened.append(place)
        elif name in watched:
            seen.append((current, event, repr(arguments)[:200]))

    reading, current, opened = False, "", []
    sys.addaudithook(hook)
    for current, suffix, data in files:
        with open(place, "wb") as file:
            file.write(data)
        opened.clear()
        reading = True
        try:
            report = porting.inspect(place)
            str(report), report.svg(), report.data()
        except porting.ModelFileError as error:
            str(error)
        finally:
            reading = False
        assert len(opened) <= 1, (current, opened)
    print(json.dumps([len(files), seen]))
    """
)


def run(program, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hostile_files_nothing_runs(tmp_path):
    count, seen = json.loads(run(PROGRAM.format(sources=str(SOURCES), root=str(ROOT), work=str(tmp_path))))
    assert count > 300
    assert seen == []


def test_hook_sees_an_import_and_a_file(tmp_path):
    """The test above could not fail if the hook were blind."""
    program = PROGRAM.replace(
        "report = porting.inspect(place)", "report = porting.inspect(place); import this; open(os.devnull)", 1
    )
    _, seen = json.loads(
        run(program.format(sources=str(SOURCES), root=str(ROOT), work=str(tmp_path))).splitlines()[-1]
    )
    assert {"import", "open"} <= {event for _, event, _ in seen}

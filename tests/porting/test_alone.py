"""Every port of the corpus, saved: it runs with torch and safetensors alone, and passes ruff and mypy."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.support.porting import alone
from tests.support.porting.corpus import WHOLE, WHY_NOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not WHOLE, reason=WHY_NOT)]

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ports")


@pytest.fixture(scope="module")
def verdicts(folder):
    found = {}
    for version in alone.versions():
        (folder / version).mkdir()
        found |= alone.run_alone(version, folder / version)
    return found


def test_saved_ports_agree_with_keras(verdicts):
    assert {path: verdict for path, verdict in verdicts.items() if verdict.startswith("wrong")} == {}
    assert Counter(verdict.partition(":")[0] for verdict in verdicts.values())["right"] > 1500


def test_table_of_files_is_current(verdicts):
    assert alone.generated(alone.PAGE.read_text(encoding="utf-8")) == alone.table(verdicts)


@pytest.fixture(scope="module")
def texts(folder, verdicts):
    """Return a folder of all ported files that differ in more than their first line."""
    flat = folder / "flat"
    flat.mkdir()
    known = set()
    for path in sorted(folder.glob("*/m*.py")):
        _, _, rest = path.read_text().partition("\n")
        if rest not in known:
            known.add(rest)
            (flat / f"{path.parent.name.replace('.', '_')}_{path.name}").write_text(path.read_text())
    assert len(known) > 100
    return flat


@pytest.mark.parametrize(
    "command",
    ["ruff format --isolated --check --quiet", "ruff check --isolated --quiet", "mypy --config-file= "],
)
def test_saved_ports_pass(command, texts):
    name, *options = command.split()
    if shutil.which(name, path=str(BIN)) is None:
        pytest.skip(f"{name} is not installed")
    process = subprocess.run(
        [BIN / name, *options, "."], cwd=texts, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout[-5000:] + process.stderr[-2000:]

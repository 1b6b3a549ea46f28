"""The saved models that the tests read: the selection that is committed, or the whole corpus where it is."""

import functools
import os
import tarfile
from pathlib import Path

from tests.support import ROOT

from batchdot import porting
from batchdot.porting import ModelRecord

FIXTURES = ROOT / "tests" / "porting" / "fixtures"
WHOLE = os.environ.get("BATCHDOT_KERAS_CORPUS")
WHY_NOT = "BATCHDOT_KERAS_CORPUS does not name the folder of files that 16 versions of Keras saved"


@functools.cache
def fixture_files():
    """Return name and bytes of every committed file, as a tuple."""
    files = []
    with tarfile.open(FIXTURES / "corpus.tar.xz") as archive:
        files += [(entry.name, archive.extractfile(entry).read()) for entry in archive]
    files += [(f"hdf5/{path.name}", path.read_bytes()) for path in sorted((FIXTURES / "hdf5").glob("*.h5"))]
    return tuple(files)


def whole_corpus():
    """Return the paths of all models of the whole corpus, of weights too, or nothing where it is not."""
    if not WHOLE:
        return []
    return [path for path in sorted(Path(WHOLE).glob("*/*")) if is_model(path.name)]


def is_model(name):
    return not name.endswith(".npz") and name.rsplit("/", 1)[-1] not in ("index.json", "weights.json")


def read_model(path: Path) -> ModelRecord | None:
    """Read a model; weights by themselves go with the config beside them, and are None without one."""
    if not path.name.endswith((".w.h5", ".weights.h5")):
        return porting.read(path)
    config = path.with_name(path.name.split(".")[0] + ".json")
    return porting.read(config, weights=path) if config.exists() else None

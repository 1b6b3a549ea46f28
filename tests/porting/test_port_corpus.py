"""Every file of the corpus, ported, computes what Keras predicted; ``-k tf2.6/04`` selects.

The whole is loaded where it is; of its committed part one file of each model and version.
"""

import itertools
from collections import Counter

import pytest
from tests.support.porting.corpus import WHOLE, WHY_NOT, fixture_files, is_model
from tests.support.porting.ported import (
    CUSTOM,
    REFUSED,
    allowed,
    comparable,
    differences,
    is_refused,
)

from batchdot import porting

COMMITTED = sorted({name.split("/")[0] for name, _ in fixture_files() if name.count("/") == 1} - {"hdf5"})


def assert_agrees(path):
    """Compare all outputs; a refusal has to be one that the table expects."""
    name, refusal, found = f"{path.parent.name}/{path.name}", None, {}
    try:
        found = differences(path, custom=CUSTOM)
    except porting.NotPortableError as error:
        refusal = error
    if refusal is not None:
        assert is_refused(path, refusal), f"{name}: {refusal}"
        return "refused"
    assert found, f"{name}: nothing is compared"
    assert all(value <= allowed(path) for value in found.values()), f"{name}: {found}"
    return "right"


def one_each(paths):
    """Return one file a model, from each container in turn: all hold the same, says test_corpus."""
    models = [list(group) for _, group in itertools.groupby(paths, key=lambda path: path.name.split(".")[0])]
    return [files[number % len(files)] for number, files in enumerate(models)]


@pytest.mark.skipif(bool(WHOLE), reason="they are files of the corpus, which are all loaded")
@pytest.mark.parametrize("version", COMMITTED)
def test_load_of_committed_models_agrees_with_keras(version, fixtures):
    paths = comparable(path for path in sorted((fixtures / version).iterdir()) if is_model(path.name))
    verdicts = Counter(map(assert_agrees, one_each(paths)))
    assert verdicts["right"] > 5


@pytest.mark.skipif(not WHOLE, reason=WHY_NOT)
@pytest.mark.parametrize("path", comparable(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_load_of_corpus_file_agrees_with_keras(path):
    verdict = assert_agrees(path)
    assert (verdict == "refused") == ((path.parent.name, path.name.split(".")[0]) in REFUSED)

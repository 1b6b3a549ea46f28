"""Every file of the whole corpus, ported, computes what Keras predicted; ``-k tf2.6/04`` selects."""

import pytest
from tests.support.porting.corpus import WHOLE, WHY_NOT
from tests.support.porting.ported import allowed, comparable, differences

from batchdot import porting


@pytest.mark.skipif(not WHOLE, reason=WHY_NOT)
@pytest.mark.parametrize("path", comparable(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_load_of_corpus_file_agrees_with_keras(path):
    try:
        found = differences(path)
    except porting.NotPortableError as refusal:
        pytest.skip(str(refusal))
    assert all(value <= allowed(path) for value in found.values()), found

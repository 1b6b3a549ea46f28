"""The committed part of the corpus, unpacked."""

from pathlib import Path

import pytest
from tests.support.porting.corpus import fixture_files


@pytest.fixture(scope="session")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the committed saved models: one folder for each version of Keras."""
    folder: Path = tmp_path_factory.mktemp("corpus")
    for name, data in fixture_files():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return folder

"""The folders of tests are those of src/batchdot, so that the tests of a module are found by its path."""

import pytest
from tests.support import ROOT

TESTS, PACKAGE = ROOT / "tests", ROOT / "src" / "batchdot"

BESIDE = {"benchmarks", "data", "documents", "examples", "support", "tutorials"}
"""Folders of tests that stand for no package."""

FOLDERS = sorted({str(path.parent.relative_to(TESTS)) for path in TESTS.rglob("test_*.py")} - BESIDE - {"."})


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_mirrors_package(folder: str) -> None:
    assert (PACKAGE / folder / "__init__.py").exists()


def test_every_folder_is_looked_at() -> None:
    assert {"layers", "layers/base", "models", "ops"} <= set(FOLDERS)


def test_no_test_module_beside_its_folder() -> None:
    """`test_ops.py` at the root would be the tests of the module `ops`, which is a package."""
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert not packages & {path.stem.removeprefix("test_") for path in TESTS.glob("test_*.py")}

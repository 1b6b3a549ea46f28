"""Write fixtures/corpus.tar.xz: a selection of the corpus of files that 16 versions of Keras saved.

Run it by hand: ``BATCHDOT_KERAS_CORPUS=... python -m tests.support.porting.make_corpus_fixture``.
"""

import io
import lzma
import os
import tarfile
from pathlib import Path

from tests.porting.record.test_versions import ROWS
from tests.support.porting.corpus import FIXTURES

EVERYWHERE = ("01_mf", "11_nested", "18_merge")


def main():
    compared = {(name, model) for model, *names, _ in ROWS for name in names}
    corpus = Path(os.environ["BATCHDOT_KERAS_CORPUS"])
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive_file(archive, corpus / "suspect.json", "suspect.json")
        versions = sorted(path for path in corpus.iterdir() if path.is_dir())
        for number, version in enumerate(versions):
            models = sorted({path.name.split(".")[0] for path in version.iterdir()} - {"index", "weights"})
            for model in models:
                if (
                    model in EVERYWHERE
                    or (version.name, model) in compared
                    or (sum(model.encode()) + number) % 3 == 0
                ):
                    for path in sorted(version.glob(model + ".*")):
                        archive_file(archive, path, f"{version.name}/{path.name}")
    target = FIXTURES / "corpus.tar.xz"
    target.write_bytes(lzma.compress(raw.getvalue(), preset=9))
    print(f"{target}: {target.stat().st_size:,} bytes")


def archive_file(archive, path, name):
    entry = tarfile.TarInfo(name)
    entry.size = path.stat().st_size
    with open(path, "rb") as file:
        archive.addfile(entry, file)


if __name__ == "__main__":
    main()

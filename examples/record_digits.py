"""Record digits.npy and digit_labels.npy from the digits that scikit-learn bundles. See DIGITS.md."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits  # type: ignore[import-untyped]


def main() -> None:
    """Write both files beside this script."""
    folder = Path(__file__).parent
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    if not (images == digits.images).all():
        raise ValueError("the digits are no longer whole numbers that uint8 holds")
    np.save(folder / "digits.npy", images)
    np.save(folder / "digit_labels.npy", digits.target.astype(np.uint8))


if __name__ == "__main__":
    main()

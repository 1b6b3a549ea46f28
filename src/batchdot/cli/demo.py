"""`batchdot demo`: nearest-neighbour classification of real handwritten digits by cosine similarity.

Held-out digits are classified by their nearest neighbour among the others. The results are compared with
recorded outputs of Keras, and the time with plain PyTorch. Source of the data: examples/DIGITS.md.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from batchdot.convert import Array
from batchdot.explanation.explain import Explanation, explain
from batchdot.ops.functional import batch_dot
from batchdot.streaming.dot import dot_files

ACCURACY = 0.97
"""Lower bound on the accuracy."""

COSINE_TOLERANCE = 1e-6
"""Upper bound on the difference from Keras: tf_keras itself is up to 3.5 float32 eps from the exact one."""

KERAS_QUERIES = slice(None, None, 12)
KERAS_OTHERS = slice(None, None, 14)
"""The subsets of the held-out and the other digits for which outputs of Keras are recorded."""

ROUNDS = 11
"""Number of timed rounds, after one warm-up round."""

ENGINES = ("tf_keras 2.21.0", "keras 3.15.1")


@dataclass(frozen=True, slots=True)
class Digits:
    """Images as rows of 64 pixels; every fifth image is held out for classification.

    Attributes:
        held_out: uint8 (360, 64).
        held_out_labels: uint8 (360,).
        others: uint8 (1437, 64).
        other_labels: uint8 (1437,).
    """

    held_out: Array
    held_out_labels: Array
    others: Array
    other_labels: Array


def run() -> bool:
    """Run the demo, print the results, and return whether accuracy and agreement are as promised."""
    digits = load_digits()
    x, y = (images[None].astype(np.float32) for images in (digits.held_out, digits.others))
    start = time.perf_counter()
    dots, cosines = (_dot_through_files(x, y, normalize) for normalize in (False, True))
    seconds = (time.perf_counter() - start) / 2
    counts = len(digits.held_out), len(digits.others)
    print("{} handwritten digits, each recognized by its nearest neighbour among {} others".format(*counts))
    print("(UCI Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, CC BY 4.0)\n")
    print("  batchdot dot held_out.npy others.npy --axes 2 --normalize -o cosines.npy")
    print(f"  {x.shape} and {y.shape} give {cosines.shape}, in {seconds * 1e3:.0f} ms from file to file\n")
    accurate = _report_accuracy(digits, cosines)
    what = explain(x.shape, y.shape, axes=2, normalize=True)
    print("\nWhat was computed\n")
    print("\n".join(f"  {line}".rstrip() for line in str(what).splitlines()))
    print("\nAgreement with Keras, recorded\n")
    agrees = _report_agreement(dots[0], cosines[0])
    print("\nTime, the median of runs side by side\n")
    _report_time(torch.from_numpy(x), torch.from_numpy(y), what)
    print("\nAll as promised." if accurate and agrees else "\nFAILED: not as promised, see above.")
    return accurate and agrees


def load_digits() -> Digits:
    """Load the digits that are installed with the package.

    >>> digits = load_digits()
    >>> digits.held_out.shape, digits.others.shape
    ((360, 64), (1437, 64))
    """
    images, labels = _load("digits.npy").reshape(-1, 64), _load("digit_labels.npy")
    held_out = np.arange(len(images)) % 5 == 0
    return Digits(images[held_out], labels[held_out], images[~held_out], labels[~held_out])


def _load(name: str) -> Array:
    content = files("batchdot.examples").joinpath(name).read_bytes()
    array: Array = np.load(BytesIO(content), allow_pickle=False)
    return array


def _dot_through_files(x: Array, y: Array, normalize: bool) -> Array:
    """Make the library call of `batchdot dot`, from two .npy files to a third."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "held_out.npy", x)
        np.save(folder / "others.npy", y)
        out = folder / "out.npy"
        dot_files(folder / "held_out.npy", folder / "others.npy", out, axes=2, normalize=normalize)
        result: Array = np.load(out, allow_pickle=False)
        return result


def _report_accuracy(digits: Digits, cosines: Array) -> bool:
    nearest = digits.other_labels[cosines[0].argmax(axis=1)]
    right = int((nearest == digits.held_out_labels).sum())
    accuracy = right / len(nearest)
    print(f"  {right} of {len(nearest)} recognized: {accuracy:.2%} (promised: above {ACCURACY:.0%})")
    return accuracy > ACCURACY


def _report_agreement(dots: Array, cosines: Array) -> bool:
    """Compare with recorded outputs of Keras. Dot products of integers in float32 are exact here."""
    recorded = _load("keras_outputs.npy")
    agrees = True
    for engine, (keras_dots, keras_cosines) in zip(ENGINES, recorded, strict=True):
        cases = (("dot", dots, keras_dots, 0.0), ("cosine", cosines, keras_cosines, COSINE_TOLERANCE))
        for name, ours, theirs, tolerance in cases:
            difference = float(np.abs(ours[KERAS_QUERIES, KERAS_OTHERS] - theirs).max())
            agrees = agrees and difference <= tolerance
            print(
                f"  {engine:<16} {name:<7} {theirs.size:,} values, largest difference {difference:<8.2g} "
                f"(promised: {f'at most {tolerance:g}' if tolerance else 'none'})"
            )
    return agrees


def _report_time(x: Tensor, y: Tensor, what: Explanation) -> None:
    plain = eval(f"lambda x, y: {what.plain_torch}", {"torch": torch})  # a line of our own
    rivals: dict[str, Callable[[], Any]] = {
        "batchdot.batch_dot": lambda: batch_dot(x, y, axes=2, normalize=True),
        "the plain PyTorch line above": lambda: plain(x, y),
        "torch.nn.functional.cosine_similarity": lambda: torch.nn.functional.cosine_similarity(
            x[:, :, None], y[:, None], dim=-1
        ),
    }
    medians = _medians(list(rivals.values()))
    for name, median in zip(rivals, medians, strict=True):
        ratio = "" if median == medians[0] else f"   {median / medians[0]:.2f} times as long"
        print(f"  {name:<38} {median * 1e3:9.3f} ms{ratio}")


def _medians(functions: list[Callable[[], Any]]) -> list[float]:
    """Time functions in turns, so that other load on the machine affects all of them alike."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS + 1):
        for function, own in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            own.append(time.perf_counter() - start)
    return [statistics.median(own[1:]) for own in times]

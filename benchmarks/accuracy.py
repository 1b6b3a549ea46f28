"""Accuracy of row products and cosines in ulp, ours and the peers', against exact arithmetic.

Each is compared with its own formula, with its own lower bound on the squared norm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isfinite, log2

import torch
from torch import Tensor

from batchdot import batch_dot
from batchdot.convert import dtype_name
from batchdot.types import EPSILON
from benchmarks.baselines import BASELINES
from benchmarks.exact import as_floats, cosine_from, exact_dot, ulps
from benchmarks.keras_peers import KerasPeers, as_array
from benchmarks.keras_worker import Request
from benchmarks.measure import OURS, Record

DTYPES = ("float32", "float64", "bfloat16", "float16")
LENGTHS = (16, 128, 16384)
LONG = (1_000_000, 10_000_000)

COSINES = {OURS: "batch_dot(x, y, 1, normalize=True)"} | {
    name: BASELINES["row cosine"][name] for name in ("cosine_similarity", "elementwise", "bmm")
}
PRODUCTS = {OURS: "batch_dot(x, y, 1)"} | {
    name: BASELINES["row dot"][name] for name in ("elementwise", "bmm")
}

_FLOORS = {"cosine_similarity": 1e-16, "bmm": 0.0, "Keras 3 torch": 1e-14, "Keras 3 JAX": 1e-14}
_IDENTICAL = 10_000


@dataclass(frozen=True)
class Case:
    """Rows of random numbers of one magnitude: a power of two times a number in [1, 2).

    Attributes:
        name: description of the case.
        x: exponent of the numbers of x.
        y: exponent of the numbers of y.
        signed: whether half of the numbers are negative.
    """

    name: str
    x: int = 0
    y: int = 0
    signed: bool = False

    def rows(self, count: int, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return x and y, of shape (count, length) each."""
        generator = torch.Generator().manual_seed(length)
        tensors = []
        for exponent in (self.x, self.y):
            numbers = 1 + 0.99 * torch.rand(count, length, generator=generator, dtype=torch.float64)
            if self.signed:
                numbers *= 1 - 2 * torch.randint(2, numbers.shape, generator=generator)
            tensors.append(numbers.to(dtype) * 2.0**exponent)
        return tensors[0], tensors[1]


def cosine_cases(dtype: torch.dtype) -> list[Case]:
    """Return the magnitudes at which cosines are measured."""
    lowest, highest = _exponents(dtype)
    return [
        Case("about 1"),
        Case("about 1, both signs", signed=True),
        Case("smallest normal", lowest, lowest),
        Case("squares overflow", highest // 2 + 1, highest // 2 + 1),
        Case("largest", highest, highest),
    ]


def measure_accuracy(keras_peers: KerasPeers, quick: bool = False) -> Record:
    """Measure errors of row cosines and row products.

    Returns:
        ``cosines`` and ``products``: for each dtype, case and length, by name of the peer the largest
        error of those results that are finite, and how many are not; ``identical rows``: how many cosines
        of a row with itself are outside [-1, 1]; ``zero rows``: what cosines of zeros are; ``absent``.
    """
    record: Record = {"cosines": [], "products": [], "identical rows": {}, "zero rows": {}}
    for name in DTYPES:
        dtype = getattr(torch, name)
        for case in cosine_cases(dtype):
            for length in LENGTHS[:2] if quick else LENGTHS:
                x, y = case.rows(_count(length), length, dtype)
                errors = _errors(_values(COSINES, x, y, keras_peers), x, y, cosine=True)
                record["cosines"].append({"dtype": name, "case": case.name, "length": length} | errors)
        for case, length in _product_cases(dtype, quick):
            x, y = case.rows(_count(length), length, dtype)
            errors = _errors(_values(PRODUCTS, x, y, keras_peers), x, y, cosine=False)
            record["products"].append({"dtype": name, "case": case.name, "length": length} | errors)
        x, _ = Case("").rows(_IDENTICAL, 128, dtype)
        record["identical rows"][name] = {
            peer: int((values.abs() > 1).sum())
            for peer, values in _values(COSINES, x, x.clone(), keras_peers).items()
        }
        zeros = torch.zeros(1, 128, dtype=dtype)
        record["zero rows"][name] = {
            peer: str(values.item()) for peer, values in _values(COSINES, zeros, x[:1], keras_peers).items()
        }
    return record | {"identical rows tried": _IDENTICAL, "absent": keras_peers.absent}


def _product_cases(dtype: torch.dtype, quick: bool) -> Iterator[tuple[Case, int]]:
    lowest, highest = _exponents(dtype)
    for length in LENGTHS if quick else LENGTHS + LONG:
        # Scaled so that the sum is about 1.
        exponent = -ceil(log2(length) / 2)
        yield Case("sum about 1", exponent, exponent), length
    yield Case("largest times smallest normal", highest, lowest), 128


def _count(length: int) -> int:
    return max(1, min(256, (1 << 17) // length))


def _exponents(dtype: torch.dtype) -> tuple[int, int]:
    """Return the exponents of the smallest normal number and of the largest power of two."""
    info = torch.finfo(dtype)
    return round(log2(info.smallest_normal)), round(log2(info.max)) - 1


def _values(lines: dict[str, str], x: Tensor, y: Tensor, keras_peers: KerasPeers) -> dict[str, Tensor]:
    """Return the result (rows,) of each peer, as float64."""
    names = {"torch": torch, "batch_dot": batch_dot, "x": x, "y": y}
    values = {name: eval(line, names).double().flatten() for name, line in lines.items()}
    dtype = dtype_name(x.dtype)
    made, _, _ = keras_peers.make(Request(as_array(x), as_array(y), 1, lines is COSINES, dtype))
    made.pop("tf_keras graph", None)  # the same operations
    return values | {name: torch.from_numpy(arrays[0]).flatten() for name, arrays in made.items()}


def _errors(values: dict[str, Tensor], x: Tensor, y: Tensor, cosine: bool) -> Record:
    """Compare the results of each peer with the exact value of its own formula."""
    a, b = as_floats(x), as_floats(y)
    products = [exact_dot(u, v) for u, v in zip(a, b, strict=True)]
    squares = [(exact_dot(u, u), exact_dot(v, v)) for u, v in zip(a, b, strict=True)] if cosine else []
    record: Record = {"rows": len(x), "ulp": {}, "not finite": {}}
    rights: dict[float, list[Fraction]] = {}
    for name, results in values.items():
        epsilon = _FLOORS.get(name, EPSILON)
        if epsilon not in rights:
            pairs = zip(products, squares, strict=True) if cosine else ()
            rights[epsilon] = [cosine_from(p, *s, epsilon) for p, s in pairs] if cosine else products
        found = zip(results.tolist(), rights[epsilon], strict=True)
        errors = [ulps(value, right, x.dtype) for value, right in found if isfinite(value)]
        record["ulp"][name] = max(errors, default=None)
        record["not finite"][name] = len(x) - len(errors)
    return record

"""The enumeration: every axis pair of every two ranks, spelling, size class and layout.

100 axis pairs x 4 spellings x 3 size classes x 4 layouts = 4,800 cases a dtype. Nothing here comes from
the package under test.
"""

import itertools
import random
from dataclasses import dataclass
from typing import Any

import torch

RANKS = (2, 3, 4, 5)
SIZES = ("ordinary", "ones", "zeros")
LAYOUTS = ("contiguous", "permuted", "expanded", "sliced")
SPELLINGS = tuple(itertools.product((False, True), repeat=2))  # whether each axis is written negative

# Which groups of axes a degenerate size class hits, in turn: batch, free of x, free of y, contracted.
DEGENERATE = ("k", "i", "j", "b", "ij", "ik", "jk", "bij", "ijk", "bijk")
ORDINARY = {"b": (2,), "k": (5,), "i": (3, 2, 4), "j": (4, 3, 2)}


@dataclass(frozen=True)
class Case:
    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]
    axes: tuple[int, int]
    sizes: str
    x_layout: str
    y_layout: str
    number: int

    def __str__(self) -> str:
        return (
            f"case {self.number}: x {self.x_layout} {self.x_shape}, y {self.y_layout} {self.y_shape}, "
            f"axes={self.axes}"
        )

    def tensors(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(self.number)
        return (
            lay_out(values(self.x_shape, dtype, generator), self.x_layout, self.number),
            lay_out(values(self.y_shape, dtype, generator), self.y_layout, self.number + 1),
        )


def enumerate_cases(x_rank: int, y_rank: int, sample: int | None = None) -> list[Case]:
    """List the cases of two ranks. ``sample`` picks one of four spellings in turn, beginning there."""
    cases = []
    product = itertools.product(range(1, x_rank), range(1, y_rank), SIZES, range(4), range(4))
    for number, (x_axis, y_axis, sizes, layout, spelling) in enumerate(product):
        if sample is not None and (number // 4 + number // 16 + sample) % 4 != spelling:
            continue
        pattern = "" if sizes == "ordinary" else DEGENERATE[number % len(DEGENERATE)]
        degenerate = {"ordinary": 0, "ones": 1, "zeros": 0}[sizes]
        x_negative, y_negative = SPELLINGS[spelling]
        cases.append(
            Case(
                shape(x_rank, x_axis, "i", pattern, degenerate),
                shape(y_rank, y_axis, "j", pattern, degenerate),
                (x_axis - x_rank * x_negative, y_axis - y_rank * y_negative),
                sizes,
                LAYOUTS[layout],
                LAYOUTS[(layout + spelling) % 4],
                number,
            )
        )
    return cases


def shape(rank: int, axis: int, free: str, pattern: str, degenerate: int) -> tuple[int, ...]:
    sizes = {
        group: tuple(degenerate for _ in own) if group in pattern else own for group, own in ORDINARY.items()
    }
    rest = list(sizes[free][: rank - 2])
    rest.insert(axis - 1, sizes["k"][0])
    return (sizes["b"][0], *rest)


def values(shape: tuple[int, ...], dtype: torch.dtype, generator: Any = None) -> torch.Tensor:
    """Return random numbers of a dtype: normal ones, or integers of the whole range."""
    if dtype.is_floating_point or dtype.is_complex:
        wide = torch.complex128 if dtype.is_complex else torch.float64
        return torch.randn(shape, dtype=wide, generator=generator).to(dtype)
    info = torch.iinfo(dtype)
    seed = int(torch.randint(2**31, (), generator=generator))
    rng, count = random.Random(seed), torch.Size(shape).numel()
    numbers = [rng.randint(info.min, info.max) for _ in range(count)]
    return torch.tensor(numbers, dtype=dtype).reshape(shape)


def lay_out(tensor: torch.Tensor, layout: str, turn: int = 0) -> torch.Tensor:
    """Return a tensor of this shape in some memory layout; an expanded one repeats a slice of it."""
    rank = tensor.ndim
    if layout == "permuted":
        order = list(range(rank))
        random.Random(turn).shuffle(order)
        if order == sorted(order):
            order.reverse()
        back = [order.index(axis) for axis in range(rank)]
        return tensor.permute(order).contiguous().permute(back)
    if layout == "expanded":
        axis = turn % rank
        return tensor.narrow(axis, 0, min(1, tensor.shape[axis])).expand(tensor.shape)
    if layout == "sliced":
        index = tuple(slice(1, 1 + 2 * n, 2) for n in tensor.shape)
        whole = tensor.new_zeros([2 * n + 2 for n in tensor.shape])
        whole[index] = tensor
        return whole[index]
    return tensor.contiguous()

"""Where Keras's convolutions and pools put their windows, said as the arguments of PyTorch's.

"same" pads one more at the end than at the beginning where the number is odd, and how much depends on the
size of the image where the stride is more than 1; PyTorch pads both ends alike. Formulas: TensorFlow's notes
on padding in the documentation of tf.nn; a transposed convolution is the gradient of a convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ConvPadding:
    """How a convolution is padded.

    Attributes:
        module: what the module pads at both ends of each axis.
        call: what is padded before the call, at the beginning and end of each axis; None if nothing.
        measured: whether that depends on sizes which only the call knows.
    """

    module: tuple[int, ...]
    call: tuple[tuple[int, int], ...] | None = None
    measured: bool = False


@dataclass(frozen=True)
class PoolPadding:
    """How a pool is padded; what it pads counts neither for the largest value nor for the average.

    Attributes:
        module: what the module pads at both ends of each axis.
        ceil: whether the last window may reach beyond the padded image.
        skip: how many windows at the beginning of each axis are too many.
    """

    module: tuple[int, ...]
    ceil: bool = False
    skip: tuple[int, ...] = ()


@dataclass(frozen=True)
class TransposedCrop:
    """How the full result of a transposed convolution is cut to Keras's size.

    Attributes:
        padding: what the module cuts off at both ends of each axis.
        output_padding: what the module adds at the end.
        cut: what is cut off at the end after the call.
    """

    padding: tuple[int, ...]
    output_padding: tuple[int, ...]
    cut: tuple[int, ...]


def same_padding(size: int | None, kernel: int, stride: int) -> tuple[int, int] | None:
    """Return what "same" pads at the beginning and the end of one axis; None if that depends on its size.

    >>> same_padding(None, 4, 1), same_padding(12, 3, 2), same_padding(13, 3, 2), same_padding(None, 3, 2)
    ((1, 2), (0, 1), (1, 1), None)
    """
    found = {_same_padding(each, kernel, stride) for each in ([size] if size is not None else range(stride))}
    return found.pop() if len(found) == 1 else None


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max(-size % stride + kernel - stride, 0)
    return total // 2, total - total // 2


def conv_padding(
    sizes: Sequence[int | None], kernel: Sequence[int], stride: Sequence[int], padding: str
) -> ConvPadding:
    """Return how a convolution is padded.

    Args:
        sizes: of the image.
        kernel: the reach of the kernel, dilation included.
        stride: the strides.
        padding: "valid", "same" or "causal".
    """
    nothing = (0,) * len(kernel)
    if padding == "valid":
        return ConvPadding(nothing)
    if padding == "causal":
        pairs: list[tuple[int, int] | None] = [(reach - 1, 0) for reach in kernel]
    else:
        pairs = [same_padding(*axis) for axis in zip(sizes, kernel, stride, strict=True)]
    known = tuple(pair for pair in pairs if pair is not None)
    if len(known) < len(pairs):
        return ConvPadding(nothing, measured=True)
    if all(before == after for before, after in known):
        return ConvPadding(tuple(before for before, _ in known))
    return ConvPadding(nothing, known)


def pool_padding(
    sizes: Sequence[int | None], kernel: Sequence[int], stride: Sequence[int], padding: str
) -> PoolPadding | None:
    """Return how a pool is padded; None if that depends on sizes which only the call knows."""
    if padding == "valid":
        return PoolPadding((0,) * len(kernel))
    axes = [_pool_axis(*axis) for axis in zip(sizes, kernel, stride, strict=True)]
    known = [axis for axis in axes if axis is not None]
    if len(known) < len(axes):
        return None
    padded, ceil, skip = zip(*known, strict=True)
    return PoolPadding(padded, any(ceil), skip if any(skip) else ())


def _pool_axis(size: int | None, kernel: int, stride: int) -> tuple[int, bool, int] | None:
    """Return padding, whether a window reaches beyond it, and superfluous windows of one axis.

    With strides the last window may stick out (``ceil_mode``). Without, padding the larger number at both
    ends makes one window too many, at the beginning.
    """
    if stride == 1:
        return kernel // 2, False, kernel // 2 - (kernel - 1) // 2
    found = {_same_padding(each, kernel, stride) for each in ([size] if size is not None else range(stride))}
    befores = {before for before, _ in found}
    ceil = any(after > before for before, after in found)
    return (befores.pop(), ceil, 0) if len(befores) == 1 else None


def transposed_crop(
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: str,
    output_padding: Sequence[int] | None = None,
    declared: Sequence[int | None] | None = None,
) -> TransposedCrop:
    """Return how the full result of a transposed convolution, (n - 1) * stride + reach, is cut.

    Args:
        kernel: the reach of the kernel, dilation included.
        stride: the strides.
        padding: "valid" or "same".
        output_padding: Keras's argument, which decides the size of the result.
        declared: sizes of the result, which Keras 1 fixes.

    >>> transposed_crop((3, 4), (2, 2), "same")
    TransposedCrop(padding=(0, 1), output_padding=(0, 0), cut=(1, 0))
    """
    axes = []
    for axis, (reach, step) in enumerate(zip(kernel, stride, strict=True)):
        extra = None if output_padding is None else output_padding[axis]
        surplus = _surplus(reach, step, padding, extra, None if declared is None else declared[axis])
        before = max(surplus, 0) // 2 if padding == "same" else 0
        after = surplus - before
        axes.append((before, max(before - after, 0), max(after - before, 0)))
    padded, added, cut = zip(*axes, strict=True)
    return TransposedCrop(padded, added, cut)


def _surplus(reach: int, step: int, padding: str, extra: int | None, declared: int | None) -> int:
    """Return by how much the full result is longer than Keras's."""
    if declared is not None:
        steps = -(-declared // step) if padding == "same" else (declared - reach) // step + 1
        return (steps - 1) * step + reach - declared
    if extra is not None:
        return (2 * (reach // 2) if padding == "same" else 0) - extra
    return reach - step if padding == "same" else min(reach - step, 0)

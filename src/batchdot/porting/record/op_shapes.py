"""Infer the output shape of a keras.ops function from its input shapes; None where it is unknown."""

from itertools import pairwise
from math import prod

from batchdot.planning.contraction import product
from batchdot.porting.record.classes.merging import broadcast, concatenated
from batchdot.porting.record.operation_names import BINARY, REDUCTIONS, UNARY
from batchdot.porting.record.values import EllipsisIndex, FrozenMap, Shape, Slice, TensorRef, Value

SAME = {
    *UNARY,
    "softmax",
    "log_softmax",
    "normalize",
    "l2_normalize",
    "clip",
    "roll",
    "full_like",
    "cast",
    "flip",
    "cumsum",
} - {"shape"}


def infer(name: str, arguments: FrozenMap[str, Value], shape_of: dict[TensorRef, Shape]) -> tuple[Shape, ...]:
    """Return the shapes of what an operation returns."""

    def shape(key: str) -> Shape:
        value = arguments.get(key)
        if isinstance(value, TensorRef):
            return shape_of.get(value)
        return _constant(value)

    if name in SAME:
        return (shape("x"),)
    if name == "matmul":
        return (_matmul(shape("x1"), shape("x2"), arguments),)
    if name in BINARY:
        return (broadcast((shape("x1"), shape("x2"))),)
    if name == "where":
        return (broadcast((shape("condition"), shape("x1"), shape("x2"))),)
    if name in REDUCTIONS or name in ("argmax", "argmin"):
        return (_reduced(shape("x"), arguments.get("axis"), arguments.get("keepdims") is True),)
    if name in ("concatenate", "stack"):
        return (_joined(name, arguments, shape_of),)
    if name == "split":
        return _split(shape("x"), arguments.get("indices_or_sections"), arguments.get("axis"))
    if name == "unstack":
        return _unstacked(shape("x"), arguments.get("num"), arguments.get("axis"))
    if name == "einsum":
        return (_einsum(arguments, shape_of),)
    return (_moved(name, shape("x"), arguments),)


def _constant(value: Value) -> Shape:
    """Return the shape of a number, or of lists of numbers of one length."""
    sizes = []
    while isinstance(value, tuple) and value:
        sizes.append(len(value))
        value = value[0]
    return tuple(sizes) if isinstance(value, (int, float)) else None


def _einsum(arguments: FrozenMap[str, Value], shape_of: dict[TensorRef, Shape]) -> Shape:
    operands, text = arguments.get("operands"), str(arguments.get("subscripts")).replace(" ", "")
    inputs, arrow, output = text.partition("->")
    if not isinstance(operands, tuple) or not arrow or not (inputs.replace(",", "") + output).isalpha():
        return None
    sizes: dict[str, int | None] = {}
    for letters, operand in zip(inputs.split(","), operands, strict=False):
        shape = shape_of.get(operand) if isinstance(operand, TensorRef) else None
        if shape is None or len(shape) != len(letters):
            return None
        for letter, size in zip(letters, shape, strict=True):
            sizes[letter] = sizes.get(letter) or size
    return tuple(sizes.get(letter) for letter in output)


def _axis(value: Value, rank: int) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and -rank <= value < rank:
        return value % rank
    return None


def _moved(name: str, shape: Shape, arguments: FrozenMap[str, Value]) -> Shape:
    if shape is None:
        return None
    if name == "shape":
        return (len(shape),)
    if name == "expand_dims":
        axis = _axis(arguments.get("axis"), len(shape) + 1)
        return None if axis is None else (*shape[:axis], 1, *shape[axis:])
    if name == "squeeze":
        axis = _axis(arguments.get("axis"), len(shape))
        return None if axis is None else (*shape[:axis], *shape[axis + 1 :])
    if name == "transpose":
        axes = arguments.get("axes")
        if axes is None:
            return shape[::-1]
        order = [axis for axis in axes if isinstance(axis, int)] if isinstance(axes, tuple) else []
        return tuple(shape[axis] for axis in order) if sorted(order) == list(range(len(shape))) else None
    if name == "reshape":
        return _reshaped(shape, arguments.get("newshape"))
    if name == "get_item":
        return _indexed(shape, arguments.get("key"))
    return None


def _reshaped(shape: tuple[int | None, ...], target: Value) -> Shape:
    if not isinstance(target, tuple):
        return None
    sizes = tuple(size if isinstance(size, int) and not isinstance(size, bool) else None for size in target)
    if -1 not in sizes:
        return sizes
    count, rest = product(shape), prod(size for size in sizes if size is not None and size != -1)
    free = count // rest if count is not None and rest and None not in sizes else None
    return tuple(free if size == -1 else size for size in sizes)


def _indexed(shape: tuple[int | None, ...], key: Value) -> Shape:
    keys = key if isinstance(key, tuple) else (key,)
    used = sum(1 for part in keys if part is not None and not isinstance(part, EllipsisIndex))
    if used > len(shape):
        return None
    result: list[int | None] = []
    axis = 0
    for part in keys:
        if part is None:
            result.append(1)
        elif isinstance(part, EllipsisIndex):
            skipped = len(shape) - used
            result += shape[axis : axis + skipped]
            axis += skipped
        elif isinstance(part, Slice):
            result.append(_sliced(shape[axis], part))
            axis += 1
        elif isinstance(part, int) and not isinstance(part, bool):
            axis += 1
        else:
            return None
    return (*result, *shape[axis:])


def _sliced(size: int | None, part: Slice) -> int | None:
    bounds = (part.start, part.stop, part.step)
    if size is None or not all(
        bound is None or (isinstance(bound, int) and abs(bound) < 2**40) for bound in bounds
    ):
        return size if bounds == (None, None, None) else None
    if part.step == 0:
        return None
    start, stop, step = slice(*bounds).indices(size)
    return max(0, -(-(stop - start) // step))


def _matmul(x: Shape, y: Shape, arguments: FrozenMap[str, Value]) -> Shape:
    if x is None or y is None or len(x) < 2 or len(y) < 2:
        return None
    if any("x1" in key and key != "x1" for key in arguments):
        x = (*x[:-2], x[-1], x[-2])
    if any("x2" in key and key != "x2" for key in arguments):
        y = (*y[:-2], y[-1], y[-2])
    batch = broadcast((x[:-2], y[:-2]))
    return None if batch is None else (*batch, x[-2], y[-1])


def _reduced(shape: Shape, axes: Value, keep: bool) -> Shape:
    if shape is None:
        return None
    wanted = tuple(range(len(shape))) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    found = {_axis(axis, len(shape)) for axis in wanted}
    if None in found:
        return None
    sizes = [(1 if axis in found else size, axis in found) for axis, size in enumerate(shape)]
    return tuple(size for size, gone in sizes if keep or not gone)


def _joined(name: str, arguments: FrozenMap[str, Value], shape_of: dict[TensorRef, Shape]) -> Shape:
    xs, axis = arguments.get("xs"), arguments.get("axis")
    if (
        not isinstance(xs, tuple)
        or not all(isinstance(x, TensorRef) for x in xs)
        or not isinstance(axis, int)
    ):
        return None
    shapes = tuple(shape_of.get(x) for x in xs if isinstance(x, TensorRef))
    if name == "concatenate":
        return concatenated(shapes, axis)
    shape = broadcast(shapes)
    if shape is None or not -len(shape) - 1 <= axis <= len(shape):
        return None
    axis %= len(shape) + 1
    return (*shape[:axis], len(shapes), *shape[axis:])


def _split(shape: Shape, sections: Value, axis: Value) -> tuple[Shape, ...]:
    """Return the shapes of equal parts, or of those between indices."""
    indices = [part for part in sections if isinstance(part, int)] if isinstance(sections, tuple) else None
    count = sections if indices is None else len(indices) + 1
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1000:
        return (None,)
    at = None if shape is None else _axis(axis, len(shape))
    if shape is None or at is None:
        return (None,) * count
    size = shape[at]
    if indices is None:
        sizes = [None if size is None else size // count] * count
    else:
        bounds = pairwise([0, *indices, None])
        sizes = [_sliced(size, Slice(start, stop, None)) for start, stop in bounds]
    return tuple((*shape[:at], part, *shape[at + 1 :]) for part in sizes)


def _unstacked(shape: Shape, count: Value, axis: Value) -> tuple[Shape, ...]:
    at = None if shape is None else _axis(axis, len(shape))
    if shape is None or at is None:
        return (None,)
    number = count if isinstance(count, int) else shape[at]
    if number is None or not 1 <= number <= 1000:
        return (None,)
    return ((*shape[:at], *shape[at + 1 :]),) * number

"""Bring the tensors that a layer is called with to one dtype of floating point numbers, as Keras does.

``forward`` names no such dtype, so that a module can be cast as a whole: a tensor gets the dtype of a weight
of the layer, or of another tensor. Nothing is written where dtypes are the same anyway, which is nearly
everywhere: a model mostly has one, and only what is made of integers comes in PyTorch's default dtype.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from batchdot.porting.program import Array, Body, Submodule, Value
from batchdot.porting.record import LayerRecord, ModelRecord, TensorRef
from batchdot.porting.translation.layer import Layer

FIXED = "fixed"
"""`Value.dtype` of what PyTorch makes of integers, in a dtype that no weight decides."""

WIDTHS = {"float16": 1, "bfloat16": 1, "float32": 2, "float64": 3}
"""Dtypes of floating point numbers, each with a rank: the wider ones hold the numbers of the others."""

AS_GIVEN = ("CategoryEncoding", "Discretization", "Embedding", "Normalization")
"""Layers that take numbers of any dtype, though they may have weights of one."""


def is_mixed(record: ModelRecord) -> bool:
    """Whether the inputs and weights of a model have several dtypes of floating point numbers."""
    inputs = {str(record.layer(ref.layer).config.get("dtype")) for ref in record.input_refs}
    inputs = {dtype for dtype in inputs if "int" not in dtype and dtype != "bool"}
    weights = {weight.dtype for layer in record.layers for weight in layer.all_weights()}
    return len(inputs | {dtype for dtype in weights if "float" in dtype}) > 1


def is_looked_up(record: ModelRecord, tensor: TensorRef) -> bool:
    """Whether a model only does with a tensor what layers that take any dtype do, as with ids."""
    layers = {layer.name: layer for layer in record.layers}
    users = {
        (call.layer, place)
        for call in record.calls
        for place, ref in enumerate(call.tensors())
        if ref == tensor
    }
    return tensor not in record.output_refs and all(_looks_up(layers[name], place) for name, place in users)


def _looks_up(layer: LayerRecord, place: int) -> bool:
    """Whether a layer only looks up what it is called with at a place."""
    if layer.model is None:
        return layer.is_a(*AS_GIVEN)
    return all(is_looked_up(layer.model, ref) for ref in layer.model.input_refs[place : place + 1])


def takes_any(record: LayerRecord) -> bool:
    """Whether a layer is called with tensors as they are; a model inside of another casts for itself."""
    return record.model is not None or record.is_a(*AS_GIVEN)


def weight_of(layer: Layer, *, is_mixed: bool) -> Value | None:
    """Return the weight whose dtype a layer computes in; None if it has none."""
    weights = [
        (f"{reached}.{key}" if key else reached, array)
        for reached, submodule in layer.made
        for key, array in submodule.state.items()
    ]
    return weight_among(weights, is_mixed=is_mixed)


def weight_among(weights: Iterable[tuple[str, Array]], *, is_mixed: bool) -> Value | None:
    """Return the first of several weights, each with its expression, that tells a dtype."""
    floats = [(text, array.dtype) for text, array in weights if "float" in array.dtype]
    dtype = max((dtype for _, dtype in floats), key=_width, default="")
    names = (text for text, _ in floats if all(map(str.isidentifier, text.split("."))))
    typed = (_typed(text) for text in names if not text.rpartition(".")[2].startswith("running_"))
    text = next(typed, None)
    return None if text is None else Value(text, dtype=dtype if is_mixed else "")


def _typed(weight: str) -> str:
    """Return a weight by an expression of which type checkers know that it is a tensor."""
    module, _, name = weight.rpartition(".")
    return f"{module}.all_weights[0][0]" if name.startswith("weight_ih_") else weight


def _width(dtype: str) -> int:
    return WIDTHS.get(dtype, 0)


def bring_together(values: Sequence[Value], weight: Value | None, body: Body) -> list[Value]:
    """Return the tensors of a call in the dtype of a weight of the layer, else in the widest of theirs."""
    like = _widest(values) if weight is None else weight
    return [cast(value, like, body, integers=weight is not None) for value in values]


def _widest(values: Iterable[Value]) -> Value | None:
    floats = (value for value in values if value.kind == "float" and value.dtype != FIXED)
    return max(floats, key=lambda value: _width(value.dtype), default=None)


def dtype_of_result(values: Sequence[Value], weight: Value | None) -> str:
    """Return the `Value.dtype` of what a layer makes of tensors in one dtype."""
    dtypes = [value.dtype for value in (weight, *values) if value is not None and value.kind == "float"]
    return dtypes[0] if dtypes else FIXED


def cast(value: Value, like: Value | None, body: Body, *, integers: bool = False) -> Value:
    """Return a tensor in the dtype of another one.

    Args:
        value: the tensor; one of the kind "count" becomes floating point numbers in any case.
        like: a weight or tensor; None for PyTorch's default dtype.
        body: where statements go.
        integers: whether integers become floating point numbers too.
    """
    is_float = value.kind == "float"
    if value.kind == "size" or (value.kind in ("int", "bool") and not integers):
        return value
    if is_float and (like is None or value.dtype == like.dtype):
        return value
    text, dtype = (f"{value}.float()", FIXED) if like is None else (f"{value}.to({like}.dtype)", like.dtype)
    made = replace(value, text=text, kind="float", dtype=dtype)
    return body.once(made, f"{value}_cast", inline=True)


def of_one_dtype(submodules: Sequence[Submodule]) -> Iterator[Submodule]:
    """Yield the sub-modules of one layer with arrays of one dtype of floating point numbers, the widest."""
    dtypes = {array.dtype for one in submodules for array in one.state.values() if "float" in array.dtype}
    dtype = max(sorted(dtypes), key=_width, default="")
    for one in submodules:
        state = {
            key: replace(array, dtype=dtype) if "float" in array.dtype else array
            for key, array in one.state.items()
        }
        yield replace(one, state=state)

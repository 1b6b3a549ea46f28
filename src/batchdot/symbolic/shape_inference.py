"""Shape inference: the symbolic outputs of a layer or of any function, found without values.

Unless a layer knows its output, its `call` is run on meta tensors, which have shapes and dtypes and no
values: twice, with two sizes for each unknown one. A size of the output is unknown if the runs differ in it.
The layer itself takes part with its real weights (`meta_mode`), and nothing of it is changed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.cleanup import unchanged
from batchdot.symbolic.meta_mode import META, MetaMode, ValuesNeededError
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor, symbolic_tensors
from batchdot.symbolic.tree import flatten, map_structure, rebuild

_PROBE_SIZES = (10007, 10009)
"""Stand for unknown sizes: primes that no model uses, so that no product or sum agrees by chance."""

_SAMPLE_SIZES = (60, 1, 2, 3, 4, 5, 7, 8, 16)
"""Stand for unknown sizes where a function is run on zeros: the first that it takes. Many sizes divide 60."""

_FAILURES = (RuntimeError, TypeError, NotImplementedError, AttributeError)
"""What a function raises that does not run on meta tensors. A layer's own refusal is a ValueError."""


def infer(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return the symbolic outputs of a function of tensors, or of a module.

    Args:
        function: a function of torch or of its operators, an nn.Module, or another function of these.
        *args: its arguments, symbolic tensors among them; tensors and other values are constants.
        **kwargs: likewise.

    Returns:
        The function's value, with a symbolic tensor for each tensor.

    Raises:
        ValueError: the shape of the output depends on values, or the function does not take such shapes.

    >>> x = KerasTensor((None, 3))
    >>> infer(torch.cat, [x, x], dim=1), infer(nn.Linear(3, 2), x).shape
    (<KerasTensor shape=(None, 6) dtype=float32>, (None, 2))
    """
    module = function if isinstance(function, nn.Module) else nn.Module()
    with _described_errors(_name(function), args, kwargs), unchanged(module):
        (first, autocast), (second, _) = (
            _run_function(function, args, kwargs, size) for size in _PROBE_SIZES
        )
        outputs = _common_shape(first, second)
        if autocast:  # it has no effect on meta tensors
            sample = _sample(_name(function), lambda a, k: function(*a, **k), args, kwargs)
            outputs = _with_dtypes(outputs, sample)
        return outputs


def infer_call(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any, shape: Any = None
) -> tuple[Any, Any]:
    """Return the outputs of a built layer, and their masks, as symbolic tensors.

    Args:
        layer: the layer.
        args: positional arguments of the call; KerasTensors, tensors and other values.
        kwargs: keyword arguments of the call.
        masks: the masks of the first argument, in its structure.
        shape: the shape of the output, or the list of shapes, if the layer knows it.

    Raises:
        ValueError: `call` needs values, and the layer does not know its output; or it does not take such
            shapes.
    """
    call = (layer, symbolic_tensors([args, kwargs]))
    name = f"Layer {layer.name}"

    def sample(error: Exception | None = None) -> Any:
        return _sample(name, layer._call_eager, args, kwargs, error, layer._placement.device)

    with _described_errors(name, args, kwargs), unchanged(layer), CONTEXT.set(inferred_call=call):
        try:
            first, first_mask, autocast = _run(layer, args, kwargs, masks, _PROBE_SIZES[0])
        except _FAILURES as error:
            if shape is None:
                raise
            return _with_shapes(sample(error), shape), None
        second, second_mask = first, first_mask
        if shape is None or any(mask is not None for mask in flatten(first_mask)):
            with CONTEXT.set(keeps_symbolic_losses=False):
                second, second_mask, _ = _run(layer, args, kwargs, masks, _PROBE_SIZES[1])
        outputs = _common_shape(first, second) if shape is None else _with_shapes(first, shape)
        if autocast:  # it has no effect on meta tensors
            outputs = _with_dtypes(outputs, sample())
        return outputs, _common_shape(first_mask, second_mask)


def infer_mask(layer: Any, args: tuple[Any, ...], masks: Any) -> Any:
    """Return the masks of the outputs as symbolic tensors, from the layer's `compute_mask` alone."""
    if not layer.supports_masking:
        return None
    inputs = args[0] if args else None
    with _described_errors(f"Layer {layer.name}", args, {}), unchanged(layer):
        (first, _), (second, _) = (
            _run_function(layer.compute_mask, (inputs, masks), {}, size) for size in _PROBE_SIZES
        )
        return _common_shape(first, second)


@contextmanager
def shape_inference(sample: bool = False) -> Iterator[MetaMode]:
    """Run layers only for the shapes of their outputs, on meta tensors, or for their dtypes, on a sample."""
    with CONTEXT.set(in_shape_inference=True), MetaMode(sample) as mode, torch.no_grad():
        yield mode
    if mode.needed_values is not None:
        raise ValuesNeededError(mode.needed_values)


def _run(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any, size: int
) -> tuple[Any, Any, bool]:
    """Return the outputs and masks of a call whose unknown sizes are ``size``, and if it used autocast."""
    convert = _concrete(size, torch.empty, META)
    meta_args, meta_kwargs, meta_masks = (map_structure(convert, value) for value in (args, kwargs, masks))
    if "mask" not in meta_kwargs and any(mask is not None for mask in flatten(meta_masks)):
        meta_kwargs["mask"] = meta_masks
    with shape_inference() as mode:
        outputs = layer._call_eager(meta_args, meta_kwargs)
        inputs = meta_args[0] if meta_args else None
        mask = layer.compute_mask(inputs, meta_masks) if layer.supports_masking else None
    return outputs, mask, mode.saw_autocast


def _run_function(function: Callable[..., Any], args: Any, kwargs: Any, size: int) -> tuple[Any, bool]:
    """Return the value of a function for unknown sizes that are ``size``, and if it used autocast."""
    convert = _concrete(size, torch.empty, META)
    meta_args, meta_kwargs = map_structure(convert, args), map_structure(convert, kwargs)
    with shape_inference() as mode:
        return function(*meta_args, **meta_kwargs), mode.saw_autocast


def _sample(
    name: str,
    call: Callable[[Any, Any], Any],
    args: Any,
    kwargs: Any,
    error: Exception | None = None,
    device: torch.device | None = None,
) -> Any:
    """Return the outputs of a call on zeros, for their dtypes.

    Raises:
        ValueError: it fails on these as it did on meta tensors, by ``error``.
    """
    for size in _SAMPLE_SIZES:
        convert = _concrete(size, torch.zeros, device)
        try:
            with CONTEXT.set(keeps_symbolic_losses=False), shape_inference(sample=True):
                return call(map_structure(convert, args), map_structure(convert, kwargs))
        except Exception as failure:  # whatever the user's function raises
            error = error or failure
    assert error is not None
    why = "it needs values" if _needs_values(error) else _first_line(error)
    raise ValueError(
        f"{name} cannot be called on {_describe(args, kwargs)}: {why}. The shape of its output is known, and "
        "its dtype is not, as it fails on zeros too. Subclass Layer and define `compute_output_spec`, which "
        "returns a KerasTensor of the output's shape and dtype."
    ) from error


def _concrete(size: int, make: Callable[..., Tensor], device: torch.device | None) -> Callable[[Any], Any]:
    """Return a function that makes a tensor of a symbolic one, with this size where unknown."""

    def convert(leaf: Any) -> Any:
        if not is_keras_tensor(leaf):
            return leaf
        sizes = [size if known is None else known for known in leaf.shape]
        return make(sizes, dtype=leaf.dtype, device=device)

    return convert


@contextmanager
def _described_errors(name: str, args: Any, kwargs: Any) -> Iterator[None]:
    """Turn what torch raises in a run on meta tensors into a sentence for whoever made the call."""
    try:
        yield
    except ValueError as error:
        if type(error) is not ValueError or _first_line(error) == str(error):
            raise
        raise ValueError(_first_line(error)) from error
    except _FAILURES as error:
        why = _VALUES_NEEDED if _needs_values(error) else _first_line(error)
        if isinstance(error, ValuesNeededError) and str(error) == "__array__":
            why = _ARRAY_NEEDED
        raise ValueError(f"{name} cannot be called on {_describe(args, kwargs)}: {why}") from error


_VALUES_NEEDED = (
    "it needs values, as an `if` on a tensor, `.item()`, numpy and `nonzero` do, and a symbolic tensor has "
    "none. Say the shape of the output: Lambda(function, output_shape=...), without the batch axis, or "
    "define `compute_output_shape` in a subclass of Layer. The dtype is then that of the output for zeros."
)

_ARRAY_NEEDED = (
    "it needs values, as the product of a tensor and a numpy array does, and a symbolic tensor has none. "
    "Make the array a tensor, by torch.as_tensor(array); or say the shape of the output: Lambda(function, "
    "output_shape=...), without the batch axis."
)


def _needs_values(error: Exception) -> bool:
    return isinstance(error, ValuesNeededError) or "meta" in str(error)


def _first_line(error: Exception) -> str:
    """Return the first line of an error's text, in which unknown sizes are None."""
    text = str(error).partition("\n")[0]
    for size in _PROBE_SIZES:
        text = text.replace(str(size), "None")
    return text


def _common_shape(first: Any, second: Any) -> Any:
    """Return symbolic tensors of two runs: a size is known where the runs agree."""
    if isinstance(first, list | tuple):
        return rebuild(first, [_common_shape(a, b) for a, b in zip(first, second, strict=True)])
    if isinstance(first, dict):
        return {key: _common_shape(first[key], second[key]) for key in first}
    if isinstance(first, int | float):  # a size, or a number made of sizes
        return first if first == second else None
    if not isinstance(first, Tensor):
        return first
    same = zip(first.shape, second.shape, strict=True)
    return KerasTensor(tuple([a if a == b and a not in _PROBE_SIZES else None for a, b in same]), first.dtype)


def _with_shapes(outputs: Any, shapes: Any) -> Any:
    leaves = [leaf for leaf in flatten(outputs) if isinstance(leaf, Tensor)]
    if len(leaves) == 1:
        return map_structure(lambda leaf: KerasTensor(tuple(shapes), leaf.dtype), outputs)
    remaining = _flat_shapes(shapes)
    return map_structure(lambda leaf: KerasTensor(tuple(remaining.pop(0)), leaf.dtype), outputs)


def _flat_shapes(shapes: Any) -> list[Any]:
    """Return the shapes in nested lists, tuples and dicts, in order."""
    items = list(shapes.values() if isinstance(shapes, dict) else shapes)
    if all(size is None or isinstance(size, int) for size in items):
        return [items]
    return [shape for item in items for shape in _flat_shapes(item)]


def _with_dtypes(outputs: Any, sample: Any) -> Any:
    """Return symbolic outputs with the dtypes of real ones."""
    dtypes = [leaf.dtype for leaf in flatten(sample) if isinstance(leaf, Tensor)]

    def convert(leaf: Any) -> Any:
        return KerasTensor(leaf.shape, dtypes.pop(0)) if is_keras_tensor(leaf) else leaf

    return map_structure(convert, outputs)


def as_input_shape(inputs: Any) -> Any:
    """Return the shape of the input, or the list of shapes, as `build` and `compute_output_shape` take it.

    What is no tensor has the shape ().
    """
    shapes = map_structure(lambda leaf: tuple(getattr(leaf, "shape", ())), inputs)
    return list(shapes) if isinstance(inputs, tuple) else shapes


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _describe(args: Any, kwargs: Any) -> str:
    shapes = [str(tuple(leaf.shape)) for leaf in flatten([args, kwargs]) if hasattr(leaf, "shape")]
    return ("an input of shape " if len(shapes) == 1 else "inputs of shapes ") + ", ".join(shapes)

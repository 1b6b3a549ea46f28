"""Shape inference: the symbolic outputs of a layer, found without numbers.

Unless a layer knows its output, its `call` is run on meta tensors, which have shapes and dtypes and no
storage: twice, with two sizes for each unknown one. A size of the output is unknown if the runs differ in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from batchdot.symbolic.call_context import shape_inference
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor, symbolic_tensors
from batchdot.symbolic.tree import flatten, map_structure

_PROBE_SIZES = (10007, 10009)
"""Stand for unknown sizes: primes that no model uses, so that no product or sum agrees by chance."""


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
        ValueError: `call` cannot be run on meta tensors, and the layer does not know its shape.
    """
    layer.__dict__["_inferred_inputs"] = symbolic_tensors([args, kwargs])
    try:
        first, first_mask = _run(layer, args, kwargs, masks, _PROBE_SIZES[0])
        if shape is None or any(mask is not None for mask in flatten(first_mask)):
            second, second_mask = _run(layer, args, kwargs, masks, _PROBE_SIZES[1], record=False)
        else:
            second, second_mask = first, first_mask
        outputs = _common_shape(first, second) if shape is None else _with_shapes(first, shape)
        return outputs, _common_shape(first_mask, second_mask)
    except (RuntimeError, TypeError, NotImplementedError, AttributeError) as error:
        if shape is None:
            text = str(error).partition("\n")[0]
            raise ValueError(
                f"Layer {layer.name} cannot be called on {_describe(args, kwargs)}: {text}"
            ) from error
        return _from_shapes(shape, _promoted(args)), None
    finally:
        layer.__dict__.pop("_inferred_inputs", None)


def infer_mask(layer: Any, args: tuple[Any, ...], masks: Any) -> Any:
    """Return the masks of the outputs as symbolic tensors, from the layer's `compute_mask` alone."""
    if not layer.supports_masking:
        return None
    found, inputs = [], args[0] if args else None
    for size in _PROBE_SIZES:
        meta_inputs, meta_masks = (map_structure(_as_meta(size), value) for value in (inputs, masks))
        with shape_inference(), on_meta(layer), torch.no_grad():
            found.append(layer.compute_mask(meta_inputs, meta_masks))
    return _common_shape(*found)


def _run(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any, size: int, record: bool = True
) -> tuple[Any, Any]:
    """Run `call` and `compute_mask` on meta tensors whose unknown sizes are ``size``."""
    meta_args, meta_kwargs, meta_masks = (map_structure(_as_meta(size), v) for v in (args, kwargs, masks))
    if "mask" not in meta_kwargs and any(mask is not None for mask in flatten(meta_masks)):
        meta_kwargs["mask"] = meta_masks
    losses, updates = list(layer._symbolic_losses), list(layer._updates)
    with shape_inference(), on_meta(layer), torch.no_grad():
        outputs = layer._call_eager(meta_args, meta_kwargs)
        inputs = meta_args[0] if meta_args else None
        mask = layer.compute_mask(inputs, meta_masks) if layer.supports_masking else None
    if not record:
        layer._symbolic_losses, layer._updates = losses, updates
    return outputs, mask


def _as_meta(size: int) -> Any:
    """Return a function that makes a meta tensor of a tensor, symbolic ones of this size where unknown."""

    def convert(leaf: Any) -> Any:
        if is_keras_tensor(leaf):
            sizes = [size if known is None else known for known in leaf.shape]
            return torch.empty(sizes, dtype=leaf.dtype, device="meta")
        return leaf.to("meta") if isinstance(leaf, Tensor) else leaf

    return convert


@contextmanager
def on_meta(module: nn.Module) -> Iterator[None]:
    """Replace a module's weights by meta tensors for a while; weights that it makes meanwhile stay."""
    saved = []
    for inner in module.modules():
        stores: tuple[dict[str, Any], ...] = (inner._parameters, inner._buffers)
        for store in stores:
            before = dict(store)
            saved.append((store, before))
            store.update(
                {
                    key: value.to("meta")
                    for key, value in before.items()
                    if value is not None and not is_lazy(value)
                }
            )
    try:
        yield
    finally:
        for store, before in saved:
            store.update(before)


def _common_shape(first: Any, second: Any) -> Any:
    """Return symbolic tensors of two runs: a size is known where the runs agree."""
    if isinstance(first, list | tuple):
        items = [_common_shape(a, b) for a, b in zip(first, second, strict=True)]
        return items if isinstance(first, list) else tuple(items)
    if isinstance(first, dict):
        return {key: _common_shape(first[key], second[key]) for key in first}
    if not isinstance(first, Tensor):
        return first
    same = zip(first.shape, second.shape, strict=True)
    return KerasTensor(tuple([a if a == b and a not in _PROBE_SIZES else None for a, b in same]), first.dtype)


def _with_shapes(outputs: Any, shapes: Any) -> Any:
    leaves = [leaf for leaf in flatten(outputs) if isinstance(leaf, Tensor)]
    if len(leaves) == 1:
        return map_structure(lambda leaf: KerasTensor(tuple(shapes), leaf.dtype), outputs)
    remaining = list(shapes)
    return map_structure(lambda leaf: KerasTensor(tuple(remaining.pop(0)), leaf.dtype), outputs)


def _from_shapes(shapes: Any, dtype: torch.dtype) -> Any:
    if shapes and all(isinstance(shape, list | tuple) for shape in shapes):
        return [KerasTensor(tuple(shape), dtype) for shape in shapes]
    return KerasTensor(tuple(shapes), dtype)


def as_input_shape(inputs: Any) -> Any:
    """Return the shape of the input, or the list of shapes, as `build` and `compute_output_shape` take it.

    What is no tensor has the shape ().
    """
    shapes = map_structure(lambda leaf: tuple(getattr(leaf, "shape", ())), inputs)
    return list(shapes) if isinstance(inputs, tuple) else shapes


def _promoted(args: Any) -> torch.dtype:
    tensors = [leaf for leaf in flatten(args) if isinstance(leaf, KerasTensor | Tensor)]
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def _describe(args: Any, kwargs: Any) -> str:
    shapes = [str(tuple(leaf.shape)) for leaf in flatten([args, kwargs]) if hasattr(leaf, "shape")]
    return ("an input of shape " if len(shapes) == 1 else "inputs of shapes ") + ", ".join(shapes)

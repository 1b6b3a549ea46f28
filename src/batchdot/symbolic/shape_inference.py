"""Inference: what a layer returns for symbolic tensors, found without numbers.

Unless a layer knows the answer, its `call` is run on tensors of the meta device, which have shapes
and dtypes and no storage: twice, with two sizes for what is unknown. A size of the output that
differs between the two runs is unknown as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from batchdot.symbolic.call_context import inferring
from batchdot.symbolic.tensor import KerasTensor, is_keras_tensor, symbolic_tensors
from batchdot.symbolic.tree import flatten, map_structure

# Primes unlike any size in use, so that no product or sum of sizes agrees by chance.
_PROBE_SIZES = (10007, 10009)


def infer_call(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any, ask: bool = True
) -> tuple[Any, Any]:
    """Return what a built layer returns, and the mask of that, as symbolic tensors.

    Args:
        layer: the layer.
        args: positional arguments of the call; KerasTensors, tensors and other values.
        kwargs: keyword arguments of the call.
        masks: the masks of the first argument, in its structure.
        ask: whether to ask the layer's own compute_output_shape, if it has one.

    Raises:
        ValueError: `call` cannot be run without numbers, and the layer has no compute_output_shape.
    """
    own_shape = ask and _overrides(layer, "compute_output_shape")
    layer.__dict__["_inferred_inputs"] = symbolic_tensors([args, kwargs])
    # Asked first, because what it refuses it says in the sizes that the user knows.
    shapes = layer.compute_output_shape(_shapes_of(args[0])) if own_shape else None
    try:
        first, first_mask = _run(layer, args, kwargs, masks, _PROBE_SIZES[0])
        if not own_shape or any(mask is not None for mask in flatten(first_mask)):
            second, second_mask = _run(layer, args, kwargs, masks, _PROBE_SIZES[1], record=False)
        else:
            second, second_mask = first, first_mask
        if own_shape:
            return _with_shapes(first, shapes), _common_shape(first_mask, second_mask)
    except (RuntimeError, TypeError, NotImplementedError, AttributeError) as error:
        if not own_shape:
            text = str(error).partition("\n")[0]
            raise ValueError(
                f"Layer {layer.name} cannot be called on {_describe(args, kwargs)}: {text}"
            ) from error
        return _from_shapes(shapes, _promoted(args)), None
    finally:
        layer.__dict__.pop("_inferred_inputs", None)
    return _common_shape(first, second), _common_shape(first_mask, second_mask)


def _run(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any, stand_in: int, record: bool = True
) -> tuple[Any, Any]:
    def as_meta(leaf: Any) -> Any:
        if is_keras_tensor(leaf):
            sizes = [stand_in if size is None else size for size in leaf.shape]
            return torch.empty(sizes, dtype=leaf.dtype, device="meta")
        return leaf.to("meta") if isinstance(leaf, Tensor) else leaf

    meta_args, meta_kwargs, meta_masks = (map_structure(as_meta, v) for v in (args, kwargs, masks))
    if "mask" not in meta_kwargs and any(mask is not None for mask in flatten(meta_masks)):
        meta_kwargs["mask"] = meta_masks
    losses, updates = list(layer._symbolic_losses), list(layer._updates)
    with inferring(), on_meta(layer), torch.no_grad():
        outputs = layer._call_eager(meta_args, meta_kwargs)
        mask = (
            layer.compute_mask(meta_args[0] if meta_args else None, meta_masks)
            if layer.supports_masking
            else None
        )
    if not record:
        layer._symbolic_losses, layer._updates = losses, updates
    return outputs, mask


@contextmanager
def on_meta(module: nn.Module) -> Iterator[None]:
    """Have a module's weights on the meta device for a while; those it makes meanwhile stay."""
    saved = []
    for inner in module.modules():
        for store in (inner._parameters, inner._buffers):
            before = dict(store)
            saved.append((store, before))
            store.update({key: value.to("meta") for key, value in before.items() if value is not None})  # type: ignore[misc]
    try:
        yield
    finally:
        for store, before in saved:
            store.update(before)  # type: ignore[arg-type]


def _overrides(layer: Any, method: str) -> bool:
    for cls in type(layer).__mro__:
        if method in cls.__dict__:
            return cls.__module__ != "batchdot.layers.base.layer"
    return False


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


def _shapes_of(inputs: Any) -> Any:
    shapes = map_structure(lambda leaf: tuple(leaf.shape), inputs)
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

"""Write the formula of a mask as statements."""

from collections.abc import Callable, Mapping

from batchdot.porting.program import Body, Value, channels_last
from batchdot.porting.program.expressions import literal
from batchdot.porting.record import Mask, TensorRef
from batchdot.porting.translation.layer import RefusedError

SIGNS = {"all": " & ", "any": " | "}


def write_mask(
    mask: Mask, body: Body, values: Mapping[TensorRef, Value], write: Callable[[Mask], Value]
) -> Value:
    """Write the statements of a mask, and return it: a boolean tensor, True where a step counts.

    Args:
        mask: the formula; not of the kind "input".
        body: where to.
        values: tensors by reference.
        write: writes the masks that this one is made of, each once.
    """
    if mask.kind == "inside":
        raise RefusedError("it obeys a mask that is made inside of another model, of tensors in there")
    tensor = None if mask.tensor is None else channels_last(values[mask.tensor], body)
    if mask.kind == "tensor":
        assert tensor is not None
        return tensor if tensor.kind == "bool" else tensor.with_text(f"{tensor}.bool()")
    name, shape = "mask", None
    if tensor is not None:
        name = f"{tensor}_mask"
        unequal = f"{tensor} != {literal(mask.value)}"
        shape = tensor.shape
        text = unequal
        if mask.kind == "any_not_equal":
            text, shape = f"({unequal}).any(-1)", None if shape is None else shape[:-1]
    elif mask.kind in SIGNS:
        parts = [write(part) for part in mask.masks if part is not None]
        text, shape = SIGNS[mask.kind].join(map(str, parts)), parts[0].shape
    elif mask.kind == "first_step":
        (inside,) = mask.masks
        assert inside is not None
        text = f"{write(inside)}[:, 0]"
    elif mask.kind == "any_part":
        (inside,) = mask.masks
        assert inside is not None
        made = write(inside)
        if made.rank == 2:
            return made
        text = f"{made}.any(2)" if made.rank == 3 else f"{made}.flatten(2).any(2)"
        shape = None if made.shape is None else made.shape[:2]
    else:
        assert mask.kind == "concatenate"
        pairs = zip(mask.masks, mask.like, strict=True)
        parts = [every_step(values[like]) if part is None and like else write(part) for part, like in pairs]  # type: ignore[arg-type]
        text = f"torch.cat([{', '.join(map(str, parts))}], dim={mask.axis})"
    return body.once(Value(text, shape, "bool"), name)


def every_step(value: Value) -> Value:
    """Return a mask by which all steps of a tensor count."""
    shape = None if value.shape is None else value.shape[:2]
    size = f"{value}.shape[:2]" if not value.is_first else f"{value}.shape[::2]"
    return Value(f"torch.ones({size}, dtype=torch.bool, device={value}.device)", shape, "bool")

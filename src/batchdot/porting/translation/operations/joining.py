"""Translations of functions of keras.ops and TensorFlow that join, split, repeat and pad tensors."""

from batchdot.porting.errors import quote
from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.operations.operands import (
    has_only,
    integer,
    integers,
    is_tensor,
    last,
    operand,
    rank_of,
    result,
    sizes_text,
    tensor,
)
from batchdot.porting.translation.registry import Forward, Result, computes
from batchdot.porting.translation.site import Argument, Site


@computes("concatenate")
def concatenate(layer: Layer) -> Forward:
    """torch.cat."""

    def forward(site: Site) -> Result:
        has_only(site, "xs", "axis")
        values = site.alike(_tensors(layer, site))
        axis = integer(site, "axis", -1)
        text = f"torch.cat([{', '.join(map(str, values))}], dim={values[0].axis(axis)})"
        return result(site, text, values[0])

    return forward


def _tensors(layer: Layer, site: Site) -> tuple[Value, ...]:
    """Return the tensors that a call joins."""
    parts = site.arguments.get("xs")
    if not isinstance(parts, tuple) or not parts:
        raise RefusedError(f"it joins {quote(parts)}")
    values = tuple(operand(layer, part) for part in parts)
    if not all(is_tensor(value) for value in values):
        raise RefusedError("it joins tensors and numbers")
    return values  # type: ignore[return-value]


@computes("stack")
def stack(layer: Layer) -> Forward:
    """torch.stack; of sizes, a tuple."""

    def forward(site: Site) -> Result:
        has_only(site, "xs", "axis")
        parts = site.arguments.get("xs")
        several = parts if isinstance(parts, tuple) else (parts,)
        if not any(is_tensor(part) for part in several):
            text = f"({', '.join(str(part) for part in several)},)"
            text = text if len(several) == 1 else text.replace(",)", ")")
            return site.body.assign(Value(text, (len(several),), "size"), site.name, inline=True)
        values = tuple(map(site.last, _tensors(layer, site)))
        axis = integer(site, "axis", 0)
        text = f"torch.stack([{', '.join(map(str, values))}]{f', dim={axis}' if axis else ''})"
        return result(site, text, Value("", None, values[0].kind))

    return forward


@computes("split", "unstack")
def split(layer: Layer) -> Forward:
    """``x.chunk`` into equal parts, ``x.tensor_split`` at indices, ``x.unbind``."""
    is_apart = layer.record.class_name == "unstack"

    def forward(site: Site) -> Result:
        has_only(site, "x", "indices_or_sections", "axis", "num")
        x = tensor(layer, site)
        axis = x.axis(integer(site, "axis", 0))
        if is_apart:
            call, count, x = (
                f"{site.last(x)}.unbind({integer(site, 'axis', 0)})",
                len(site.output_shapes),
                site.last(x),
            )
        else:
            parts = integers(site, "indices_or_sections")
            if parts is None:
                raise RefusedError("it does not say into how many parts it splits")
            several = isinstance(site.arguments.get("indices_or_sections"), tuple)
            count = len(parts) + 1 if several else parts[0]
            call = (
                f"{x}.tensor_split({literal(parts)}, dim={axis})"
                if several
                else f"{x}.chunk({count}, dim={axis})"
            )
        if count != len(site.output_shapes):
            raise RefusedError("the file does not say how many parts it has")
        if count == 1:
            return result(site, f"{call}[0]", x)
        names = site.unpack(call, tuple(str(number) if number else "" for number in range(count)))
        is_first = x.is_first and not is_apart
        return tuple(
            Value(str(name), site.output_shapes[number], x.kind, is_first)
            for number, name in enumerate(names)
        )

    return forward


@computes("tile")
def tile(layer: Layer) -> Forward:
    """``x.tile``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "repeats")
        x = last(layer, site)
        return result(
            site, f"{x}.tile({sizes_text(site.arguments.get('repeats'), '1')})", Value("", None, x.kind)
        )

    return forward


@computes("repeat")
def repeat(layer: Layer) -> Forward:
    """``x.repeat_interleave``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "repeats", "axis")
        x, counts, axes = last(layer, site), integers(site, "repeats"), integers(site, "axis")
        if counts is None or len(counts) != 1:
            raise RefusedError("it repeats each element another number of times")
        more = "" if axes is None else f", dim={axes[0]}"
        return result(site, f"{x}.repeat_interleave({counts[0]}{more})", Value("", None, x.kind))

    return forward


@computes("pad", restriction="with a constant")
def pad(layer: Layer) -> Forward:
    """F.pad, whose widths begin with the last axis."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "pad_width", "mode", "constant_values")
        x, mode = last(layer, site), site.arguments.get("mode") or "constant"
        value, widths = site.arguments.get("constant_values") or 0, site.arguments.get("pad_width")
        if mode != "constant" or not isinstance(value, (int, float)):
            raise RefusedError(f"its mode is {quote(mode)}")
        pairs = _pairs(widths, rank_of(x))
        while pairs and pairs[0] == (0, 0):
            pairs = pairs[1:]
        flat = literal(tuple(size for pair in reversed(pairs) for size in pair))
        more = f", value={literal(value)}" if value else ""
        return result(site, f"F.pad({x}, {flat}{more})", Value("", None, x.kind))

    return forward


def _pairs(widths: Argument, rank: int) -> list[tuple[int, int]]:
    """Return how much is added before and behind each axis."""
    if isinstance(widths, int):
        return [(widths, widths)] * rank
    several = widths if isinstance(widths, tuple) else ()
    pairs = [part if isinstance(part, tuple) else (part, part) for part in several]
    if len(pairs) == 1:
        pairs *= rank
    elif len(several) == 2 and rank != 2 and all(isinstance(part, int) for part in several):
        pairs = [several] * rank
    if len(pairs) != rank or not all(
        len(pair) == 2 and all(isinstance(size, int) for size in pair) for pair in pairs
    ):
        raise RefusedError(f"its pad_width is {quote(widths)}")
    return pairs  # type: ignore[return-value]


@computes("flip")
def flip(layer: Layer) -> Forward:
    """``x.flip``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "axis")
        x, axes = tensor(layer, site), integers(site, "axis")
        if axes is None:
            axes = tuple(range(rank_of(x)))
        return x.with_text(f"{x}.flip({', '.join(str(x.axis(axis)) for axis in axes)})")

    return forward


@computes("roll")
def roll(layer: Layer) -> Forward:
    """``x.roll``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "shift", "axis")
        x, shifts, axes = last(layer, site), integers(site, "shift") or (0,), integers(site, "axis")
        if axes is not None and len(axes) != len(shifts):
            raise RefusedError(f"its shift is {quote(shifts)}")
        many = len(shifts) > 1
        more = "" if axes is None else f", {literal(axes) if many else axes[0]}"
        return x.with_text(f"{x}.roll({literal(shifts) if many else shifts[0]}{more})")

    return forward

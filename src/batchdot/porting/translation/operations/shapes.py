"""Translations of functions of keras.ops and TensorFlow that change shapes and the order of axes."""

from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.operations.operands import (
    has_only,
    integer,
    integers,
    last,
    rank_of,
    result,
    sizes_text,
)
from batchdot.porting.translation.registry import Forward, Result, computes
from batchdot.porting.translation.site import Site


@computes("shape")
def shape(layer: Layer) -> Forward:
    """``x.shape``, numbers of Python."""

    def forward(site: Site) -> Result:
        x = last(layer, site)
        return site.body.assign(Value(f"{x}.shape", site.output_shapes[0], "size"), site.name, inline=True)

    return forward


@computes("reshape")
def reshape(layer: Layer) -> Forward:
    """``x.reshape``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "newshape")
        x, sizes = last(layer, site), site.arguments.get("newshape")
        return result(site, f"{x}.reshape({sizes_text(sizes, '-1')})", x)

    return forward


@computes("broadcast_to")
def broadcast_to(layer: Layer) -> Forward:
    """``x.expand``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "shape")
        x = last(layer, site)
        return result(site, f"{x}.expand({sizes_text(site.arguments.get('shape'), '-1')})", x)

    return forward


@computes("expand_dims")
def expand_dims(layer: Layer) -> Forward:
    """``x.unsqueeze``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "axis")
        x, axes = last(layer, site), integers(site, "axis") or ()
        if len(axes) > 1:
            axes = tuple(sorted(axis % (rank_of(x) + len(axes)) for axis in axes))
        return result(site, f"{x}{''.join(f'.unsqueeze({axis})' for axis in axes)}", x)

    return forward


@computes("squeeze")
def squeeze(layer: Layer) -> Forward:
    """``x.squeeze``; without an axis, those that the file says are 1, for a batch may be of one."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "axis")
        x, axes = last(layer, site), integers(site, "axis")
        if axes is None:
            axes = tuple(axis for axis in range(rank_of(x)) if (x.shape or ())[axis] == 1)
        if not axes:
            return x
        return result(site, f"{x}.squeeze({axes[0] if len(axes) == 1 else literal(axes)})", x)

    return forward


@computes("transpose")
def transpose(layer: Layer) -> Forward:
    """``x.permute``, or ``x.mT`` of the last two axes."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "axes")
        x, axes = last(layer, site), integers(site, "axes")
        order = tuple(range(rank_of(x)))[::-1] if axes is None else axes
        return result(site, _permuted(x, order), x)

    return forward


def _permuted(x: Value, order: tuple[int, ...]) -> str:
    order = tuple(axis % len(order) for axis in order)
    natural = list(range(len(order)))
    if len(order) > 1 and list(order) == [*natural[:-2], natural[-1], natural[-2]]:
        return f"{x}.mT"
    return f"{x}.permute({', '.join(map(str, order))})"


@computes("swapaxes")
def swapaxes(layer: Layer) -> Forward:
    """``x.transpose``, or ``x.mT`` of the last two axes."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "axis1", "axis2")
        x = last(layer, site)
        axes = integer(site, "axis1"), integer(site, "axis2")
        if {axis - (x.rank or 0) if axis >= 0 and x.rank else axis for axis in axes} == {-1, -2}:
            return result(site, f"{x}.mT", Value(x.text, None, x.kind))
        return result(site, f"{x}.transpose({axes[0]}, {axes[1]})", Value(x.text, None, x.kind))

    return forward


@computes("moveaxis")
def moveaxis(layer: Layer) -> Forward:
    """``x.movedim``."""

    def forward(site: Site) -> Result:
        has_only(site, "x", "source", "destination")
        x, axes = last(layer, site), (integers(site, "source"), integers(site, "destination"))
        source_, destination = (
            literal(part if part and len(part) > 1 else (part or (0,))[0]) for part in axes
        )
        return result(site, f"{x}.movedim({source_}, {destination})", Value(x.text, None, x.kind))

    return forward

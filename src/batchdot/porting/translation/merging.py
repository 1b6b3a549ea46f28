"""Translations of Keras's folder ``merging``."""

from functools import reduce

from batchdot.porting.program import Value
from batchdot.porting.translation.layer import Layer
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

SIGNS = {"Add": " + ", "Subtract": " - ", "Multiply": " * "}
FUNCTIONS = {"Maximum": "torch.maximum", "Minimum": "torch.minimum"}


@translates("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
def merge(layer: Layer) -> Forward:
    """An operator, or a function of two, over all inputs in order."""
    kind = layer.record.class_name

    def forward(site: Site) -> Result:
        values = _spread(site)
        texts = [value.text for value in values]
        if kind in FUNCTIONS:
            text = reduce(lambda left, right: f"{FUNCTIONS[kind]}({left}, {right})", texts)
        elif kind == "Average":
            text = f"({' + '.join(texts)}) / {len(texts)}"
        else:
            text = SIGNS[kind].join(texts)
        return values[0].with_text(text)

    return forward


def _spread(site: Site) -> tuple[Value, ...]:
    """Return the inputs with one rank: Keras puts the axes that one lacks behind the batch."""
    values = site.alike(site.values())
    ranks = [value.rank for value in values]
    if len(set(ranks)) == 1 or None in ranks:
        return values
    most = max(rank for rank in ranks if rank is not None)
    spread = []
    for value in values:
        assert value.rank is not None
        missing = most - value.rank
        index = ", ".join([":", *["None"] * missing])
        spread.append(value.with_text(f"{value}[{index}]") if missing else value)
    return tuple(spread)


@translates("Concatenate")
def concatenate(layer: Layer) -> Forward:
    """torch.cat."""
    axis = layer.integer("axis")

    def forward(site: Site) -> Result:
        values = site.alike(site.values())
        text = f"torch.cat([{', '.join(map(str, values))}], dim={values[0].axis(axis)})"
        return values[0].with_text(text)

    return forward


@translates("Dot")
def dot(layer: Layer) -> Forward:
    """The simplest product that means the same: of rows, of matrices, or torch.einsum."""
    return lambda site: f"({site.xs[0]} * {site.xs[1]}).sum(1, keepdim=True)"

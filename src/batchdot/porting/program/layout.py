"""Move the channels of a tensor behind the batch and back, with one ``permute`` where orders of axes meet."""

from collections.abc import Mapping
from dataclasses import replace

from batchdot.porting.program.body import Body
from batchdot.porting.program.values import Value

TO_FIRST = {3: ".mT", 4: ".permute(0, 3, 1, 2)", 5: ".permute(0, 4, 1, 2, 3)"}
TO_LAST = {3: ".mT", 4: ".permute(0, 2, 3, 1)", 5: ".permute(0, 2, 3, 4, 1)"}
"""By the number of axes: of sequences (B, T, C), images (B, H, W, C) and volumes (B, D, H, W, C)."""


def channels_first(value: Value, body: Body) -> Value:
    """Return a tensor with its channels behind the batch; one of fewer than three axes is that already.

    >>> from batchdot.porting.program import Names
    >>> body = Body(Names(["image"]))
    >>> first = channels_first(Value("image", (None, 8, 8, 3)), body)
    >>> first.text, body.statements[0].expression, channels_last(first, body).text
    ('image_first', 'image.permute(0, 3, 1, 2)', 'image')
    """
    return value if value.is_first or value.rank in (1, 2) else _moved(value, body, TO_FIRST, "first")


def channels_last(value: Value, body: Body) -> Value:
    """Return a tensor with its channels as the last axis."""
    return _moved(value, body, TO_LAST, "last") if value.is_first and value.rank not in (1, 2) else value


def _moved(value: Value, body: Body, how: Mapping[int, str], name: str) -> Value:
    value = body.assign(value, name)
    if value.text not in body.twins:
        assert value.rank in how, f"the channels of a tensor with {value.rank} axes"
        twin = replace(value, text=f"{value}{how[value.rank or 0]}", is_first=not value.is_first)
        twin = body.assign(twin, f"{value}_{name}")
        body.twins[value.text], body.twins[twin.text] = twin, value
    return body.twins[value.text]

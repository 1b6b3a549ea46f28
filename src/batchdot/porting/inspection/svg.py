"""Draw the graph of a saved model as SVG: a box for each call, inputs at the top."""

from html import escape

from batchdot.porting.inspection.text import shape_text, shown
from batchdot.porting.record import Call, ModelRecord

MOST_CALLS = 2000
"""Most calls that are drawn: a larger picture is not readable."""

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 44, 24, 36, 20

STYLE = (
    "text{font:12px sans-serif;fill:#1a1a1a}.c{fill:#5a5a5a;font-size:11px}"
    "rect{fill:#f4f6fa;stroke:#8794ab}"
    ".d rect{fill:#e3f0e3;stroke:#4e8f4e}.p rect{fill:#fbe9e7;stroke:#c0392b}"
    "path{fill:none;stroke:#8794ab}"
)


def to_svg(model: ModelRecord) -> str:
    """Return the graph of a model, its nested models as single boxes.

    Dot layers are green; layers that need a replacement are red.
    """
    calls = model.calls[:MOST_CALLS]
    layers = {layer.name: layer for layer in model.layers}
    places = _places(calls)
    columns = max((column for column, _ in places.values()), default=0) + 1
    rows = max((row for _, row in places.values()), default=0) + 1
    width = 2 * MARGIN + columns * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + rows * (HEIGHT + GAP_Y) - GAP_Y
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">'
        f"<title>{escape(shown(model.name))}</title><style>{STYLE}</style>"
    ]
    for call in calls:
        for ref in dict.fromkeys((ref.layer, ref.call) for ref in call.tensors()):
            if ref in places:  # else the call that makes it is beyond what is drawn
                parts += [_edge(places[ref], places[call.layer, call.number])]
    for call in calls:
        layer = layers[call.layer]
        kind = "p" if layer.problem else "d" if layer.is_a("Dot") else "l"
        number = f" (call {call.number + 1})" if call.number else ""
        shape = shape_text(call.output_shapes[0]) if call.output_shapes else ""
        parts.append(
            _box(
                places[call.layer, call.number],
                kind,
                shown(layer.name) + number,
                f"{shown(layer.class_name)} {shape}",
            )
        )
    if len(model.calls) > MOST_CALLS:
        parts.append(
            f'<text x="{MARGIN}" y="{height - 4}">and {len(model.calls) - MOST_CALLS:,} more calls</text>'
        )
    return "".join(parts) + "</svg>\n"


def _places(calls: tuple[Call, ...]) -> dict[tuple[str, int], tuple[int, int]]:
    """Return column and row of every call: one row below the lowest of its inputs."""
    rows: dict[tuple[str, int], int] = {}
    filled: dict[int, int] = {}
    places = {}
    for call in calls:
        above = [rows[ref.layer, ref.call] for ref in call.tensors() if (ref.layer, ref.call) in rows]
        row = max(above, default=-1) + 1
        key = call.layer, call.number
        rows[key] = row
        places[key] = (filled.get(row, 0), row)
        filled[row] = filled.get(row, 0) + 1
    return places


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return MARGIN + place[0] * (WIDTH + GAP_X), MARGIN + place[1] * (HEIGHT + GAP_Y)


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = _corner(start), _corner(end)
    x, y, to_x = x + WIDTH // 2, y + HEIGHT, to_x + WIDTH // 2
    return f'<path d="M{x} {y}C{x} {y + GAP_Y // 2} {to_x} {to_y - GAP_Y // 2} {to_x} {to_y}"/>'


def _box(place: tuple[int, int], kind: str, name: str, about: str) -> str:
    x, y = _corner(place)
    return (
        f'<g class="{kind}"><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{x + 8}" y="{y + 18}">{escape(_cut(name))}</text>'
        f'<text class="c" x="{x + 8}" y="{y + 35}">{escape(_cut(about))}</text></g>'
    )


def _cut(text: str) -> str:
    return text if len(text) <= 29 else text[:28] + "…"

"""The published results: one file for each processor, `results-PROCESSOR.json`."""

import json
import re
from pathlib import Path
from typing import Any, TypeAlias

FOLDER = Path(__file__).parent

Results: TypeAlias = dict[str, Any]

_NOISE = re.compile(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*|\b\d+-core\b", re.IGNORECASE)

_GENERATIONS = (
    (23, 0x00, 0x2F, "Zen"),
    (23, 0x30, 0x4F, "Zen 2"),
    (23, 0x60, 0xAF, "Zen 2"),
    (25, 0x00, 0x0F, "Zen 3"),
    (25, 0x10, 0x1F, "Zen 4"),
    (25, 0x20, 0x5F, "Zen 3"),
    (25, 0x60, 0xAF, "Zen 4"),
    (26, 0x00, 0x2F, "Zen 5"),
    (26, 0x40, 0x4F, "Zen 5"),
    (26, 0x60, 0x7F, "Zen 5"),
)
"""AMD's families, first and last models, and generations; no other vendor has these families."""


def processor(results: Results) -> str:
    """Return the name of the processor of a run without trademarks: "Intel Xeon", "AMD EPYC, Zen 4"."""
    machine = results["machine"]
    name = " ".join(_NOISE.sub(" ", machine["processor"]).split())
    return ", ".join(filter(None, (machine.get("device"), name, _generation(machine))))


def _generation(machine: dict[str, Any]) -> str:
    """Return what tells a processor from others of its name; nothing where no numbers were recorded."""
    if "family" not in machine:
        return ""
    family, model = machine["family"], machine["model"]
    for of, first, last, generation in _GENERATIONS:
        if of == family and first <= model <= last:
            return generation
    return f"family {family}, model {model}"  # so that no run replaces the results of another generation


def path_of(name: str, folder: Path = FOLDER) -> Path:
    """Return where the results of a processor or a card of this name are published."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return folder / f"results-{words}.json"


def load_all(folder: Path = FOLDER) -> list[Results]:
    """Return the results published in a folder, in the order of the names of their files."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("results-*.json"))]


def load(folder: Path = FOLDER) -> dict[str, Results]:
    """Return the results published in a folder by processor."""
    return {processor(results): results for results in load_all(folder)}


def save(results: Results, path: Path) -> None:
    """Write results as JSON, with floats rounded to five digits, more than a time is accurate to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")  # a run may be stopped while it writes
    partial.write_text(json.dumps(_rounded(results), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value

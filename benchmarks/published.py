"""The published results: one file for each processor, `results-PROCESSOR.json`."""

import json
import re
from pathlib import Path
from typing import Any, TypeAlias

FOLDER = Path(__file__).parent

Results: TypeAlias = dict[str, Any]

_NOISE = re.compile(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*|\b\d+-core\b", re.IGNORECASE)


def processor(results: Results) -> str:
    """Return the name of the processor of a run without trademarks: "Intel Xeon", "AMD EPYC"."""
    machine = results["machine"]
    name = " ".join(_NOISE.sub(" ", machine["processor"]).split())
    return f"{machine['device']}, {name}" if "device" in machine else name


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

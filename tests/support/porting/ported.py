"""Compare ported modules with what Keras predicted, over the corpus.

``python -m tests.support.porting.ported [PART_OF_A_PATH ...]`` prints what is right, refused and wrong.
"""

import collections
import inspect
import json
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from tests.support.porting.corpus import WHOLE, whole_corpus

from batchdot import porting

TOLERANCE = 2e-5
HALF = 2e-3
BFLOAT = 2**-8
"""Differences allowed, relative to the largest magnitude of an output; bfloat16 rounds to 2**-9."""


def config_and_weights(path):
    """Return the file of the model, and that of its weights if it is another one; None without a config."""
    if not path.name.endswith((".w.h5", ".weights.h5")):
        return None if path.suffix == ".json" else (path, None)
    config = path.with_name(path.name.split(".")[0] + ".json")
    return (config, path) if config.exists() else None


def comparable():
    """Return the files of the whole corpus that a module with weights can be loaded from, and compared."""
    found = []
    for path in whole_corpus():
        if config_and_weights(path) is not None and recorded_beside(path).exists():
            found.append(path)
    return found


def differences(path, **options):
    """Return the largest difference of each output that can be compared, relative to its magnitude."""
    model, weights = config_and_weights(path)
    module = porting.load(model, weights=weights, **options)
    recorded = np.load(recorded_beside(path))
    inputs = [torch.tensor(recorded[f"x{i}"]) for i in range(sum(key[0] == "x" for key in recorded))]
    inputs = inputs[: len(inspect.signature(module.forward).parameters)]  # Keras lost some; see excluded
    with torch.no_grad():
        return compared(path, module(*inputs))


def recorded_beside(path):
    """Return the file of recorded inputs and outputs that belongs to a model."""
    return path.with_name(path.name.split(".")[0] + ".npz")


def compared(path, result):
    """Return the differences of what a ported model returned from what Keras recorded."""
    recorded = np.load(recorded_beside(path))
    results = list(outputs(result))
    targets = [recorded[f"y{i}"] for i in range(sum(key[0] == "y" for key in recorded))]
    if len(targets) == sum(len(leaves(each)) for each in results):
        results = [leaf for each in results for leaf in leaves(each)]
    assert len(targets) == len(results), (len(targets), len(results))
    skipped = excluded(path)
    return {
        number: difference(target, each)
        for number, (target, each) in enumerate(zip(targets, results, strict=True))
        if number not in skipped
    }


def outputs(result):
    if isinstance(result, torch.Tensor):
        return [result]
    return list(result.values()) if isinstance(result, dict) else list(result)


def leaves(result):
    if isinstance(result, torch.Tensor):
        return [result]
    return [leaf for part in result for leaf in leaves(part)]


def difference(target, result):
    """Return the largest difference over the largest magnitude; a list of states was saved as one array."""
    found = result if isinstance(result, torch.Tensor) else torch.stack(result)
    found, target = found.detach().double().numpy(), target.astype(np.float64)
    assert found.shape == target.shape, (found.shape, target.shape)
    if not np.array_equal(np.isnan(found), np.isnan(target)):
        return float("inf")
    scale = np.nanmax(np.abs(target), initial=0) or 1.0
    return float(np.nanmax(np.abs(found - target), initial=0) / scale)


def allowed(path):
    if path.name.startswith("20c"):
        return BFLOAT
    return HALF if path.name.startswith(("20b", "20d")) else TOLERANCE


def excluded(path):
    """Return the numbers of the outputs that suspect.json lists."""
    corpus = path.parent.parent
    suspects = json.loads((corpus / "suspect.json").read_text())
    index = json.loads((path.parent / "index.json").read_text())
    model = path.name.split(".")[0]
    named = [
        name
        for kind in ("wrong_runtime", "lost_in_the_file")
        for name in suspects[kind].get(path.parent.name, {}).get(model, ())
    ]
    branches = next((entry.get("branches", []) for entry in index["models"] if entry["model"] == model), [])
    return {number for number, branch in enumerate(branches) if any(name == branch for name in named)}


def verdict(path):
    """Return "right", "refused" or "wrong", and why."""
    try:
        found = differences(path)
    except porting.NotPortableError as refusal:
        return "refused", str(refusal)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return (
            "wrong",
            f"{type(error).__name__}: {str(error)[:300]} ({Path(frame.filename).name}:{frame.lineno})",
        )
    worst = {number: value for number, value in found.items() if not value <= allowed(path)}
    return ("wrong", f"outputs {worst}") if worst else ("right", "")


def main(parts):
    counts = collections.Counter()
    reasons = collections.defaultdict(list)
    for path in comparable():
        name = f"{path.parent.name}/{path.name}"
        if parts and not any(part in name for part in parts):
            continue
        kind, reason = verdict(path)
        counts[kind] += 1
        if kind != "right":
            reasons[kind, reason].append(name)
    for (kind, reason), names in sorted(reasons.items(), key=lambda item: (item[0][0], -len(item[1]))):
        print(f"{kind} {len(names)}: {reason}\n    {', '.join(names[:6])}")
    print(dict(counts))


if __name__ == "__main__":
    assert WHOLE, "BATCHDOT_KERAS_CORPUS names no folder"
    main(sys.argv[1:])

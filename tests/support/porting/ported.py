"""Compare ported modules with what Keras predicted, over the corpus.

``python -m tests.support.porting.ported [PART_OF_A_PATH ...]`` prints what is right, refused and wrong.
"""

import collections
import inspect
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
"""Differences allowed, relative to the largest magnitude of an output: in float32, and where a model computes
in float16 or in bfloat16. The latter rounds every intermediate result by up to 2**-9 of it, which is 2e-3
already, and two roundings may differ: 2**-8."""

EXCLUDED = {
    ("keras1.2.2", "13c_conv2d_first"): {8, 9, 10, 11},  # padding, cropping, upsampling: no data format saved
    ("keras2.1.6", "21d_call_kwargs"): {1},  # a mask by keyword is not saved
    ("keras2.2.4", "21d_call_kwargs"): {1, 2},
    ("tf1.12", "21d_call_kwargs"): {1},
    ("keras3.0.5", "13c_conv2d_first"): {14, 15},  # wrong when it ran: bilinear, bicubic
    ("keras3.15.1", "13c_conv2d_first"): {3},  # wrong when it ran: depthwise
    **{(version, "13c_conv2d_first"): {9} for version in ("tf2.10", "tf2.13", "tf2.15")},  # max pooling
    ("tf2.1", "21a2_masks"): {6},  # masked steps are not zeroed
    **{  # causal=True is not saved
        (version, "15a_attention"): {6} for version in ("tf2.10", "tf2.13", "tf2.15", "tf_keras2.21")
    },
}
"""Outputs by number that are not what the file means: saving lost something, or the Keras that ran was wrong.

From section 8 and ``suspect.json`` of the corpus.
"""

REFUSED = {
    (version, "17b_ops_fn"): "TensorFlow lost its operands"
    for version in ("tf2.6", "tf2.10", "tf2.13", "tf2.15", "tf_keras2.21")
}
"""Models that must be refused, and why: of einsum these versions save the equation only."""

CUSTOM = {"twice": lambda config, weights, input_shapes: lambda x: 2 * x}
"""What a user would give for the Lambda of the corpus, which holds code."""


def config_and_weights(path):
    """Return the file of the model, and that of its weights if it is another one; None without a config."""
    if not path.name.endswith((".w.h5", ".weights.h5")):
        return None if path.suffix == ".json" else (path, None)
    config = path.with_name(path.name.split(".")[0] + ".json")
    return (config, path) if config.exists() else None


def comparable(paths=None):
    """Return those files, of the whole corpus or given, that a module can be loaded from and compared."""
    return [
        path
        for path in (whole_corpus() if paths is None else paths)
        if config_and_weights(path) is not None and recorded_beside(path).exists()
    ]


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
    """Return the numbers of the outputs that are not what the file means."""
    return EXCLUDED.get((path.parent.name, path.name.split(".")[0]), frozenset())


def is_refused(path, refusal):
    """Whether a refusal is one that the corpus must give, and says why."""
    reason = REFUSED.get((path.parent.name, path.name.split(".")[0]))
    return reason is not None and reason in str(refusal)


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

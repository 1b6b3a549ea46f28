"""Run saved ports where only torch and safetensors can be imported, and compare with Keras's predictions.

``python -m tests.support.porting.alone`` rewrites the table in docs/from-keras/files.md.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import torch
from tests.support import ROOT
from tests.support.porting.corpus import WHOLE
from tests.support.porting.ported import (
    allowed,
    comparable,
    compared,
    config_and_weights,
    recorded_beside,
)

from batchdot import porting

PAGE = ROOT / "docs" / "from-keras" / "files.md"
START, END = "<!-- generated -->", "<!-- end -->"

CONTAINERS = {
    ".h5": "whole `.h5`",
    ".keras": "`.keras`",
    ".w.h5": "JSON and `.h5` of weights",
    ".weights.h5": "JSON and `.weights.h5`",
}
"""How a model is saved, by the end of the name of the file that has its weights."""

CHILD = """
import importlib.util, inspect, json, sys
from pathlib import Path

FORBIDDEN = {"batchdot", "keras", "tf_keras", "tensorflow", "h5py", "pyfive", "onnx"}


class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} is not to be imported")


sys.meta_path.insert(0, Forbid())
import numpy, torch
from safetensors.torch import load_file

for name, class_name, recorded in json.loads(Path("models.json").read_text()):
    try:
        spec = importlib.util.spec_from_file_location(name, f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        last = [value for value in vars(module).values() if isinstance(value, type)][-1]
        assert last.__name__ == class_name, last
        model = last()
        model.load_state_dict(load_file(f"{name}.safetensors"))
        given = numpy.load(recorded)
        inputs = [torch.tensor(given[f"x{i}"]) for i in range(sum(key[0] == "x" for key in given))]
        with torch.no_grad():
            result = model.eval()(*inputs[: len(inspect.signature(model.forward).parameters)])
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    torch.save(result, f"{name}.pt")
assert not FORBIDDEN & {name.partition(".")[0] for name in sys.modules}
"""


def container(path):
    """Return the end of a name that says how a model is saved."""
    return next(end for end in (".w.h5", ".weights.h5", ".keras", ".h5") if path.name.endswith(end))


def save_ports(version, folder):
    """Port all models of a version into a folder; return what was ported, and the refusals, by path."""
    ported, refused = {}, {}
    for path in comparable():
        if path.parent.name != version:
            continue
        model, weights = config_and_weights(path)
        try:
            port = porting.port(model, weights=weights)
        except porting.NotPortableError as refusal:
            refused[path] = str(refusal)
            continue
        name = "m" + "".join(letter if letter.isalnum() else "_" for letter in path.name)
        port.save(folder / f"{name}.py")
        ported[path] = name, port.class_name
    return ported, refused


def run_alone(version, folder):
    """Return a verdict on each file of a version: "right", "refused: ..." or "wrong: ..."."""
    ported, refused = save_ports(version, folder)
    models = [(*names, str(recorded_beside(path).absolute())) for path, names in ported.items()]
    (folder / "models.json").write_text(json.dumps(models))
    subprocess.run([sys.executable, "-I", "-c", CHILD], cwd=folder, check=True)
    verdicts = {path: f"refused: {reason}" for path, reason in refused.items()}
    for path, (name, _) in ported.items():
        result = torch.load(folder / f"{name}.pt")
        found = result if isinstance(result, str) else compared(path, result)
        is_right = not isinstance(found, str) and all(value <= allowed(path) for value in found.values())
        verdicts[path] = "right" if is_right else f"wrong: {found}"
    return verdicts


def versions():
    return sorted({path.parent.name for path in comparable()})


def table(verdicts):
    """Return the table: for each version and container, how many files are right, refused and wrong."""
    counts = defaultdict(Counter)
    for path, verdict in verdicts.items():
        counts[path.parent.name, container(path)][verdict.partition(":")[0]] += 1
    lines = [f"| saved by | {' | '.join(CONTAINERS.values())} |", f"|---|{'---|' * len(CONTAINERS)}"]
    for version in sorted({version for version, _ in counts}, key=_by_age):
        cells = [
            " / ".join(str(count[kind]) for kind in ("right", "refused", "wrong")) if count else ""
            for count in (counts.get((version, end), Counter()) for end in CONTAINERS)
        ]
        lines.append(f"| {_title(version)} | {' | '.join(cells)} |")
    total = Counter(verdict.partition(":")[0] for verdict in verdicts.values())
    return [
        *lines,
        "",
        f"In all: {total['right']:,} right, {total['refused']:,} refused, {total['wrong']} wrong.",
    ]


def _title(version):
    for start, name in (("tf_keras", "tf_keras "), ("keras", "Keras "), ("tf", "TensorFlow ")):
        if version.startswith(start):
            return name + version.removeprefix(start)
    raise ValueError(version)


def _by_age(version):
    family = ("keras1", "keras2", "tf1", "tf2", "tf_keras", "keras3")
    order = next(number for number, start in enumerate(family) if version.startswith(start))
    return order, [int(part) for part in version.lstrip("_abcdefghijklmnopqrstuvwxyz").split(".")]


def generated(page):
    """Return the generated part of a page."""
    return page.partition(START)[2].partition(END)[0].strip().splitlines()


def main():
    verdicts = {}
    for version in versions():
        with tempfile.TemporaryDirectory() as folder:
            verdicts |= run_alone(version, Path(folder))
        print(version, Counter(verdict.partition(":")[0] for verdict in verdicts.values()), flush=True)
    for path, verdict in verdicts.items():
        if verdict != "right":
            print(f"{path.parent.name}/{path.name}", verdict)
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.partition(START)[0], page.partition(END)[2]
    lines = "\n".join(table(verdicts))
    PAGE.write_text(f"{before}{START}\n\n{lines}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    assert WHOLE, "BATCHDOT_KERAS_CORPUS names no folder"
    main()

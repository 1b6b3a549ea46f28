"""What sixteen versions of Keras saved: read whole, equal across containers, and shaped as they predicted."""

import io
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.porting.corpus import WHOLE, WHY_NOT, read_model, whole_corpus

from batchdot import porting
from batchdot.porting.record import FrozenMap, TensorRef

CONTAINERS = (".h5", ".keras", ".w.h5", ".weights.h5")


def models(folder):
    paths = [path for path in sorted(folder.glob("*/*")) if path.name not in ("index.json", "weights.json")]
    return {
        key: list(group)
        for key, group in itertools.groupby(
            paths, key=lambda path: (path.parent.name, path.name.split(".")[0])
        )
        if key[0] != "hdf5"
    }


def check_model(paths):
    """Read every container of one model; compare the records, and the shapes with what was predicted."""
    by_suffix = {path.name[len(path.name.split(".")[0]) :]: path for path in paths}
    records = {suffix: read_model(by_suffix[suffix]) for suffix in CONTAINERS if suffix in by_suffix}
    records = {suffix: record for suffix, record in records.items() if record is not None}
    first = next(iter(records.values()), None)
    bare = porting.read(by_suffix[".json"]) if ".json" in by_suffix else None
    if bare is not None and any("does not say which Keras 3" in note for note in bare.notes):
        bare, first = without_softmax_rule(bare), without_softmax_rule(first)
        records = {suffix: without_softmax_rule(record) for suffix, record in records.items()}
    for suffix, record in records.items():
        assert record == first, suffix  # the numbers of weights too
    if bare is not None:
        assert not bare.has_weights
        if first is not None:
            assert [layer.name for layer in bare.layers] == [layer.name for layer in first.layers]
            assert [call.arguments for call in bare.calls] == [call.arguments for call in first.calls]
    for record in records.values():
        for layer in record.layers:
            for weight in layer.all_weights():
                numbers = weight.read()
                assert numbers.shape == weight.shape
                assert numbers.dtype.name == weight.dtype
    if first is not None and ".npz" in by_suffix:
        check_shapes(first, np.load(io.BytesIO(by_suffix[".npz"].read_bytes())), by_suffix[".npz"])
    return len(records)


def without_softmax_rule(record):
    """Return a record without what only the version of Keras 3 decides, which its JSON does not say."""
    calls = tuple(
        replace(
            call,
            arguments=FrozenMap({k: v for k, v in call.arguments.items() if k != "zeroes_masked"}),
        )
        for call in record.calls
    )
    return replace(record, calls=calls)


def check_shapes(record, arrays, path):
    shapes = {
        call.output(number): shape for call in record.calls for number, shape in enumerate(call.output_shapes)
    }
    lost = "21d_call_kwargs" in path.name  # an input that only a dropped keyword used
    assert len(record.input_refs) == sum(name.startswith("x") for name in arrays) or lost
    outputs = record.outputs.values() if hasattr(record.outputs, "values") else record.outputs
    outputs = (outputs,) if isinstance(outputs, TensorRef) else tuple(outputs)
    if sum(name.startswith("y") for name in arrays) == len(record.output_refs):
        outputs = record.output_refs  # up to TensorFlow 1.15, predict returned states one by one
    wrong_runtime = "keras3.0.5/13c" in path.as_posix()  # upsampling of channels first, see suspect.json
    for number, ref in enumerate(outputs):
        predicted = arrays[f"y{number}"].shape
        for shape, found in states(ref, shapes, predicted):
            if shape is not None and not wrong_runtime:
                assert len(shape) == len(found)
                assert all(size in (None, told) for size, told in zip(shape, found, strict=True)), (
                    path,
                    number,
                )


def states(ref, shapes, predicted):
    """Pair shapes with what was predicted; a list of states was saved as one array."""
    if isinstance(ref, TensorRef):
        return [(shapes[ref], predicted)]
    return [(shapes[part], predicted[1:]) for part in ref]


def test_fixtures_read_equal_across_containers(fixtures):
    found = models(fixtures)
    assert len({version for version, _ in found}) == 16
    assert sum(check_model(paths) for paths in found.values()) > 500


def test_fixtures_hold_every_class(fixtures):
    classes = {
        layer.class_name
        for version, model in models(fixtures)
        for layer in porting.read(next(iter(fixtures.glob(f"{version}/{model}.json")))).all_layers()
        if (fixtures / version / f"{model}.json").exists()
    }
    assert {
        "Dense",
        "Dot",
        "LSTM",
        "GRU",
        "ConvLSTM2D",
        "MultiHeadAttention",
        "Highway",
        "LocallyConnected2D",
    } <= classes
    assert len(classes) > 120


@pytest.mark.skipif(not WHOLE, reason=WHY_NOT)
@pytest.mark.parametrize("version", sorted({path.parent.name for path in whole_corpus()}))
def test_whole_corpus_read_equal_across_containers(version):
    for paths in models(Path(WHOLE)).items():
        if paths[0][0] == version:
            check_model(paths[1])


@pytest.mark.skipif(not WHOLE, reason=WHY_NOT)
def test_whole_corpus_every_file_opens():
    from batchdot.porting.archive import open_archive

    paths = whole_corpus()
    assert len(paths) > 3400
    for path in paths:
        open_archive(path)

"""Models of public kinds, built and saved by live Keras, compute the same ported from every container."""

import numpy as np
import pytest
from tests.support.live_keras import live_keras
from tests.support.porting.zoo import LARGE, ZOO, randomized

from batchdot import porting
from batchdot.porting.record import FrozenMap
from batchdot.porting.verification.inputs import random_inputs

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]


def containers(model, folder):
    """Save a model in every container that its Keras writes; return the files with their weights' files."""
    files = {"m.keras": None, "m.h5": None, "m.json": "m.weights.h5"}
    model.save(str(folder / "m.keras"))
    model.save(str(folder / "m.h5"))
    model.save_weights(str(folder / "m.weights.h5"))
    (folder / "m.json").write_text(model.to_json(), encoding="utf-8")
    return {folder / name: weights and folder / weights for name, weights in files.items()}


def record_answers(model, path, target):
    """Write random inputs and what Keras predicts for them."""
    record = porting.read(path)
    inputs = random_inputs(record)
    given = list(inputs.values())
    if isinstance(record.inputs, FrozenMap):
        given = {key: inputs[ref] for key, ref in record.inputs.items()}
    outputs = model.predict(given, batch_size=100, verbose=0)
    if isinstance(outputs, dict):
        outputs = [outputs[key] for key in record.outputs]
    outputs = outputs if isinstance(outputs, list) else [outputs]
    answers = {f"y{number}": np.asarray(output) for number, output in enumerate(outputs)}
    np.savez(target, **{f"x{number}": array for number, array in enumerate(inputs.values())}, **answers)


def assert_same(name, make, folder):
    model = randomized(live_keras(name), make)
    files = containers(model, folder)
    record_answers(model, folder / "m.keras", folder / "io.npz")
    for path, weights in files.items():
        try:
            result = porting.verify(path, weights=weights, data=folder / "io.npz")
        except porting.ModelFileError:  # tf_keras loses which call of a shared layer is meant in some .h5
            with pytest.raises(KeyError):
                live_keras(name).models.load_model(path)
            continue
        assert result.agrees, str(result)
        assert all(output.scale > 1e-3 for output in result.outputs)


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
@pytest.mark.parametrize("make", ZOO, ids=lambda make: make.__name__)
def test_load_of_public_kind_agrees(name, make, tmp_path):
    assert_same(name, make, tmp_path)


NONE = [("keras", "NASNetMobile")]
"""What Keras refuses to build on torch."""

CLASSIFIERS = [
    (name, make) for make in LARGE for name in ("tf_keras", "keras") if (name, make.__name__) not in NONE
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make"), CLASSIFIERS, ids=[f"{make.__name__}-{name}" for name, make in CLASSIFIERS]
)
def test_load_of_image_classifier_agrees(name, make, tmp_path):
    assert_same(name, make, tmp_path)

"""``load_model`` and ``load_weights``, for every container that a version of Keras wrote."""

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras
from tests.support.porting.corpus import fixture_files
from tests.support.porting.saved import dense, functional, given, kernel, write

import batchdot
from batchdot import layers, porting

WEIGHTS = [
    name
    for name, _ in fixture_files()
    if name.split("/")[-1].startswith("01_mf.") and name.endswith((".h5", ".keras"))
]


def recorded(path):
    data = np.load(path.with_name("01_mf.npz"))
    return [torch.tensor(data[key]) for key in sorted(data) if key[0] == "x"], data["y0"]


@pytest.mark.parametrize("name", [name for name in WEIGHTS if not name.endswith((".w.h5", ".weights.h5"))])
def test_load_model_of_any_version_predicts_as_it_did(name, fixtures):
    inputs, target = recorded(fixtures / name)
    found = batchdot.models.load_model(fixtures / name)(*inputs)
    np.testing.assert_allclose(found.detach(), target, atol=2e-5)


def factorization():
    """The model of the files: the product of rows of two tables."""
    users, items = batchdot.Input((1,), name="users"), batchdot.Input((1,), name="items")
    rows = [layers.Flatten()(layers.Embedding(size, 6)(ids)) for size, ids in ((11, users), (13, items))]
    return batchdot.Model([users, items], layers.Dot(1)(rows))


@pytest.mark.parametrize("name", WEIGHTS)
def test_load_weights_of_any_container_fills_the_model(name, fixtures):
    inputs, target = recorded(fixtures / name)
    model = factorization()
    model.load_weights(fixtures / name)
    np.testing.assert_allclose(model(inputs).detach(), target, atol=2e-5)


def test_load_weights_that_do_not_fit_changes_nothing(fixtures, tmp_path):
    x = batchdot.Input((3,))
    model = batchdot.Model(x, layers.Dense(2)(x))
    before = [weight.copy() for weight in model.get_weights()]
    for path, error in ((fixtures / WEIGHTS[0], porting.ModelFileError), (tmp_path / "none.h5", OSError)):
        with pytest.raises(error):
            model.load_weights(path)
    for found, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, kept)


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("container", ["m.keras", "m.h5", "m.weights.h5"])
@pytest.mark.parametrize("engine", ["tf_keras", "keras"])
def test_load_weights_of_live_keras_fills_the_same_model(engine, container, tmp_path):
    k = live_keras(engine)

    def towers(k):
        x, y = k.Input((4,)), k.Input((4,))
        tower = k.Sequential(
            [k.Input((4,)), k.layers.Dense(3, activation="tanh", name="a"), k.layers.Dense(2, name="b")]
        )
        return k.Model([x, y], k.layers.Dot(1, normalize=True)([tower(x), tower(y)]))

    model, mine = towers(k), towers(batchdot)
    (model.save_weights if "weights" in container else model.save)(str(tmp_path / container))
    mine.load_weights(tmp_path / container)
    given = [np.random.default_rng(seed).normal(size=(5, 4)).astype("float32") for seed in (0, 1)]
    found = mine(list(map(torch.tensor, given)))
    np.testing.assert_allclose(found.detach(), model.predict(given, verbose=0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("names", [("p", "q"), ("q", "p"), ("r", "s")], ids="".join)
def test_load_weights_into_sequential_goes_by_order(names, tmp_path):
    """As Keras does with legacy files, whatever the layers are called."""
    config = functional([given("x", 3), dense("p", ["x"], 3), dense("q", ["p"], 3)], ["x"], ["q"])
    arrays = {name: kernel(name, 3, 3, seed=seed) for seed, name in enumerate("pq")}
    path = write(tmp_path / "m.h5", config, arrays)
    model = batchdot.Sequential([batchdot.Input((3,)), *(layers.Dense(3, name=name) for name in names)])
    model.load_weights(path)
    for array, (_, wanted) in zip(model.get_weights(), [*arrays["p"], *arrays["q"]], strict=True):
        np.testing.assert_array_equal(array, wanted)

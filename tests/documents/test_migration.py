"""The pairs of docs/from-keras/migration.md: what Keras computes, run by tf_keras, and what batchdot does."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tests.documents.test_docs import FENCE, run_python
from tests.support import ROOT
from tests.support.live_keras import tf_keras
from tests.tutorials.parts import set_torch_weights

import batchdot

PAGE = ROOT / "docs" / "from-keras" / "migration.md"
TEXT = PAGE.read_text(encoding="utf-8")
FENCES = [text for language, text in FENCE.findall(TEXT) if language == "python"]
Session = dict[str, Any]


def close(theirs: Any, ours: Any, atol: float = 1e-5) -> None:
    ours = ours.detach().numpy() if isinstance(ours, torch.Tensor) else ours
    np.testing.assert_allclose(np.asarray(theirs), ours, rtol=1e-5, atol=atol)


def same_weights(theirs: Any, ours: Any, atol: float = 1e-5) -> None:
    for weight, other in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        close(weight, other, atol)


# What a pair has to agree in, in the order of the page.


def saved_model(theirs: Session, ours: Session) -> None:
    close(theirs["scores"], ours["scores"])


def one_line(theirs: Session, ours: Session) -> None:
    theirs["model"].set_weights(ours["model"].get_weights())
    assert theirs["model"].get_layer("match").output_shape == ours["model"].get_layer("match").output_shape


def ids_without_their_axis(theirs: Session, ours: Session) -> None:
    close(theirs["some"], ours["some"])


def predict(theirs: Session, ours: Session) -> None:
    assert type(ours["predicted"]) is np.ndarray
    close(theirs["predicted"], ours["predicted"])


def training(theirs: Session, ours: Session) -> None:
    for session in (theirs, ours):
        assert np.all(np.asarray(session["called"]) == 1)
        assert set(np.unique(np.asarray(session["trained"]))) == {0, 2}


def weights(theirs: Session, ours: Session) -> None:
    for one, other in zip(theirs["weights"], ours["weights"], strict=True):
        assert np.array_equal(one, other)


def save_and_load(theirs: Session, ours: Session) -> None:
    same_weights(theirs["model"], ours["model"])
    ours["model"].load_weights("towers.weights.h5")
    same_weights(theirs["model"], ours["model"])
    for session in (theirs, ours):  # each reads what the other wrote
        again = batchdot.models.model_from_json(session["config"])
        assert again.output_shape == (None, 1)


def optimizer_first(theirs: Session, ours: Session) -> None:
    same_weights(theirs["line"], ours["line"])
    assert not np.allclose(ours["line"].get_weights()[0], 1)


def trained_alike(theirs: Any, ours: Any) -> None:
    """Compare weights after steps of Adam.

    TensorFlow adds epsilon before it corrects the bias of the second moment, PyTorch afterwards. That shows
    where a gradient is not far above epsilon: in some weights, by less than the steps that were taken.
    """
    for weight, other in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        differences = np.abs(weight - other)
        assert np.mean(differences < 1e-4) > 0.9
        assert differences.max() < 3e-3


def loop(theirs: Session, ours: Session) -> None:
    trained_alike(theirs["model"], ours["model"])
    moved = theirs["model"].get_weights()[0] - theirs["weights"][0]
    assert np.abs(moved).max() > 1e-3


def callbacks(theirs: Session, ours: Session) -> None:
    close(theirs["losses"], ours["losses"], atol=1e-5)
    trained_alike(theirs["model"], ours["model"])


def backend(theirs: Session, ours: Session) -> None:
    for name in ("cosines", "scores"):
        close(theirs[name], ours[name])


def same_values(theirs: Session, ours: Session, inputs: str, *names: str) -> None:
    """Compare what symbolic tensors stand for, with the same weights in the layers before them."""
    for name in names:
        rng = np.random.default_rng(0)
        their_model, our_model = (
            session["keras"].Model(session[inputs], session[name]) for session in (theirs, ours)
        )
        layers = ([layer for layer in model.layers if layer.weights] for model in (their_model, our_model))
        for layer, other in zip(*layers, strict=True):
            arrays = [random_weight(rng, weight) for weight in layer.weights]
            layer.set_weights(arrays)
            if isinstance(other, batchdot.layers.TorchModuleWrapper):
                set_torch_weights(other.module, arrays)
            else:
                other.set_weights(arrays)
        x = rng.normal(3, 2, (4, *ours[inputs].shape[1:])).astype("float32")
        close(their_model(x), our_model.eval()(torch.from_numpy(x)))


def random_weight(rng: np.random.Generator, weight: Any) -> np.ndarray:
    array = 0.3 * rng.normal(size=weight.shape).astype("float32")
    return np.abs(array) + 0.5 if "variance" in weight.name else array


def lstm(theirs: Session, ours: Session) -> None:
    states = {name: ours[name][0] for name in "hc"}  # PyTorch's have an axis of layers, of which this is one
    same_values(theirs, ours | states, "x", "last", "h", "c")


def decoder(theirs: Session, ours: Session) -> None:
    same_values(theirs, ours, "x", "decoded", "both")


def convolutions(theirs: Session, ours: Session) -> None:
    same_values(theirs, ours, "x", "first")
    same_values(theirs, ours, "images", "pixels")


def normalization(theirs: Session, ours: Session) -> None:
    same_values(theirs, ours, "x", "normal", "timed")


CHECKS = [
    *(saved_model, one_line, ids_without_their_axis, predict, training, weights, save_and_load),
    *(optimizer_first, loop, callbacks, backend, lstm, decoder, convolutions, normalization),
]


def is_keras(text: str) -> bool:
    return text.startswith("# Keras\n")


def test_every_pair_is_compared():
    assert sum(map(is_keras, FENCES)) == len(CHECKS)
    for text, following in pairwise(FENCES):
        assert not (is_keras(text) and is_keras(following))


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Run the page in both libraries side by side; return what their sessions hold."""
    folder = tmp_path_factory.mktemp("migration")
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    tf_keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    theirs: Session = {"np": np}
    ours: Session = {"__name__": "__main__"}
    checks, check = iter(CHECKS), None
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for text in FENCES:
            if is_keras(text):
                exec(text, theirs)
                check = next(checks)
                continue
            ours = run_python(text, ours, PAGE.name)
            if check is not None:
                check(theirs, ours)
                check = None
            else:  # data, for both
                theirs |= {name: value for name, value in ours.items() if type(value) is np.ndarray}
                theirs |= {name: theirs["keras"].Input(ours[name].shape[1:]) for name in NEW if name in ours}
    return theirs, ours


NEW = ("query", "value")
"""Symbolic tensors that a block without a partner makes."""


@pytest.mark.keras
def test_pairs(sessions):
    theirs, ours = sessions
    assert theirs["keras"].__name__ == "tf_keras"
    assert ours["keras"] is batchdot


def rows(heading: str) -> list[tuple[str, str]]:
    """Return the pairs of code in the table of a section."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", section, re.MULTILINE)


LOSSES = rows("Losses and metrics")
LINES = rows("A layer that is one line is that line")


def test_tables_have_their_rows():
    assert (len(LOSSES), len(LINES)) == (14, 8)


@pytest.mark.keras
@pytest.mark.parametrize(("theirs", "ours"), LOSSES)
def test_losses(theirs, ours):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 96)
    arrays = {
        "y": rng.uniform(0.01, 0.99, (96, 1)).astype("float32"),
        "p": rng.uniform(0.01, 0.99, (96, 1)).astype("float32"),
        "labels": labels,
        "one_hot": np.eye(5, dtype="float32")[labels],
        "logits": rng.normal(size=(96, 5)).astype("float32"),
    }
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    expected = eval(theirs, {"keras": tf_keras, **arrays})
    close(expected, eval(ours, {"torch": torch, "F": F, **tensors}))


@pytest.mark.keras
@pytest.mark.parametrize(("theirs", "ours"), LINES)
def test_layers_of_a_line(theirs, ours, sessions):
    values = []
    for session, code in zip(sessions, (theirs, ours), strict=True):
        names = [name for name in ("x", "query", "value") if re.search(rf"\b{name}\b", code)]
        inputs = [session[name] for name in names]
        model = session["keras"].Model(inputs, eval(code, session))
        data = [
            np.random.default_rng(len(names)).normal(size=(3, *tensor.shape[1:])).astype("float32")
            for tensor in inputs
        ]
        values.append(model.predict(data, **({"verbose": 0} if session is sessions[0] else {})))
    close(*values)

"""The report: what it says, as text, as data, as a picture, and at the command line."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import h5py
import numpy as np
import pytest
from tests.support.porting.attacks.json_attacks import dense, layer, model
from tests.support.porting.corpus import FIXTURES, fixture_files

from batchdot import porting
from batchdot.cli.main import main

EXAMPLE = FIXTURES / "example.h5"

TEXT = """\
functional model 'tower' of 5 layers, 27 parameters, 27 of them trainable

Inputs
  user_id  (B, 1)  int32
  item_id  (B, 1)  int32

Outputs
  score  (B, 1, 1)

Layers
  layer    class       output     parameters  becomes
  user_id  InputLayer  (B, 1)     0           an argument
  item_id  InputLayer  (B, 1)     0           an argument
  user     Embedding   (B, 1, 3)  15          nn.Embedding
  item     Embedding   (B, 1, 3)  12          nn.Embedding
  score    Dot         (B, 1, 1)  0           a dot product

Dot products
  score  (B, 1, 3) · (B, 1, 3)  -> (B, 1, 1)  bik,bjk->bij  cosine of every row with every row

Graph
  user = Embedding(user_id)
  item = Embedding(item_id)
  score = Dot([user, item])
"""


def write(tmp_path, data):
    path = tmp_path / "m.json"
    path.write_bytes(data)
    return path


def test_text_of_example():
    first, _, rest = str(porting.inspect(EXAMPLE)).partition("\n")
    assert first == f"{EXAMPLE}: whole model (HDF5), saved by tf_keras 2.21.0"
    assert rest + "\n" == TEXT


def test_data_of_example():
    data = json.loads(json.dumps(porting.inspect(EXAMPLE).data(), allow_nan=False))
    assert data["parameters"] == 27
    assert [one["class"] for one in data["layers"]][-1] == "Dot"
    assert data["dots"] == [
        {
            "layer": "score",
            "shapes": [[None, 1, 3], [None, 1, 3]],
            "axes": [2, 2],
            "cosine": True,
            "einsum": "bik,bjk->bij",
            "output": [None, 1, 1],
            "words": "cosine of every row with every row",
        }
    ]
    assert data["not_portable"] == []


@pytest.mark.parametrize(
    "wanted", ["keras1.2.2", "keras2.1.6", "tf1.12", "tf2.13", "keras3.0.5", "keras3.15.1"]
)
def test_every_committed_model_of_a_version_reported(tmp_path, wanted):
    count = 0
    for name, data in fixture_files():
        version, _, file = name.partition("/")
        if version != wanted or not file.endswith((".h5", ".keras", ".json")) or ".w" in file:
            continue
        path = tmp_path / file
        path.write_bytes(data)
        report = porting.inspect(path)
        assert len(str(report)) > 100
        ET.fromstring(report.svg())
        json.dumps(report.data(), allow_nan=False)
        count += 1
    assert count > 20


def test_picture_escapes_names(tmp_path):
    name = '<script>"&\u202e\n'
    root = ET.fromstring(porting.inspect(write(tmp_path, model(layer("Dense", name, "x", units=2)))).svg())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.startswith('<script>"&\\u202e') for text in texts)


def test_text_has_no_control_characters(tmp_path):
    text = str(porting.inspect(write(tmp_path, model(layer("Dense", "a\x1b[31m\nb", "x", units=2)))))
    assert all(character.isprintable() for line in text.split("\n") for character in line)


def softmax_of_one(tmp_path):
    return write(tmp_path, dense(units=1, activation="softmax"))


def weights_of(value):
    def make(tmp_path):
        path = tmp_path / "m.h5"
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = dense()
            group = file.create_group("model_weights")
            group.attrs["layer_names"] = np.array([b"d"])
            group.create_group("d").attrs["weight_names"] = np.array([b"d/kernel:0", b"d/bias:0"])
            group["d/d/kernel:0"], group["d/d/bias:0"] = np.full((4, 3), value, "f4"), np.zeros(3, "f4")
        return path

    return make


def nan_inside(tmp_path):
    inner = json.loads(dense())["config"]
    outer = {"class_name": "Functional", "name": "tower", "config": inner, "inbound_nodes": [[["x", 0, 0]]]}
    path = weights_of(np.nan)(tmp_path)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = model(outer, outputs=[["tower", 1, 0]])
        group = file["model_weights"]
        group.attrs["layer_names"] = np.array([b"tower"])
        group.move("d", "tower")
    return path


def lost_mask(tmp_path):
    extra = layer("InputLayer", "mask", batch_input_shape=[None, 4])
    return write(
        tmp_path, model(extra, layer("Dense", "d", "x", units=2), inputs=("x", "mask"), version="2.2.4")
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (softmax_of_one, "d: a softmax over an axis of size 1 is always 1"),
        (weights_of(np.nan), "d: NaN in its kernel"),
        (weights_of(np.inf), "d: infinity in its kernel"),
        (nan_inside, "tower/d: NaN in its kernel"),
        (lost_mask, "Nothing uses the input 'mask'"),
    ],
    ids=["softmax", "nan", "infinity", "nan inside", "lost mask"],
)
def test_warning_given(tmp_path, make, said):
    report = porting.inspect(make(tmp_path))
    assert any(said in warning for warning in report.warnings)
    assert said in str(report)


def test_clean_model_no_warning(tmp_path):
    assert porting.inspect(weights_of(1)(tmp_path)).warnings == ()


def test_command_prints_and_draws(tmp_path, capsys):
    picture = tmp_path / "graph.svg"
    assert main(["inspect", str(EXAMPLE), "--svg", str(picture)]) == 0
    assert capsys.readouterr().out == str(porting.inspect(EXAMPLE)) + "\n"
    assert picture.read_text(encoding="utf-8") == porting.inspect(EXAMPLE).svg()
    assert main(["inspect", str(EXAMPLE), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tower"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.h5"], "cannot open missing.h5: no such file"),
        (["."], "found a directory"),
        (["model.json", "--svg", "model.json"], "should end with .svg"),
        (["model.json", "--weights", "missing.h5"], "cannot open missing.h5: no such file"),
        (["text.h5"], "text.h5"),
    ],
)
def test_command_refused_in_one_line(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, dense()).rename("model.json")
    Path("text.h5").write_text("no model")
    assert main(["inspect", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_version_with_control_characters_not_printed(tmp_path):
    path = write(tmp_path, model(layer("Dense", "d", "x", units=3), version="3.4\x1b[31m\nhidden"))
    assert "\x1b" not in str(porting.inspect(path))
    assert "hidden" not in str(porting.inspect(path))


def test_dot_of_64_axes_described(tmp_path):
    shape = [None, *[1] * 31]
    inputs = [layer("InputLayer", name, batch_input_shape=shape, dtype="float32") for name in ("p", "q")]
    dot = layer("Dot", "dot", axes=[5, 5], normalize=False)
    dot["inbound_nodes"] = [[["p", 0, 0, {}], ["q", 0, 0, {}]]]
    assert "too many axes" in str(porting.inspect(write(tmp_path, model(*inputs, dot, inputs=("p", "q")))))


def test_weights_go_with_a_config(tmp_path):
    config = write(tmp_path, dense())
    assert "no weights" in str(porting.inspect(config))
    assert "15 parameters" in str(porting.inspect(config, weights=weights_of(1)(tmp_path)))


def test_weights_alone_refused_with_advice(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = np.zeros(0)
    with pytest.raises(porting.ModelFileError, match="this file as weights="):
        porting.inspect(tmp_path / "w.h5")


def shared_layer():
    both = layer("Dense", "d", units=4)
    both["inbound_nodes"] = [[["x", 0, 0, {}]], [["d", 0, 0, {}]]]
    return model(both, outputs=[["d", 1, 0]])


def test_table_counts_calls(tmp_path):
    assert "  d      Dense       (B, 4), 2 calls" in str(porting.inspect(write(tmp_path, shared_layer())))


def test_config_without_weights_has_no_counts(tmp_path):
    report = porting.inspect(write(tmp_path, dense()))
    assert "no weights" in str(report)
    assert "parameters" not in str(report)
    assert report.data()["parameters"] is report.data()["layers"][-1]["parameters"] is None


def test_repr_of_record_has_no_control_characters(tmp_path):
    name = "a\x1b[31m"
    dot = layer("Dot", "dot", name, name, axes=1, **{name: 1})
    shared = layer("Dense", name, "x", units=2, activation="b\x1b[0m")
    assert repr(porting.read(write(tmp_path, model(shared, dot)))).isprintable()


def test_report_printed_on_ascii_terminal(tmp_path):
    path = write(
        tmp_path, model(layer("Dense", "d\u00e9", "x", units=2), layer("Dot", "s", "x", "x", axes=1))
    )
    run = subprocess.run(
        [sys.executable, "-m", "batchdot", "inspect", str(path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
        capture_output=True,
        check=True,
    )
    text = run.stdout.decode("ascii")
    assert "d\\xe9" in text
    assert "(B, 4) * (B, 4)" in text

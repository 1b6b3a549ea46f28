"""The example of a model: it learns, and says what it did."""

import math
import runpy
import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
from tests.support import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def example() -> Any:
    return runpy.run_path(str(EXAMPLES / "two_tower.py"))


def test_the_loss_falls_and_the_held_out_ratings_are_predicted(example: Any, capsys: Any) -> None:
    result = example["main"]()
    history = result["history"]
    assert len(history) == 6
    assert all(later < earlier for earlier, later in pairwise(history))
    assert history[-1] < history[0] / 1.8
    assert result["held out"] < result["guess"] / 2.5
    assert result["same"] is True
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.count("epoch ") == 6
    assert "saved and loaded: the same, to the bit" in printed.out
    assert 'Model: "two_towers"' in printed.out


def test_the_regularizers_take_part(example: Any) -> None:
    model = example["build_model"]()
    tables = [model.get_layer(f"{name}_table").embeddings for name in ("writer", "place")]
    torch.testing.assert_close(model.losses, [0.01 * table.square().sum() for table in tables])
    torch.stack(model.losses).sum().backward()
    assert all(table.grad is not None for table in tables)


def test_the_ratings_are_all_there_once(example: Any) -> None:
    writers, places, ratings = example["load_ratings"]()
    assert writers.shape == places.shape == ratings.shape == (200 * 64, 1)
    assert len({*zip(writers.flatten().tolist(), places.flatten().tolist(), strict=True)}) == 200 * 64
    assert (ratings.min(), ratings.max()) == (0, 1)
    assert math.isclose(ratings[(writers == 0) & (places == 2)].item(), 5 / 16)


def test_it_runs_as_a_script(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["two_tower.py"])
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *_: None)  # the loop alone, no learning
    runpy.run_path(str(EXAMPLES / "two_tower.py"), run_name="__main__")
    assert "held out" in capsys.readouterr().out

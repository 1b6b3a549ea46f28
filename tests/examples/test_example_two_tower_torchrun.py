"""The example of sharded towers: two processes learn what one would, and only the first one speaks."""

import os
import re
import runpy
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "two_tower_torchrun.py"


def losses_of_one_process(monkeypatch):
    """What the same model learns where nothing is sharded."""
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    example = runpy.run_path(str(EXAMPLE))
    torch.manual_seed(0)
    model = example["build_model"]()
    columns = example["load_ratings"]()
    columns = [column[len(column) // 10 :] for column in columns]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    history = []
    for _ in range(6):
        losses = []
        for writers, places, ratings in zip(*(c.split(512) for c in columns), strict=True):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model([writers, places]), ratings)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        history.append(sum(losses) / len(losses))
    return history


@pytest.mark.slow
def test_two_processes_learn_what_one_does(monkeypatch):
    result = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(EXAMPLE)],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    printed = result.stdout.splitlines()
    assert printed[0] == "2 processes, each with (200, 12) of the (200, 24) writers"
    assert printed[1] == "a step communicates 1 all-reduce forward, 0 backward"
    history = [float(loss) for loss in re.findall(r"^epoch \d  loss (\S+)$", result.stdout, re.MULTILINE)]
    assert len(printed) == 9, result.stdout
    assert len(history) == 6
    assert all(later < earlier for earlier, later in pairwise(history))
    assert history[-1] < history[0] / 3
    assert history == pytest.approx(losses_of_one_process(monkeypatch), abs=2e-3)
    error, guess = map(float, re.findall(r"\d\.\d+", printed[-1]))
    assert error < guess / 3

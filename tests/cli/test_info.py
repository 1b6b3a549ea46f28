"""Info: versions, devices, kernels, and what keeps one away."""

import numpy
import torch

import batchdot
from batchdot.cli import info
from batchdot.cli.main import main
from batchdot.kernels import KERNELS


class Missing:
    name = "missing"

    def unavailable_reasons(self):
        return ["it is not compiled", "there is no compiler"]


def test_info_lists_what_runs_here(capsys, monkeypatch):
    monkeypatch.setattr(info, "KERNELS", (Missing(), *KERNELS))
    assert main(["info"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith("  "))
    assert rows["batchdot"] == batchdot.__version__
    assert rows["torch"] == torch.__version__
    assert rows["numpy"] == numpy.__version__
    assert rows["cpu"].endswith(torch.backends.cpu.get_cpu_capability())
    assert (rows["cuda"] == "none") is not torch.cuda.is_available()
    assert rows["missing"] == "it is not compiled; there is no compiler"
    assert rows["aten"] == "available"
    assert list(rows)[-1] == "aten"

"""`batchdot info`: versions, devices, kernels, why one is unavailable and what each does not support."""

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


class Picky:
    name = "picky"

    def unavailable_reasons(self):
        return []

    def describe(self):
        return "on Tuesdays"

    def limitations(self):
        return ["odd sizes: even ones are faster", "prime sizes"]


def run_info(capsys) -> list[list[str]]:
    """Run the command, and return its sections as lists of lines."""
    assert main(["info"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return [section.splitlines() for section in out.split("\n\n")]


def test_info_lists_what_runs_here(capsys, monkeypatch):
    monkeypatch.setattr(info, "KERNELS", (Missing(), Picky(), *KERNELS))
    versions, devices, kernels, *_ = run_info(capsys)
    rows = dict(line.split(maxsplit=1) for line in versions[1:] + devices[1:] + kernels[1:])
    assert rows["batchdot"] == batchdot.__version__
    assert rows["torch"] == torch.__version__
    assert rows["numpy"] == numpy.__version__
    assert rows["cpu"].endswith(torch.backends.cpu.get_cpu_capability())
    assert (rows["cuda"] == "none") is not torch.cuda.is_available()
    assert rows["missing"] == "it is not compiled; there is no compiler"
    assert rows["picky"] == "available, on Tuesdays"
    assert rows["aten"] == "available"
    assert list(rows)[-1] == "aten"


def test_info_lists_what_available_kernels_do_not_support(capsys, monkeypatch):
    monkeypatch.setattr(info, "KERNELS", (Missing(), Picky(), KERNELS[-1]))
    *_, last = run_info(capsys)
    assert last == [
        "picky leaves to the next kernel",
        "  odd sizes: even ones are faster",
        "  prime sizes",
    ]


def test_info_of_the_native_kernel_says_what_runs_on_aten(capsys, native_kernel):
    *_, last = run_info(capsys)
    assert last[0] == "native leaves to the next kernel"
    assert [line.strip() for line in last[1:]] == KERNELS[0].limitations()
    plan = batchdot.plan(torch.ones(2, 3, 4), torch.ones(2, 5, 4), 2)
    for reason in KERNELS[0].not_supported_reasons(plan):
        assert f"  {reason}" in last

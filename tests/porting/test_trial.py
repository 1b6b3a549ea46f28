"""A model whose sizes do not fit is refused by layer; one that a run on other sizes cannot judge is not."""

import itertools

import numpy as np
import pytest
import torch
from tests.support.porting.saved import dense, entry, functional, given, kernel, write

from batchdot import porting

INPUTS = {"a": (3,), "b": (4,), "image": (8, 8, 3), "small": (4, 4, 2), "free": (None, 5), "other": (None, 5)}
INPUTS |= {"photo": (None, None, 3)}

TANH = entry("Activation", "behind", ["wrong"], activation="tanh")


def pool(name, inputs, size, kind="MaxPooling2D"):
    return entry(kind, name, inputs, pool_size=[size, size], strides=[size, size], padding="valid")


def pools(count):
    """A chain of poolings that halve images."""
    names = ["photo", *(f"pool_{number}" for number in range(count))]
    return [pool(name, [before], 2) for before, name in itertools.pairwise(names)]


def nested():
    """A model inside, in which the layer "wrong" fails for the sizes of the call, which is not its first."""
    inside = [given("p", 3), given("q", 3), entry("Add", "wrong", ["p", "q"])]
    return {
        **entry("Functional", "inner", [["a", "b"]]),
        "config": functional(inside, ["p", "q"], ["wrong"], name="inner")["config"],
    }


MISFITS = {
    "add": [entry("Add", "wrong", ["a", "b"])],
    "add in a chain": [entry("Add", "wrong", ["a", "b"]), TANH],
    "add in a nested model": [nested()],
    "concatenate": [entry("Concatenate", "wrong", ["image", "small"], axis=1), TANH],
    "reshape": [entry("Reshape", "wrong", ["a"], target_shape=[2, 2])],
    "reshape in another": [
        entry("Reshape", "wrong", ["b"], target_shape=[-1, 3]),
        dense("dense", ["wrong"], 2),
    ],
    "pool of a convolution's order": [pool("wrong", ["small"], 5), TANH],
    "pool behind padding": [
        entry("ZeroPadding2D", "pad", ["small"], padding=[[1, 1], [1, 1]]),
        pool("wrong", ["pad"], 8, "AveragePooling2D"),
    ],
    "ranks of a free size": [entry("Concatenate", "wrong", ["free", "a"], axis=-1)],
    "repeat": [entry("RepeatVector", "wrong", ["image"], n=3)],
    "a free size too": [
        entry("Add", "wrong", ["a", "b"]),
        entry("Activation", "t", ["free"], activation="tanh"),
    ],
}
"""Layers behind INPUTS; "wrong" is the one that does not fit."""

JUDGED_BY_NOTHING = {
    "steps that belong together": [
        entry("MaxPooling1D", "half", ["other"], pool_size=[2], strides=[2], padding="valid"),
        entry("Add", "sum", ["free", "half"]),
    ],
    "large images": pools(6),
    "images of 512 at least": pools(9),
}
"""Layers that run for some of the sizes that are free, not for those that a trial takes first."""


def saved(layers, path):
    inputs = [given(name, *sizes) for name, sizes in INPUTS.items()]
    outputs = [layer["name"] for layer in layers if layer["name"] in ("wrong", "t")] or [layers[-1]["name"]]
    return write(
        path, functional([*inputs, *layers], list(INPUTS), outputs), {"dense": kernel("dense", 3, 2)}
    )


@pytest.mark.parametrize("case", MISFITS)
def test_port_refuses_sizes_that_do_not_fit(case, tmp_path):
    with pytest.raises(porting.NotPortableError) as caught:
        porting.port(saved(MISFITS[case], tmp_path / "m.h5"))
    ((name, reason),) = caught.value.missing
    assert name == "wrong"
    assert "\n" not in reason


@pytest.mark.parametrize("case", JUDGED_BY_NOTHING)
def test_port_keeps_what_fits_some_sizes(case, tmp_path):
    module = porting.load(saved(JUDGED_BY_NOTHING[case], tmp_path / "m.h5"))
    given_sizes = {"free": (6, 5), "other": (12, 5), "photo": (512, 512, 3)}
    shapes = [(2, *given_sizes.get(name, sizes)) for name, sizes in INPUTS.items()]
    assert len(module(*map(torch.ones, shapes))) == 2


def test_refusal_quotes_what_fails(tmp_path):
    with pytest.raises(porting.NotPortableError) as caught:
        porting.port(saved(MISFITS["add in a chain"], tmp_path / "m.h5"))
    assert str(caught.value) == (
        "'wrong' cannot be ported: a + b fails, because sizes do not fit (RuntimeError: The size of tensor a "
        "(3) must match the size of tensor b (4) at non-singleton dimension 1)"
    )


def test_port_of_fixed_sizes_refuses_what_would_fit_others(tmp_path):
    """The model inside leaves sizes open, the one around it does not."""
    inside = [given("p", None), given("q", None), entry("Add", "wrong", ["p", "q"])]
    inner = {
        **entry("Functional", "inner", [["a", "b"]]),
        "config": functional(inside, ["p", "q"], ["wrong"])["config"],
    }
    config = functional([given("a", 3), given("b", 4), inner], ["a", "b"], [("inner", 1)])
    with pytest.raises(porting.NotPortableError, match="'wrong' cannot be ported"):
        porting.port(write(tmp_path / "m.h5", config, {}))


@pytest.mark.parametrize(("implementation", "fits"), [(1, (4, 18, 2)), (2, (4, 4, 2, 2, 2, 2)), (3, (144,))])
@pytest.mark.parametrize("more", [0, 1, -1])
def test_port_refuses_a_local_kernel_of_another_image(tmp_path, implementation, fits, more):
    local = entry(
        "LocallyConnected2D",
        "wrong",
        ["image"],
        filters=2,
        kernel_size=[3, 3],
        strides=[1, 1],
        padding="valid",
        data_format="channels_last",
        activation="linear",
        use_bias=False,
        implementation=implementation,
    )
    shape = (fits[0] + more, *fits[1:])
    config = functional([given("image", 4, 4, 2), local], ["image"], ["wrong"])
    path = write(tmp_path / "m.h5", config, {"wrong": [("wrong/kernel:0", np.ones(shape, "f4"))]})
    if more:
        with pytest.raises(porting.NotPortableError, match="'wrong' cannot be ported: its kernel of shape"):
            porting.load(path)
    else:
        assert porting.load(path)(torch.ones(1, 4, 4, 2)).flatten().tolist() == [18.0] * 8

"""Initializers: the distributions of tf_keras, by their bounds and moments; seeds, dtypes, devices."""

import json
import math

import numpy as np
import pytest
import torch
from tests.support.originals import original

from batchdot import initializers

RANDOM = [
    ("RandomNormal", {}),
    ("RandomNormal", {"mean": 1.0, "stddev": 2.0}),
    ("RandomUniform", {}),
    ("RandomUniform", {"minval": 1.0, "maxval": 4.0}),
    ("TruncatedNormal", {}),
    ("TruncatedNormal", {"mean": -1.0, "stddev": 0.5}),
    *[
        ("VarianceScaling", {"scale": 3.0, "mode": mode, "distribution": distribution})
        for mode in ("fan_in", "fan_out", "fan_avg")
        for distribution in ("uniform", "truncated_normal", "untruncated_normal")
    ],
    ("GlorotUniform", {}),
    ("GlorotNormal", {}),
    ("LecunUniform", {}),
    ("LecunNormal", {}),
    ("HeUniform", {}),
    ("HeNormal", {}),
    ("Orthogonal", {}),
    ("Orthogonal", {"gain": 3.0}),
]
SHAPES = [(300, 200), (200, 300), (3, 5, 40, 100), (60000,)]


def make(name, arguments, seed=11):
    return getattr(initializers, name)(**arguments, seed=seed)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_distributions_are_keras_s(name, arguments, shape):
    if name == "Orthogonal" and len(shape) == 1:
        pytest.skip("Orthogonal has no vectors")
    theirs = np.asarray(getattr(original("tf_keras").initializers, name)(**arguments, seed=7)(shape))
    ours = make(name, arguments)(shape).numpy()
    assert ours.shape == theirs.shape
    stddev, n = theirs.std(dtype=np.float64), theirs.size
    # Two samples of the same distribution: five standard errors apart at most.
    assert abs(ours.mean() - theirs.mean()) < 5 * stddev * math.sqrt(2 / n)
    assert abs(ours.std() / stddev - 1) < 5 * math.sqrt(2 / n)
    quantiles = np.linspace(0.01, 0.99, 25)
    gap = np.quantile(ours, quantiles) - np.quantile(theirs, quantiles)
    assert np.abs(gap).max() < 0.15 * stddev
    if (
        "Normal" not in name
        and arguments.get("distribution") != "untruncated_normal"
        and name != "Orthogonal"
    ):
        for bound in (np.min, np.max):  # what has bounds comes near to the same ones
            assert bound(ours) == pytest.approx(bound(theirs), abs=0.03 * stddev)


@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_bounds_are_never_crossed(name, arguments):
    shape = (1000, 500)
    initializer = make(name, arguments)
    values = initializer(shape)
    if name == "RandomUniform":
        assert initializer.minval <= values.min()
        assert values.max() <= initializer.maxval
    elif name == "TruncatedNormal":
        assert (values - initializer.mean).abs().max() <= 2.00001 * initializer.stddev
    elif isinstance(initializer, initializers.VarianceScaling):
        n = {"fan_in": 1000, "fan_out": 500, "fan_avg": 750}[initializer.mode]
        stddev = math.sqrt(initializer.scale / n)
        assert values.std().item() == pytest.approx(stddev, rel=0.01)
        limit = {"uniform": math.sqrt(3), "truncated_normal": 2 / 0.87962566103423978}
        assert values.abs().max() <= 1.00001 * stddev * limit.get(initializer.distribution, math.inf)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 4), (5, 2, 3, 4), (0, 3)])
def test_fans_are_keras_s(shape):
    module = original("tf_keras.src.initializers.initializers")
    assert initializers.fans(shape) == module._compute_fans(shape)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 3, 4), (1, 1)])
def test_orthogonal(shape):
    q = make("Orthogonal", {"gain": 2.0})(shape, dtype=torch.float64).reshape(-1, shape[-1]) / 2
    gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64))


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_identity_is_keras_s(shape):
    want = np.asarray(original("tf_keras").initializers.Identity(2.0)(shape))
    assert (initializers.Identity(2.0)(shape).numpy() == want).all()


CONSTANTS = [
    (2, (3,)),
    (2.5, ()),
    ([1.0, 2.0, 3.0, 4.0], (2, 2)),
    (np.arange(6.0).reshape(2, 3), (2, 3)),
    (np.float32(7), (2,)),
    ([5.0], (2, 3)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize(("value", "shape"), CONSTANTS, ids=str)
def test_constants_are_keras_s(value, shape, dtype):
    if dtype == "int32" and isinstance(value, float):
        pytest.skip("TensorFlow refuses it")
    if dtype == "int32":
        value = np.asarray(value).astype(int)
    want = np.asarray(original("tf_keras").initializers.Constant(value)(shape, dtype))
    initializer = initializers.Constant(value)
    got = initializer(shape, dtype)
    assert str(got.dtype) == f"torch.{dtype}"
    assert got.numpy().tolist() == want.tolist()
    config = json.loads(json.dumps(initializers.serialize(initializer)))
    assert initializers.get(config)(shape, dtype).equal(got)


def test_constant_reads_the_array_that_keras_writes_and_never_shares_it():
    array = np.array([[1.0, 2.0]], dtype=np.float32)
    for origin in ("tf_keras", "keras"):
        config = json.loads(
            json.dumps(original(origin).initializers.serialize(original(origin).initializers.Constant(array)))
        )
        assert initializers.get(config)((1, 2)).tolist() == [[1.0, 2.0]]
    initializers.Constant(array)((1, 2)).zero_()
    assert array.tolist() == [[1.0, 2.0]]
    assert initializers.Constant([1.0, 2.0])((3, 2)).tolist() == [[1.0, 2.0]] * 3  # broadcast, as Keras 3


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64, torch.bfloat16])
def test_constants_of_any_dtype(dtype):
    for name, value in (("Zeros", 0), ("Ones", 1)):
        got = getattr(initializers, name)()((2, 3), dtype)
        assert got.equal(torch.full((2, 3), value, dtype=dtype))


@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_a_seed_gives_the_same_numbers_always(name, arguments):
    initializer = make(name, arguments, seed=3)
    values = initializer((4, 3))
    torch.rand(1)
    state = torch.get_rng_state()
    assert initializer((4, 3)).equal(values)
    assert torch.get_rng_state().equal(state)  # torch's own generator is left alone
    assert initializers.get(initializers.serialize(initializer))((4, 3)).equal(values)
    assert not make(name, arguments, seed=4)((4, 3)).equal(values)


@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_without_a_seed_torch_s_governs(name, arguments):
    initializer = make(name, arguments, seed=None)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = initializer((4, 3)), initializer((4, 3))
        torch.manual_seed(0)
        assert initializer((4, 3)).equal(first)
    assert not first.equal(second)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_dtypes(name, arguments, dtype, seed):
    values = make(name, arguments, seed)((40, 30), dtype)
    assert values.dtype == dtype
    assert values.isfinite().all()
    assert make(name, arguments, seed)((40, 30), str(dtype).removeprefix("torch.")).dtype == dtype
    assert make(name, arguments, seed)((4, 3), None).dtype == torch.float32


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_the_meta_device_and_empty_shapes(name, arguments, seed):
    initializer = make(name, arguments, seed)
    assert initializer((4, 3), device="meta").is_meta
    with torch.device("meta"):
        assert initializer((4, 3)).is_meta
    assert initializer((0, 3)).shape == (0, 3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_a_seed_gives_the_same_numbers_on_cuda(name, arguments):
    values = make(name, arguments, 3)((4, 3), device="cuda")
    assert values.is_cuda
    assert values.cpu().equal(make(name, arguments, 3)((4, 3)))
    assert make(name, arguments, None)((4, 3), device="cuda").isfinite().all()


def test_configs_of_tf_keras_1_and_keras_3():
    old = {"class_name": "GlorotUniform", "config": {"seed": 2, "dtype": "float32"}}
    new = {"class_name": "GlorotUniform", "config": {"seed": 2, "input_axes": None, "output_axes": None}}
    assert initializers.get(old).get_config() == initializers.get(new).get_config() == {"seed": 2}
    with pytest.raises(TypeError, match=r"Cannot make the initializer 'GlorotUniform'.*'input_axes'"):
        initializers.get({"class_name": "GlorotUniform", "config": {"input_axes": [0], "output_axes": [1]}})


ERRORS = [
    (
        lambda: initializers.VarianceScaling(scale=0),
        ValueError,
        "`scale` must be positive float. Received: scale=0.",
    ),
    (lambda: initializers.VarianceScaling(mode="fan"), ValueError, "Invalid `mode` argument: 'fan'. "),
    (
        lambda: initializers.VarianceScaling(distribution="a"),
        ValueError,
        "Invalid `distribution` argument: 'a'. ",
    ),
    (
        lambda: initializers.GlorotUniform(seed=1.5),
        TypeError,
        "'float' object cannot be interpreted as an integer",
    ),
    (
        lambda: initializers.Orthogonal()((3,)),
        ValueError,
        "The tensor to initialize must be at least two-dim",
    ),
    (
        lambda: initializers.Identity()((3,)),
        ValueError,
        "Identity matrix initializer can only be used for 2D",
    ),
    (
        lambda: initializers.Constant([1.0, 2.0])((3, 3)),
        ValueError,
        "Constant cannot fill the shape (3, 3) with a ",
    ),
    (
        lambda: initializers.RandomNormal()((2,), "int32"),
        ValueError,
        "RandomNormal expects a floating point type, ",
    ),
    (
        lambda: initializers.Zeros()((2,), "floaty"),
        TypeError,
        "Expected a torch.dtype or the name of one, but got: 'floaty'",
    ),
    (lambda: initializers.Initializer()((2,)), NotImplementedError, "Initializer subclasses must implement"),
]


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(text)

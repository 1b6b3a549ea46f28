"""Initializers: the distributions of tf_keras, by their bounds and moments; seeds, dtypes, devices."""

import json
import math

import numpy as np
import pytest
import torch
from tests.support.live_keras import keras, live_keras, tf_keras

from batchdot import initializers
from batchdot.initializers.random_initializers import fans

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


def sample_statistics(sample):
    """Return the shape, mean, standard deviation, 25 quantiles, least and greatest number of a sample."""
    quantiles = np.quantile(sample, np.linspace(0.01, 0.99, 25))
    mean, stddev = sample.mean(dtype=np.float64), sample.std(dtype=np.float64)
    least, greatest = float(sample.min()), float(sample.max())
    return tuple(sample.shape), float(mean), float(stddev), quantiles, least, greatest


def keras_sample(name, arguments, shape):
    return sample_statistics(np.asarray(getattr(tf_keras.initializers, name)(**arguments, seed=7)(shape)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_distribution_as_keras(name, arguments, shape, keras_says):
    if name == "Orthogonal" and len(shape) == 1:
        pytest.skip("Orthogonal has no vectors")
    theirs = keras_says(keras_sample, name, arguments, shape)
    ours = sample_statistics(make(name, arguments)(shape).numpy())
    assert ours[0] == theirs[0]
    stddev, n = theirs[2], math.prod(shape)
    # Two samples of the same distribution: five standard errors apart at most.
    assert abs(ours[1] - theirs[1]) < 5 * stddev * math.sqrt(2 / n)
    assert abs(ours[2] / stddev - 1) < 5 * math.sqrt(2 / n)
    assert np.abs(ours[3] - theirs[3]).max() < 0.15 * stddev
    if (
        "Normal" not in name
        and arguments.get("distribution") != "untruncated_normal"
        and name != "Orthogonal"
    ):
        for bound in (4, 5):  # what has bounds comes near to the same ones
            assert ours[bound] == pytest.approx(theirs[bound], abs=0.03 * stddev)


@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_sample_within_bounds(name, arguments):
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


def keras_fans(shape):
    return live_keras("tf_keras.src.initializers.initializers")._compute_fans(shape)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 4), (5, 2, 3, 4), (0, 3)])
def test_fans_as_keras(shape, keras_says):
    assert fans(shape) == keras_says(keras_fans, shape)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 3, 4), (1, 1)])
def test_orthogonal(shape):
    q = make("Orthogonal", {"gain": 2.0})(shape, dtype=torch.float64).reshape(-1, shape[-1]) / 2
    gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64))


def keras_identity(shape):
    return np.asarray(tf_keras.initializers.Identity(2.0)(shape))


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_identity_as_keras(shape, keras_says):
    assert (initializers.Identity(2.0)(shape).numpy() == keras_says(keras_identity, shape)).all()
    assert initializers.Identity()((2, 2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


CONSTANTS = [
    (2, (3,)),
    (2.5, ()),
    ([1.0, 2.0, 3.0, 4.0], (2, 2)),
    ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], (2, 3)),
    (7.0, (2,)),
    ([5.0], (2, 3)),
]


# An array, a number of NumPy, or what Python has.
FORMS = {"array": np.asarray, "python": lambda value: value}


def constant(value, dtype, form):
    return FORMS[form](np.asarray(value).astype(int) if dtype == "int32" else value)


def keras_constant(value, shape, dtype, form):
    return np.asarray(tf_keras.initializers.Constant(constant(value, dtype, form))(shape, dtype))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize(("value", "shape"), CONSTANTS, ids=str)
def test_constant_as_keras(value, shape, dtype, form, keras_says):
    want = keras_says(keras_constant, value, shape, dtype, form)
    initializer = initializers.Constant(constant(value, dtype, form))
    got = initializer(shape, dtype)
    assert str(got.dtype) == f"torch.{dtype}"
    assert got.numpy().tolist() == want.tolist()
    config = json.loads(json.dumps(initializers.serialize(initializer)))
    assert initializers.get(config)(shape, dtype).equal(got)


def keras_constant_config(origin):
    module = {"tf_keras": tf_keras, "keras": keras}[origin].initializers
    return json.loads(json.dumps(module.serialize(module.Constant(np.array([[1.0, 2.0]], np.float32)))))


@pytest.mark.parametrize("origin", ["tf_keras", "keras"])
def test_constant_from_keras_config_of_array(origin, keras_says):
    config = keras_says(keras_constant_config, origin)
    assert initializers.get(config)((1, 2)).tolist() == [[1.0, 2.0]]


def test_constant_array_is_copied():
    array = np.array([[1.0, 2.0]], dtype=np.float32)
    initializers.Constant(array)((1, 2)).zero_()
    assert array.tolist() == [[1.0, 2.0]]
    assert initializers.Constant([1.0, 2.0])((3, 2)).tolist() == [[1.0, 2.0]] * 3  # broadcast, as Keras 3


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64, torch.bfloat16])
def test_constants_of_any_dtype(dtype):
    for name, value in (("Zeros", 0), ("Ones", 1)):
        got = getattr(initializers, name)()((2, 3), dtype)
        assert got.equal(torch.full((2, 3), value, dtype=dtype))


@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_seed_same_numbers_always(name, arguments):
    initializer = make(name, arguments, seed=3)
    values = initializer((4, 3))
    torch.rand(1)
    state = torch.get_rng_state()
    assert initializer((4, 3)).equal(values)
    assert torch.get_rng_state().equal(state)  # torch's own generator is left alone
    assert initializers.get(initializers.serialize(initializer))((4, 3)).equal(values)
    assert not make(name, arguments, seed=4)((4, 3)).equal(values)


@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_no_seed_uses_torch_generator(name, arguments):
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
def test_meta_device_and_empty_shape(name, arguments, seed):
    initializer = make(name, arguments, seed)
    assert initializer((4, 3), device="meta").is_meta
    with torch.device("meta"):
        assert initializer((4, 3)).is_meta
    assert initializer((0, 3)).shape == (0, 3)


@pytest.mark.cuda
@pytest.mark.parametrize(("name", "arguments"), RANDOM)
def test_seed_same_numbers_on_cuda(name, arguments):
    values = make(name, arguments, 3)((4, 3), device="cuda")
    assert values.is_cuda
    assert values.cpu().equal(make(name, arguments, 3)((4, 3)))
    assert make(name, arguments, None)((4, 3), device="cuda").isfinite().all()


def test_config_of_tf_keras_1_and_keras_3():
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

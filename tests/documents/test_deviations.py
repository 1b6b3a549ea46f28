"""Each row of DEVIATIONS.md: what Keras does, seen on the live one, and what batchdot does instead."""

import tempfile
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.support import ROOT
from tests.support.live_keras import keras, live_keras, tf, tf_keras

import batchdot
from batchdot import AxisError, Dot, backend, batch_dot, dot, layers

ROWS: dict[str, Callable[[bool], None]] = {}


def row(function: Callable[[bool], None]) -> Callable[[bool], None]:
    """Name a row of DEVIATIONS.md after the function that holds it.

    The function checks what batchdot does and, where it is told to run live Keras, what Keras does.
    """
    ROWS[function.__name__.replace("_", "-")] = function
    return function


def keras_3_batch_dot(x, y, axes=None):
    """Keras 3 has batch_dot only under its Dot layer."""
    return live_keras("keras.src.layers.merging.dot").batch_dot(x, y, axes)


class K:
    """The backend of tf_keras, imported when it is used."""

    batch_dot = staticmethod(lambda *args, **kwargs: tf_keras.backend.batch_dot(*args, **kwargs))
    dot = staticmethod(lambda *args: tf_keras.backend.dot(*args))


def tf_errors():
    errors = tf.errors
    return TypeError, errors.InvalidArgumentError, errors.NotFoundError, errors.UnimplementedError


# Axes


@row
def axis_out_of_range(live):
    x, y = np.random.default_rng(0).normal(size=(2, 3, 3, 3))
    if live:
        assert K.batch_dot(tf.constant(x), tf.constant(y), axes=(-4, 2)).shape == (3, 3, 3)
        assert tf_keras.layers.Dot(-5)([tf.ones((2, 3)), tf.ones((2, 3))]).shape == (2, 1)
    with pytest.raises(AxisError, match="Axis -4 is out of range for x, whose rank is 3"):
        batch_dot(x, y, axes=(-4, 2))
    with pytest.raises(AxisError, match="Axis -5 is out of range"):
        Dot(-5)(torch.ones(2, 3), torch.ones(2, 3))


@row
def axis_error(live):
    if live:
        with pytest.raises(IndexError, match="tuple index out of range"):
            K.batch_dot(tf.ones((2, 3)), tf.ones((2, 3)), axes=5)
    with pytest.raises(AxisError, match="Axis 5 is out of range for x, whose rank is 2") as caught:
        batch_dot(torch.ones(2, 3), torch.ones(2, 3), axes=5)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, IndexError)


@row
def axis_0_in_the_constructor(live):
    if live:
        assert tf_keras.layers.Dot(0).axes == keras.layers.Dot(0).axes == 0
    with pytest.raises(ValueError, match="Cannot perform batch_dot over axis 0"):
        Dot(0)
    with pytest.raises(ValueError, match="Cannot perform batch_dot over axis 0"):
        Dot((1, 0))


@row
def bool_axes(live):
    if live:
        assert tf_keras.layers.Dot(True)([tf.ones((2, 3)), tf.ones((2, 3))]).shape == (2, 1)
    for axes in (True, (True, 1), np.True_):
        with pytest.raises(TypeError, match="a bool is not an axis"):
            Dot(axes)


@row
def integers_of_other_libraries(live):
    if live:
        for axes in (np.int64(1), torch.tensor(1), np.array([1, 1]), range(1, 3)):
            with pytest.raises(TypeError, match="it should be a list or an int"):
                tf_keras.layers.Dot(axes)
            with pytest.raises(TypeError, match="it should be a list or an int"):
                keras.layers.Dot(axes)
    x = torch.ones(2, 3)
    for axes in (np.int64(1), torch.tensor(1), np.array([1, 1]), (np.int8(1), 1)):
        assert Dot(axes)(x, x).tolist() == [[3], [3]]
    assert Dot(range(1, 3))(x, torch.ones(2, 4, 3)).shape == (2, 4)


@row
def several_axes(live):
    x, y = np.random.default_rng(0).normal(size=(2, 5, 3, 4)).astype("float32")
    if live:
        with pytest.raises(ValueError, match="Multiple target dimensions are not supported"):
            K.batch_dot(tf.constant(x), tf.constant(y), axes=[[1, 2], [1, 2]])
    out = batch_dot(x, y, axes=[[1, 2], [1, 2]])
    torch.testing.assert_close(out[:, 0], torch.from_numpy((x * y).sum((1, 2))))


@row
def shared_leading_axes(live):
    x, y = torch.randn(2, 3, 4, 12, 3), torch.randn(2, 3, 4, 15, 3)
    if live:
        assert K.batch_dot(tf.constant(x.numpy()), tf.constant(y.numpy()), axes=4).shape == (
            2,
            3,
            4,
            12,
            3,
            4,
            15,
        )
    assert batch_dot(x, y, axes=4).shape == (2, 3, 4, 12, 3, 4, 15)
    torch.testing.assert_close(batch_dot(x, y, axes=4, batch_dims=3), x @ y.mT)


@row
def axes_are_copied(live):
    if live:
        axes = [1, 1]
        theirs = tf_keras.layers.Dot(axes)
        axes[0] = 7
        theirs.get_config()["axes"][1] = 9
        assert list(theirs.axes) == [7, 9]
    axes = [1, 1]
    ours = Dot(axes)
    axes[0] = 7
    ours.get_config()["axes"][1] = 9
    assert ours.axes == [1, 1]


# Sizes


@row
def batch_of_1(live):
    if live:
        spec = tf.TensorSpec([None, 3])
        function = tf.function(lambda x, y: K.batch_dot(x, y, axes=1), input_signature=[spec, spec])
        assert function(tf.ones((1, 3)), tf.ones((4, 3))).shape == (4, 1)
    with pytest.raises(ValueError, match="different batch sizes"):
        batch_dot(torch.ones(1, 3), torch.ones(4, 3), axes=1)


@row
def empty_sizes(live):
    x, y = torch.ones(0, 6, 4, 3), torch.ones(0, 5, 3)
    if live:
        with pytest.raises(RuntimeError, match="cannot reshape tensor of 0 elements"):
            keras_3_batch_dot(x, y, (3, 2))
    assert batch_dot(x, y, (3, 2)).shape == (0, 6, 4, 5)
    assert batch_dot(torch.ones(2, 6, 4, 0), torch.ones(2, 0, 5), (3, 1)).count_nonzero() == 0


@row
def unknown_sizes_fit(live):
    if live:
        for module in (tf_keras, keras):
            with pytest.raises(ValueError, match=r"axis values None \(at axis 1\) != 3"):
                module.layers.Dot(1).build([(2, None), (2, 3)])
    Dot(1).build([(2, None), (2, 3)])


@row
def output_shape_is_checked(live):
    if live:
        for module in (tf_keras, keras):
            assert tuple(module.layers.Dot(1).compute_output_shape([(2, 3), (7, 99)])) == (2, 1)
    with pytest.raises(ValueError, match="different batch sizes"):
        Dot(1).compute_output_shape([(2, 3), (7, 3)])
    with pytest.raises(ValueError, match="axes of different sizes"):
        Dot(1).compute_output_shape([(2, 3), (2, 99)])


@row
def output_shape_is_a_tuple(live):
    if live:
        assert type(tf_keras.layers.Dot(1).compute_output_shape([(2, 3), (2, 3)])) is tf.TensorShape
    assert type(Dot(1).compute_output_shape([(2, 3), (2, 3)])) is tuple


@row
def batch_size_of_either(live):
    if live:
        for module in (tf_keras, keras):
            assert tuple(module.layers.Dot(1).compute_output_shape([(None, 3), (5, 3)])) == (None, 1)
    assert Dot(1).compute_output_shape([(None, 3), (5, 3)]) == (5, 1)


# Numbers


@row
def dtype_promotion(live):
    if live:
        with pytest.raises(tf_errors()):
            K.batch_dot(tf.ones((2, 3)), tf.ones((2, 3), "float64"), axes=1)
        with pytest.raises(tf_errors()):
            K.dot(tf.ones((2, 3)), tf.ones((3, 2), "float64"))
    assert batch_dot(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.float64), 1).dtype == torch.float64
    assert batch_dot(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.int64), 1).dtype == torch.float32
    assert dot(torch.ones(2, 3), torch.ones(3, 2, dtype=torch.float64)).dtype == torch.float64


@row
def dtypes_are_kept(live):
    big = torch.full((1, 2), 2**40)
    if live:
        assert keras_3_batch_dot(big, torch.ones_like(big), 1).dtype == torch.int32
    assert batch_dot(big, torch.ones_like(big), 1).item() == 2**41
    if live:
        x = tf.constant([[3, 4]], "int8")
        with pytest.raises(tf_errors()):
            K.batch_dot(tf.expand_dims(x, 1), x, axes=(2, 1))
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.float64):
        x = torch.tensor([[3, 4]], dtype=dtype)
        assert batch_dot(x, x, 1).dtype == dtype


@row
def bool_inputs(live):
    x = torch.tensor([[True, False]])
    if live:
        assert keras_3_batch_dot(x, x, 1).dtype == torch.bool
    with pytest.raises(TypeError, match="x is bool"):
        batch_dot(x, x, 1)


@row
def arrays_and_lists(live):
    if live:
        with pytest.raises(AttributeError):
            K.batch_dot([[1.0, 2.0]], [[3.0, 4.0]], axes=1)
        with pytest.raises(AttributeError):
            K.dot(np.ones((2, 3)), np.ones((3, 2)))
    assert batch_dot([[1.0, 2.0]], np.array([[3.0, 4.0]]), axes=1).tolist() == [[11.0]]
    assert dot(np.ones((2, 3)), [[1], [2], [3]]).tolist() == [[6.0], [6.0]]


@row
def layer_keeps_the_dtype(live):
    x = np.ones((2, 3))
    if live:
        assert tf_keras.layers.Dot(1)([tf.constant(x), tf.constant(x)]).dtype == tf.float32
    assert Dot(1)(torch.from_numpy(x), torch.from_numpy(x)).dtype == torch.float64
    assert Dot(1, dtype="float32")(torch.from_numpy(x), torch.from_numpy(x)).dtype == torch.float32
    assert Dot(1)(x, x).dtype == torch.float32


@row
def keras_configs(live):
    config = {"name": "scores", "trainable": True, "dtype": "float32", "axes": (1, 2), "normalize": False}
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}}
    configs = [config, config | {"dtype": policy}]
    if live:
        configs += [module.layers.Dot((1, 2), name="scores").get_config() for module in (tf_keras, keras)]
    for config in configs:
        layer = Dot.from_config(config)
        assert (layer.name, tuple(layer.axes), layer.dtype) == ("scores", (1, 2), "float32")
        x = torch.ones(2, 3, dtype=torch.float64)
        assert layer(x, torch.ones(2, 4, 3)).dtype == torch.float64


@row
def symbolic_dtype(live):
    if live:
        inputs = [keras.Input((3,), dtype="int32") for _ in "xy"]
        assert keras.layers.Dot(1)(inputs).dtype == "float32"
    x = backend.placeholder((None, 3), dtype="int32")
    assert batch_dot(x, x, 1).dtype == torch.int32


# Cosines


@row
def cosines_out_of_range(live):
    for x in (np.float32([[1e20, 0]]), np.float16([[300, 0]])):
        if live:
            layer = tf_keras.layers.Dot(1, normalize=True, dtype=str(x.dtype))
            assert layer([tf.constant(x), tf.constant(x)]).numpy() == 0
        assert batch_dot(x, x, 1, normalize=True).item() == 1


@row
def half_precision_zero_vectors(live):
    x, y = np.float16([[0, 0]]), np.float16([[1, 2]])
    if live:
        layer = tf_keras.layers.Dot(1, normalize=True, dtype="float16")
        assert np.isnan(layer([tf.constant(x), tf.constant(y)]).numpy())
    assert batch_dot(x, y, 1, normalize=True).item() == 0


@row
def cosines_are_bounded(live):
    x = torch.randn(20000, 8, generator=torch.Generator().manual_seed(0))
    if live:
        theirs = tf_keras.layers.Dot(1, normalize=True)([tf.constant(x.numpy())] * 2).numpy()
        assert theirs.max() > 1
    assert batch_dot(x, x, 1, normalize=True).max() <= 1
    assert batch_dot(x[:1000, None], x[:1000, None].expand(-1, 2, -1), 2, normalize=True).max() <= 1


@row
def row_cosines_are_accurate(live):
    x, y = torch.rand(2, 5000, 128, generator=torch.Generator().manual_seed(0))
    exact = torch.nn.functional.cosine_similarity(x.double(), y.double()).unsqueeze(1)
    ulp = torch.finfo(torch.float32).eps / 2  # of numbers in [0.5, 1)
    assert exact.min() > 0.5
    if live:
        theirs = torch.from_numpy(
            tf_keras.layers.Dot(1, normalize=True)([tf.constant(x.numpy()), tf.constant(y.numpy())]).numpy()
        )
        assert (theirs.double() - exact).abs().max() > 2 * ulp
    assert (batch_dot(x, y, 1, normalize=True).double() - exact).abs().max() <= 0.51 * ulp


@row
def zero_vector_gradient(live):
    y = torch.tensor([[3.0, 4.0]])
    x = torch.zeros(1, 2, requires_grad=True)
    if live:
        (gradient,) = torch.autograd.grad(keras.layers.Dot(1, normalize=True)([x, y]).sum(), x)
        assert gradient.isnan().all()
    (gradient,) = torch.autograd.grad(Dot(1, normalize=True)(x, y).sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([[0.6e6, 0.8e6]]))


@row
def half_precision_gradients_saturate(live):
    x, y = torch.zeros(1, 2).half().requires_grad_(), torch.tensor([[3.0, -4.0]]).half()
    if live:
        layer = tf_keras.layers.Dot(1, normalize=True, dtype="float16")
        zero, other = tf.constant(x.detach().numpy()), tf.constant(y.numpy())
        with tf.GradientTape() as tape:
            tape.watch(zero)
            out = layer([zero, other])
        assert not np.isfinite(tape.gradient(out, zero).numpy()).any()  # which depends on the processor
        (gradient,) = torch.autograd.grad(
            keras.layers.Dot(1, normalize=True, dtype="float16")([x, y]).sum(), x
        )
        assert gradient.isnan().all()
    (gradient,) = torch.autograd.grad(Dot(1, normalize=True)(x, y).sum(), x)
    assert gradient.tolist() == [[65504.0, -65504.0]]


@row
def floor_of_the_norm(live):
    x, y = torch.tensor([[1e-7, 0.0]]), torch.tensor([[1.0, 0.0]])
    if live:
        tensorflow = tf_keras.layers.Dot(1, normalize=True)([tf.constant(x.numpy()), tf.constant(y.numpy())])
        keras_3 = keras.layers.Dot(1, normalize=True)([x, y])
        assert tensorflow.numpy().item() == pytest.approx(0.1)
        assert keras_3.item() == pytest.approx(1.0)
    assert Dot(1, normalize=True)(x, y).item() == pytest.approx(0.1)
    assert Dot(1, normalize=True, epsilon=1e-14)(x, y).item() == pytest.approx(1.0)


@row
def cosines_of_integers(live):
    x = np.array([[3, 4]])
    if live:
        with pytest.raises(TypeError, match="Cannot convert 1e-12"):
            tf_keras.layers.Dot(1, normalize=True)([tf.constant(x), tf.constant(x)])
    assert batch_dot(x, x[:, ::-1].copy(), 1, normalize=True).item() == pytest.approx(0.96)
    assert batch_dot(x, x, 1, normalize=True).dtype == torch.get_default_dtype()


@row
def complex_cosines(live):
    x = np.array([[3j, 4]], "complex64")
    if live:
        with pytest.raises(RuntimeError, match="not implemented for complex"):
            keras.layers.Dot(1, normalize=True, dtype="complex64")([torch.from_numpy(x)] * 2)
        theirs = tf_keras.layers.Dot(1, normalize=True, dtype="complex64")([tf.constant(x)] * 2)
        assert theirs.numpy().item() == pytest.approx(7 / 25)
    assert batch_dot(x, x, 1, normalize=True).item() == pytest.approx(7 / 25)


# The layer


@row
def two_arguments(live):
    if live:
        with pytest.raises(ValueError, match="should be called on a list of 2 inputs"):
            tf_keras.layers.Dot(1)(tf.ones((2, 3)), tf.ones((2, 3)))
    x = torch.ones(2, 3)
    torch.testing.assert_close(Dot(1)(x, x), Dot(1)([x, x]))


@row
def build_marks_the_layer_as_built(live):
    if live:
        theirs = tf_keras.layers.Dot(1)
        theirs.build([(2, 3), (2, 3)])
        assert not theirs.built
    ours = Dot(1)
    ours.build([(2, 3), (2, 3)])
    assert ours.built


@row
def functional_form(live):
    x = torch.ones(2, 3)
    if live:
        with pytest.raises(TypeError, match="positional argument"):
            keras.layers.dot([x, x], 1, True)
    torch.testing.assert_close(layers.dot([x, x], 1, True), torch.ones(2, 1))


@row
def error_texts(live):
    if live:
        with pytest.raises(ValueError, match="Exception encountered when calling layer"):
            tf_keras.layers.Dot(1)([tf.ones((2, 3)), tf.ones((3, 3))])
        with pytest.raises(KeyError, match="0"):
            tf_keras.layers.Dot(1)({"x": tf.ones((2, 3)), "y": tf.ones((2, 3))})
        with pytest.raises(ZeroDivisionError):
            tf_keras.layers.Dot(-1)([tf.constant(1.0), tf.constant(1.0)])
    text = (
        r"batch sizes: x.shape\[0\] != y.shape\[0\] \(2 != 3\). Received: x.shape=\(2, 3\), y.shape=\(3, 3\)"
    )
    with pytest.raises(ValueError, match=text):
        Dot(1)(torch.ones(2, 3), torch.ones(3, 3))
    with pytest.raises(ValueError, match="should be called on a list of 2 inputs"):
        Dot(1)({"x": torch.ones(2, 3), "y": torch.ones(2, 3)})
    with pytest.raises(ValueError, match="rank < 2"):
        Dot(-1)(torch.tensor(1.0), torch.tensor(1.0))


# The Layer contract


def two_towers(k):
    x, y = k.Input((3,)), k.Input((3,))
    return x, y, k.layers.Dot(1)


@row
def several_nodes(live):
    if live:
        x, y, layer = two_towers(tf_keras)
        first = layer([x, y])
        layer([y, x])
        assert layer.output is first
    x, y, layer = two_towers(batchdot)
    first = layer([x, y])
    layer([y, x])
    with pytest.raises(AttributeError, match=r"2 inbound nodes.*Use get_output_at\(node_index\)"):
        _ = layer.output
    assert layer.output_shape == (None, 1)
    assert layer.get_output_at(0) is first


@row
def no_node(live):
    if live:
        with pytest.raises(AttributeError) as caught:
            _ = tf_keras.layers.Dot(1).input
        assert not isinstance(caught.value, RuntimeError)
    for error in (AttributeError, RuntimeError):
        with pytest.raises(error, match="is not connected, no input to return"):
            _ = Dot(1).input


@row
def members_that_were_removed(live):
    for member in ("apply", "get_losses_for", "get_updates_for"):
        if live:
            assert not hasattr(tf_keras.layers.Dot(1), member)
        assert hasattr(Dot(1), member)
    if live:
        assert not hasattr(keras.layers.Dot(1), "get_output_at")


@row
def losses_that_are_values(live):
    if live:
        with pytest.raises(ValueError, match="Expected a symbolic Tensors or a callable"):
            tf_keras.layers.Dot(1).add_loss(tf.constant(2.0))
    ours = Dot(1)
    ours.add_loss([torch.tensor(2.0), 3.0, lambda: torch.tensor(4.0)])
    assert [float(loss) for loss in ours.losses] == [2, 3, 4]


@row
def training_mode(live):
    x = np.ones((1, 1000), "float32")
    if live:
        assert np.array_equal(tf_keras.layers.Dropout(0.5)(x), x)
    layer = layers.Dropout(0.5)
    assert not torch.equal(layer(torch.from_numpy(x)), torch.from_numpy(x))
    assert torch.equal(layer.eval()(torch.from_numpy(x)), torch.from_numpy(x))


@row
def learning_phase(live):
    if live:
        assert tf_keras.backend.learning_phase() == 0
    with pytest.raises(RuntimeError, match="Nothing says here whether the model trains"):
        backend.learning_phase()
    layer = layers.Lambda(lambda x: x + backend.learning_phase())
    assert [layer(torch.zeros(1)).item(), layer.eval()(torch.zeros(1)).item()] == [1.0, 0.0]


@row
def mean_of_integers(live):
    if live:
        assert tf_keras.backend.mean(tf.constant([1, 2])).numpy() == 1
        assert keras.ops.mean(torch.tensor([1, 2])).item() == 1.5
    assert backend.mean([1, 2]).item() == 1.5


@row
def training_of_torch_modules(live):
    class Inside(layers.Layer):
        def __init__(self):
            super().__init__()
            self.drop = torch.nn.Dropout(0.5)

        def call(self, inputs):
            return self.drop(inputs)

    if live:
        assert (
            not keras.layers.TorchModuleWrapper(torch.nn.Dropout(0.5))(np.ones(9), training=False).eq(0).any()
        )
    x, inside = torch.ones(1000), Inside()
    assert torch.equal(inside(x, training=False), x)
    assert not torch.equal(inside(x), x)
    scripted = Inside()
    scripted.drop = torch.jit.script(torch.nn.Dropout(0.5))
    assert not torch.equal(scripted(x, training=False), x)


@row
def weights_before_the_first_call(live):
    if live:
        for module in (tf_keras, keras):
            assert module.layers.Dense(2).weights == []
    layer = layers.Dense(2)
    assert layer.weights == []
    kernel, bias = layer.parameters()
    layer(torch.ones(3, 4))
    assert layer.weights[0] is kernel
    assert layer.weights[1] is bias

    class Own(layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight("kernel", input_shape[-1:])

    with pytest.warns(UserWarning, match="declare_weight"):
        assert list(Own().parameters()) == []


@row
def shapes_that_depend_on_values(live):
    if live:
        symbolic = tf_keras.layers.Lambda(lambda t: tf.boolean_mask(t, t > 0))(tf_keras.Input((4,)))
        assert tuple(symbolic.shape) == (None,)
    select = layers.Lambda(lambda t: t[t > 0])
    with pytest.raises(ValueError, match="output_shape="):
        select(batchdot.Input((4,)))
    known = layers.Lambda(lambda t: t[t > 0].long(), output_shape=())(batchdot.Input((4,)))
    assert (known.shape, known.dtype) == ((None,), torch.int64)


@row
def average_of_integers(live):
    x = np.array([[1, 2]], "int32")
    if live:
        assert tf_keras.layers.Average()([tf.constant(x), tf.constant(x + 1)]).dtype == tf.float64
    average = layers.Average()([torch.from_numpy(x), torch.from_numpy(x + 1)])
    assert average.dtype == torch.float32
    assert average.tolist() == [[1.5, 2.5]]


@row
def arguments_are_checked_at_once(live):
    if live:
        tf_keras.layers.Dense(0)
        tf_keras.layers.Dropout(1.0)
    with pytest.raises(ValueError, match="units"):
        layers.Dense(0)
    with pytest.raises(ValueError, match="rate"):
        layers.Dropout(1.0)


@row
def functions_in_configs(live):
    if live:
        assert tf_keras.layers.Lambda(lambda x: x).get_config()["function_type"] == "lambda"
    with pytest.raises(NotImplementedError, match="lambda"):
        layers.Lambda(lambda x: x).get_config()


# dot


@row
def dot_of_vectors_and_scalars(live):
    if live:
        with pytest.raises(tf_errors()):
            K.dot(tf.ones(3), tf.ones(3))
        with pytest.raises(IndexError):
            K.dot(tf.ones((2, 6, 3)), tf.ones(3))
    assert dot(torch.ones(3), torch.ones(3)).item() == 3
    assert dot(torch.ones(2, 6, 3), torch.ones(3)).shape == (2, 6)
    assert dot(2.0, torch.ones(3)).tolist() == [2.0, 2.0, 2.0]


@row
def dot_of_higher_ranks(live):
    x, y = torch.ones(2, 3, 4), torch.ones(2, 4, 5)
    if live:
        assert keras.ops.dot(x, y).shape == (2, 3, 5)
        assert K.dot(tf.ones((2, 3, 4)), tf.ones((2, 4, 5))).shape == (2, 3, 2, 5)
    assert dot(x, y).shape == (2, 3, 2, 5)


# Models


@row
def input_comes_first(live):
    if live:
        for module in (tf_keras, keras):
            module.Sequential([module.layers.Dense(2), module.Input((3,))])
    with pytest.raises(ValueError, match="An Input is the first thing in a Sequential model"):
        batchdot.Sequential([layers.Dense(2), batchdot.Input((3,))])


@row
def tensors_keep_their_dtype_in_a_model(live):
    def make(library):
        x = library.Input((2,))
        return library.Model(x, library.layers.Add()([x, x]))

    if live:
        assert make(tf_keras)(tf.ones((1, 2), "float64")).dtype == tf.float32
        assert make(keras)(torch.ones(1, 2, dtype=torch.float64)).dtype == torch.float32
    model = make(batchdot)
    assert model(torch.ones(1, 2, dtype=torch.float64)).dtype == torch.float64
    assert model(np.ones((1, 2))).dtype == torch.float32
    assert model(np.ones((1, 2), "int64")).dtype == torch.float32


@row
def mixed_precision(live):
    if live:
        assert tf_keras.layers.Dense(2, dtype="mixed_float16")(tf.ones((1, 2))).dtype == tf.float16
        assert keras.layers.Dense(2, dtype="mixed_float16")(torch.ones(1, 2)).dtype == torch.float16
    with pytest.warns(UserWarning, match="torch.autocast.device, torch.float16"):
        layer = layers.Dense(2, dtype="mixed_float16")
    assert layer(torch.ones(1, 2)).dtype == torch.float32


def saved_by_keras(k, folder):
    """Save a model of two layers as HDF5."""
    model = k.Sequential([k.Input((2,)), k.layers.Dense(2, name="a"), k.layers.Dense(2, name="b")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras calls HDF5 a legacy format
        model.save(f"{folder}/m.h5")
    return model


@row
def load_model_is_a_module(live):
    example = batchdot.models.load_model(ROOT / "tests" / "porting" / "fixtures" / "example.h5")
    assert not isinstance(example, batchdot.Model)
    for k in (tf_keras, keras) if live else ():
        with tempfile.TemporaryDirectory() as folder:
            model = saved_by_keras(k, folder)
            assert isinstance(k.models.load_model(f"{folder}/m.h5"), k.Model)
            module = batchdot.models.load_model(f"{folder}/m.h5")
        assert isinstance(module, torch.nn.Module)
        assert not isinstance(module, batchdot.Model)
        assert not module.training
        x = np.ones((1, 2), "float32")
        assert np.allclose(module(torch.tensor(x)).detach(), model.predict(x, verbose=0), atol=1e-6)


@row
def empty_sequential(live):
    x = np.ones((2, 3), "float32")
    if live:
        assert np.array_equal(tf_keras.Sequential()(x), x)
        with pytest.raises(ValueError, match="cannot be built because it has no layers"):
            keras.Sequential()(x)
    with pytest.raises(ValueError, match="cannot be built because it has no layers"):
        batchdot.Sequential()(x)


@row
def sequential_keeps_its_input_shape(live):
    def called(module):
        model = module.Sequential([module.layers.Dense(2)])
        model(np.ones((5, 3), "float32"))
        model(np.ones((7, 3), "float32"))
        return model

    if live:
        model = called(tf_keras)
        assert model.input_shape == (None, 3)
        model.build((None, 4))
        model = called(keras)
        assert model.input_shape == (5, 3)
        with pytest.raises(ValueError, match="already been configured to use input shape"):
            model.build((None, 3))
    model = called(batchdot)
    assert model.input_shape == (5, 3)
    model.build((None, 3))
    assert model.input_shape == (5, 3)
    with pytest.raises(ValueError, match="already been configured to use input shape"):
        model.build((None, 4))


@row
def replaced_layers(live):
    if live:
        for module in (tf_keras, keras):
            theirs = head_model(module)
            theirs.head = module.layers.Dense(7)
            assert theirs(np.ones((2, 4), "float32")).shape == (2, 2)
    model = head_model(batchdot)
    model.head = torch.nn.Linear(4, 7)
    assert model(torch.ones(2, 4)).shape == (2, 7)
    assert [weight.shape for weight in model.weights] == [(7, 4), (7,)]
    with pytest.raises(ValueError, match="no config"):
        model.get_config()


def head_model(module):
    inputs = module.Input((4,))
    return module.Model(inputs, module.layers.Dense(2, name="head")(inputs))


@pytest.mark.parametrize("live", [False, pytest.param(True, marks=pytest.mark.keras)], ids=["ours", "keras"])
@pytest.mark.parametrize("name", ROWS)
def test_deviation(name, live):
    ROWS[name](live)

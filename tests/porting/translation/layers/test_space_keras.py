"""Layers over space, normalizations and preprocessing: what live Keras saves computes the same in PyTorch.

Each row is one model with an output for each layer, so that TensorFlow starts up once for all of them.
"""

import itertools

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras

from batchdot import porting

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]

BOTH, OLD, NEW = ("tf_keras", "keras"), ("tf_keras",), ("keras",)


def convolutions(k, rank):
    """Every padding, with strides, dilation and kernels of odd and even size."""
    layers = k.layers
    conv = getattr(layers, f"Conv{rank}D")
    for size, stride, padding in itertools.product((1, 2, 3, 4), (1, 2, 3), ("same", "valid")):
        yield conv(2, size, strides=stride, padding=padding)
    for size, padding in itertools.product((2, 3), ("same", "valid")):
        yield conv(4, size, padding=padding, dilation_rate=2, groups=2, activation="relu")
    if rank == 1:
        yield from (conv(3, size, padding="causal", dilation_rate=2) for size in (1, 2, 3))
        yield conv(3, 3, padding="causal", strides=2)
    if rank < 3:
        depthwise, separable = (
            getattr(layers, f"DepthwiseConv{rank}D"),
            getattr(layers, f"SeparableConv{rank}D"),
        )
        for size, stride, padding in itertools.product((2, 3), (1, 2), ("same", "valid")):
            yield depthwise(size, strides=stride, padding=padding, depth_multiplier=2, use_bias=size == 2)
            yield separable(
                5, size, strides=stride, padding=padding, depth_multiplier=2, activation="softmax"
            )
        yield separable(5, 3, dilation_rate=2, padding="same", use_bias=False)


def transposed(k, rank):
    conv = getattr(k.layers, f"Conv{rank}DTranspose")
    for size, stride, padding in itertools.product((1, 2, 3, 4, 5), (1, 2, 3), ("same", "valid")):
        yield conv(3, size, strides=stride, padding=padding)
        yield from (
            conv(3, size, strides=stride, padding=padding, output_padding=extra)
            for extra in range(stride)
            if k.__name__ == "tf_keras" and size in (3, 5)
        )


def pools(k, rank):
    """TensorFlow's pools; Keras 3 on PyTorch counts some of the padding of an average."""
    kinds = ("Max", "Average") if k.__name__ == "tf_keras" else ("Max",)
    for kind, size, stride in itertools.product(kinds, (1, 2, 3, 4), (None, 1, 2, 3)):
        for padding in ("same", "valid"):
            yield getattr(k.layers, f"{kind}Pooling{rank}D")(size, strides=stride, padding=padding)
    for kind, keep in itertools.product(("Max", "Average"), (True, False)):
        yield getattr(k.layers, f"Global{kind}Pooling{rank}D")(keepdims=keep)


def mixed_pools(k):
    for kind in ("Max", "Average"):
        yield getattr(k.layers, f"{kind}Pooling2D")((2, 3), strides=(1, 2), padding="same")
        yield getattr(k.layers, f"{kind}Pooling2D")((3, 2), strides=(2, 3), padding="same")


def borders(k):
    layers = k.layers
    yield layers.ZeroPadding2D(((1, 2), (0, 3)))
    yield layers.ZeroPadding2D(2)
    yield layers.Cropping2D(((1, 2), (0, 3)))
    yield layers.Cropping2D(((0, 0), (2, 0)))
    yield layers.SpatialDropout2D(0.3)
    for size, how in itertools.product((2, (3, 1), (4, 5)), ("nearest", "bilinear", "bicubic")):
        if k.__name__ == "tf_keras" or how != "bicubic":  # Keras 3 on PyTorch has another bicubic kernel
            yield layers.UpSampling2D(size, interpolation=how)
    yield layers.UpSampling2D(43)


def sizes(k):
    """Resizing and cropping of images, also larger and smaller than they are."""
    for size, how in itertools.product(
        ((4, 5), (14, 20), (7, 10), (3, 21)), ("nearest", "bilinear", "bicubic")
    ):
        if k.__name__ == "tf_keras" or how == "bilinear":
            yield k.layers.Resizing(*size, interpolation=how)
    yield k.layers.Resizing(4, 5, crop_to_aspect_ratio=True)
    yield k.layers.Resizing(9, 4, crop_to_aspect_ratio=True)
    for size in ((4, 5), (5, 4), (7, 10)):
        yield k.layers.CenterCrop(*size)


def enlarging_crops(k):
    yield from (k.layers.CenterCrop(*size) for size in ((9, 4), (4, 12), (9, 12)))


def sequences(k):
    layers = k.layers
    yield layers.ZeroPadding1D((1, 2))
    yield layers.Cropping1D((2, 0))
    yield layers.UpSampling1D(3)
    yield layers.SpatialDropout1D(0.3)
    yield layers.BatchNormalization()
    yield layers.BatchNormalization(axis=1)
    yield layers.BatchNormalization(scale=False)
    yield layers.BatchNormalization(center=False, epsilon=0.1)
    yield layers.BatchNormalization(center=False, scale=False, momentum=0.9)
    yield layers.LayerNormalization()
    if k.__name__ == "tf_keras":  # Keras 3 on PyTorch fails on an axis that is not the last
        yield layers.LayerNormalization(axis=1)
        yield layers.LayerNormalization(axis=[1, 2], epsilon=1e-4)
    yield layers.LayerNormalization(center=False)
    yield layers.LayerNormalization(scale=False)
    yield layers.LayerNormalization(center=False, scale=False)
    yield layers.UnitNormalization()
    yield layers.UnitNormalization(axis=1)
    yield layers.UnitNormalization(axis=[1, 2])
    yield layers.GroupNormalization(2)
    yield layers.GroupNormalization(-1, center=False)
    yield layers.GroupNormalization(1, axis=1, scale=False)
    yield layers.Rescaling(1 / 255, offset=-1)
    yield layers.Rescaling(3.0)
    yield layers.Rescaling([1.0, 2.0, 3.0, 4.0], offset=[0.0, 1.0, 0.0, -1.0])
    yield layers.Normalization(mean=2.0, variance=4.0)
    yield layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 0.0, 2.0])
    yield layers.Normalization(mean=2.0, variance=4.0, invert=True)


def images(k):
    layers = k.layers
    for axis in (1, 2, 3, -1):
        yield layers.BatchNormalization(axis=axis)
    yield layers.LayerNormalization(axis=[1, 2, 3])
    if k.__name__ == "tf_keras":
        yield layers.LayerNormalization(axis=[1, 3])
        yield layers.LayerNormalization(axis=2)
    yield layers.GroupNormalization(2)
    yield layers.GroupNormalization(7, axis=1)
    yield layers.GroupNormalization(5, axis=2)
    yield layers.UnitNormalization(axis=2)


def shared_statistics(k):
    """Statistics that keep several axes, which TensorFlow alone has."""
    yield from (k.layers.BatchNormalization(axis=axis) for axis in ([1, 3], [1, 2], [2, 3], [1, 2, 3]))


def vectors(k):
    yield k.layers.BatchNormalization()
    yield k.layers.LayerNormalization()
    yield k.layers.GroupNormalization(2)
    yield k.layers.UnitNormalization()
    yield k.layers.Discretization(bin_boundaries=[-1.0, 0.0, 0.25])
    yield k.layers.Discretization(bin_boundaries=[-1.0, 0.0], output_mode="multi_hot")
    yield k.layers.Discretization(bin_boundaries=[0.0], output_mode="count")


def numbers(k):
    for mode in ("multi_hot", "count"):
        yield k.layers.CategoryEncoding(num_tokens=8, output_mode=mode)


def one_number(k):
    yield k.layers.CategoryEncoding(num_tokens=8, output_mode="one_hot")


def volumes(k):
    layers = k.layers
    yield layers.BatchNormalization()
    yield layers.ZeroPadding3D(((1, 0), (0, 2), (1, 1)))
    yield layers.Cropping3D(((1, 0), (0, 2), (1, 1)))
    yield layers.UpSampling3D((1, 2, 3))
    yield layers.GroupNormalization(2)
    yield layers.SpatialDropout3D(0.5)


def local(k):
    layers = k.layers
    for how in (1, 2, 3):
        for size, stride in ((2, 1), ((3, 2), (2, 3))):
            yield layers.LocallyConnected2D(3, size, strides=stride, implementation=how, activation="tanh")
    for how, size in itertools.product((2, 3), (2, 3)):
        yield layers.LocallyConnected2D(3, size, padding="same", implementation=how, use_bias=size == 2)


def local_sequences(k):
    for how, stride in itertools.product((1, 2, 3), (1, 2)):
        yield k.layers.LocallyConnected1D(3, 2, strides=stride, implementation=how)
    for how, stride in itertools.product((2, 3), (1, 2)):
        yield k.layers.LocallyConnected1D(3, 3, strides=stride, padding="same", implementation=how)


def adaptive(k):
    for kind, size in itertools.product(("Max", "Average"), ((2, 3), (5, 5), (1, 1))):
        yield getattr(k.layers, f"Adaptive{kind}Pooling2D")(size)


IMAGE, FREE = (7, 10, 4), (None, None, 4)


def over(make, rank, *shape):
    """Return the row of layers over time, images or volumes."""
    free = "free " if None in shape else ""
    return BOTH, f"{free}{make.__name__} {rank}d", lambda k: make(k, rank), shape


def fewer_transposed(k, rank):
    return itertools.islice(transposed(k, rank), 0, None, 5)


ROWS = [
    *(over(convolutions, 1, 9, 4), over(convolutions, 2, 9, 7, 4), over(convolutions, 3, 9, 7, 5, 4)),
    *(over(convolutions, 1, None, 4), over(convolutions, 2, *FREE)),
    *(over(transposed, 1, 5, 4), over(transposed, 2, 5, 4, 4), over(transposed, 2, *FREE)),
    over(fewer_transposed, 3, 3, 2, 4, 2),
    *(over(pools, 1, 9, 3), over(pools, 2, 9, 7, 3), over(pools, 3, 9, 7, 6, 3)),
    *(over(pools, 1, None, 3), over(pools, 2, *FREE)),
    (OLD, "mixed pools", mixed_pools, IMAGE),
    (OLD, "free mixed pools", mixed_pools, FREE),
    (BOTH, "borders", borders, IMAGE),
    (BOTH, "free borders", borders, FREE),
    (BOTH, "sizes", sizes, IMAGE),
    (OLD, "free sizes", sizes, FREE),
    (OLD, "enlarging crops", enlarging_crops, IMAGE),
    (OLD, "free enlarging crops", enlarging_crops, FREE),
    (BOTH, "sequences", sequences, (6, 4)),
    (BOTH, "images", images, IMAGE),
    (OLD, "shared statistics", shared_statistics, (3, 4, 2)),
    (BOTH, "vectors", vectors, (4,)),
    (BOTH, "numbers", numbers, (5,)),
    (BOTH, "one number", one_number, (1,)),
    (BOTH, "volumes", volumes, (4, 6, 4, 4)),
    (OLD, "local", local, (6, 7, 2)),
    (OLD, "local sequences", local_sequences, (7, 2)),
    (NEW, "adaptive", adaptive, IMAGE),
]

CASES = [pytest.param(engine, *row, id=f"{engine} {row[0]}") for engines, *row in ROWS for engine in engines]


@pytest.mark.parametrize(("engine", "name", "make", "shape"), CASES)
def test_load_of_live_layer_computes_what_keras_computes(engine, name, make, shape, tmp_path):
    k = live_keras(engine)
    x = k.Input(shape)
    layers = list(make(k))
    model = k.Model(x, [layer(x) for layer in layers])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 1, weight.shape) for weight in model.get_weights()])
    sample = rng.standard_normal((3, *(size or 7 + axis for axis, size in enumerate(shape)))).astype(
        "float32"
    )
    if "number" in name:
        sample = rng.integers(0, 8, sample.shape).astype("float32")
    want = model(sample, training=False)
    path = tmp_path / ("model.h5" if engine == "tf_keras" else "model.keras")
    model.save(path)
    with torch.no_grad():
        got = porting.load(path)(torch.tensor(sample))
    wants, gots = (found if isinstance(found, (list, tuple)) else [found] for found in (want, got))
    wants = [np.asarray(each.detach() if engine == "keras" else each) for each in wants]
    wrong = []
    for layer, target, result in zip(layers, wants, gots, strict=True):
        same = target.shape == tuple(result.shape)
        if not same or np.abs(result.numpy() - target).max() > 2e-5 * max(np.abs(target).max(), 1e-3):
            config = {
                key: layer.get_config().get(key) for key in ("kernel_size", "pool_size", "strides", "padding")
            }
            wrong.append(
                (
                    layer.name,
                    config,
                    target.shape,
                    tuple(result.shape),
                    same and np.abs(result.numpy() - target).max(),
                )
            )
    assert not wrong, wrong


def saved(k, model, folder):
    path = folder / "model.keras"
    model.save(path)
    return path


def residual(k, shape):
    """A chain of layers over images, with a branch and a join."""
    layers = k.layers
    x = k.Input(shape)
    y = layers.MaxPooling2D(3, padding="same")(
        layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))
    )
    z = layers.SpatialDropout2D(0.1)(layers.Conv2D(4, 3, padding="same", activation="softmax")(y))
    y = layers.Concatenate()([layers.Add()([y, z]), layers.UpSampling2D(2)(layers.AveragePooling2D(2)(y))])
    y = layers.ZeroPadding2D(1)(
        layers.Dropout(0.1)(layers.GroupNormalization(2)(layers.PReLU(shared_axes=[1, 2])(y)))
    )
    return k.Model(x, layers.Conv2DTranspose(3, 3, padding="same")(layers.Cropping2D(1)(y)))


@pytest.mark.parametrize("engine", BOTH)
def test_port_chain_over_images_moves_channels_once_each_way(engine, tmp_path):
    k = live_keras(engine)
    path = saved(k, residual(k, (14, 14, 3)), tmp_path)
    source = porting.port(path).source
    assert source.count("permute(0, 3, 1, 2)") == 1
    assert source.count("permute(") == 2
    assert "permute(" not in porting.port(path, channels="first").source
    x = torch.rand(2, 14, 14, 3)
    got = porting.load(path, channels="first")(x.movedim(-1, 1)).movedim(1, -1)
    torch.testing.assert_close(got, porting.load(path)(x), rtol=1e-5, atol=1e-5)
    flat = k.Sequential(
        [k.Input((6, 3)), k.layers.Conv1D(4, 3), k.layers.MaxPooling1D(2), k.layers.Flatten()]
    )
    assert porting.port(saved(k, flat, tmp_path)).source.count(".mT") == 2


def test_load_chain_over_images_of_any_size_batch_and_dtype_runs(tmp_path):
    k = live_keras("tf_keras")
    model = residual(k, (None, None, 3))
    module = porting.load(saved(k, model, tmp_path))
    for size in ((14, 14), (20, 26)):
        x = torch.rand(2, *size, 3)
        np.testing.assert_allclose(module(x).detach(), model(x.numpy()), atol=1e-5)
    assert module(torch.zeros(0, 14, 14, 3)).shape[0] == 0
    for dtype in (torch.float64, torch.bfloat16):
        assert module.to(dtype)(torch.zeros(1, 14, 14, 3, dtype=dtype)).dtype == dtype
    assert module.to("meta")(torch.zeros(1, 14, 14, 3, dtype=torch.bfloat16, device="meta")).is_meta


def test_load_shared_layer_of_images_of_two_sizes_pads_each(tmp_path):
    k = live_keras("tf_keras")
    a, b = k.Input((8, 8, 2)), k.Input((7, 9, 2))
    conv, pool = (
        k.layers.Conv2D(3, 3, strides=2, padding="same"),
        k.layers.AveragePooling2D(3, 2, padding="same"),
    )
    model = k.Model([a, b], [pool(conv(a)), pool(conv(b))])
    xs = [np.random.default_rng(0).standard_normal((2, *each.shape[1:])).astype("float32") for each in (a, b)]
    got = porting.load(saved(k, model, tmp_path))(*map(torch.tensor, xs))
    for result, target in zip(got, model(xs), strict=True):
        np.testing.assert_allclose(result.detach(), target, atol=1e-5)


REFUSED = {
    "lanczos3": lambda layers: layers.UpSampling2D(2, interpolation="lanczos3"),
    "gaussian": lambda layers: layers.Resizing(4, 4, interpolation="gaussian"),
    "RandomCrop": lambda layers: layers.RandomCrop(4, 4),
}


@pytest.mark.parametrize("word", REFUSED)
def test_port_layer_without_counterpart_is_refused_by_name(word, tmp_path):
    k = live_keras("tf_keras")
    model = k.Sequential([k.Input((8, 8, 3)), REFUSED[word](k.layers), k.layers.Conv2D(2, 3)])
    with pytest.raises(porting.NotPortableError, match=word):
        porting.port(saved(k, model, tmp_path))

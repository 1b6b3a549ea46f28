"""Attention with masks, in every form: what live Keras saves computes the same in PyTorch.

Each row is one layer with its calls; all rows of an engine are outputs of one model.
"""

import itertools

import numpy as np
import pytest
import torch
from tests.support.live_keras import live_keras

from batchdot import porting

pytestmark = [pytest.mark.keras, pytest.mark.filterwarnings("ignore")]

ENGINES = ("tf_keras", "keras")
QUERIES, VALUES, FEATURES = 5, 7, 6


def of_one_head(k):
    """Yield each layer of scores with its arguments of a call."""
    layers = k.layers
    for scale, mode, causal in itertools.product((True, False), ("dot", "concat"), (True, False)):
        yield layers.Attention(use_scale=scale, score_mode=mode, dropout=0.1), {"use_causal_mask": causal}
    for scale, causal in itertools.product((True, False), (True, False)):
        yield layers.AdditiveAttention(use_scale=scale), {"use_causal_mask": causal}
    yield layers.Attention(use_scale=True), {"return_attention_scores": True}
    yield layers.AdditiveAttention(), {"return_attention_scores": True}


def of_heads(k):
    """Yield layers of several heads: those of nn.MultiheadAttention first."""
    heads = k.layers.MultiHeadAttention
    for bias, causal in itertools.product((True, False), (True, False)):
        yield heads(2, 3, use_bias=bias, dropout=0.1), {"use_causal_mask": causal}
        yield heads(2, 5, value_dim=4, use_bias=bias, dropout=0.1), {"use_causal_mask": causal}
    yield heads(3, 2), {"return_attention_scores": True}
    yield heads(3, 4), {"return_attention_scores": True}
    yield heads(2, 3, output_shape=4), {}
    yield heads(2, 3, output_shape=(4, 2)), {}
    if k.__name__ == "keras":
        for causal in (True, False):
            yield k.layers.GroupQueryAttention(4, 6, 2), {"use_causal_mask": causal}
        yield k.layers.GroupQueryAttention(2, 4, 4, use_bias=False), {"return_attention_scores": True}


def inputs(k, masked):
    """Return inputs of ids, and a function that makes query, value and key, with masks where ids are 0."""
    ids = [k.Input((size,), dtype="int32") for size in (QUERIES, VALUES, VALUES)]
    tables = [k.layers.Embedding(9, FEATURES, mask_zero=masked) for _ in ids]
    return ids, lambda: [table(each) for table, each in zip(tables, ids, strict=True)]


def ids_of(rng):
    """Return ids whose zeros are behind, in front, in the middle, or everywhere."""
    made = [rng.integers(1, 9, (4, size)) for size in (QUERIES, VALUES, VALUES)]
    for each in made:
        each[0, 3:], each[1, :2], each[2, 1:3] = 0, 0, 0
    made[1][3], made[2][3] = 0, 0
    return made


def flat(results):
    return [part for each in results for part in (each if isinstance(each, (tuple, list)) else [each])]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("make", [of_one_head, of_heads])
def test_load_of_attention_computes_what_keras_computes(make, engine, masked, tmp_path):
    k = live_keras(engine)
    ids, embedded = inputs(k, masked)
    results, names = [], []
    for layer, arguments in make(k):
        calls = [embedded()[:2], embedded(), embedded()[:1] * 2]  # in Keras 3, a call deletes masks
        several = make is of_heads
        made = [layer(*call, **arguments) if several else layer(call, **arguments) for call in calls]
        results += flat(made)
        names += [(layer.name, layer.get_config(), arguments)] * len(flat(made))
    model = k.Model(ids, results)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(-1, 1, weight.shape) for weight in model.get_weights()])
    sample = ids_of(rng)
    if engine == "keras" and make is of_heads and masked:
        sample = [each[:3] for each in sample]  # on PyTorch, Keras makes NaN where a mask hides everything
    want = model([each.astype("int32") for each in sample], training=False)
    model.save(tmp_path / "model.keras")
    module = porting.load(tmp_path / "model.keras")
    with torch.no_grad():
        got = module(*map(torch.tensor, sample))
    counts = sample[0] != 0
    for name, target, result in zip(names, want, got, strict=True):
        target = np.asarray(target.detach() if engine == "keras" else target)
        assert target.shape == tuple(result.shape), name
        result = result.numpy()
        if engine == "keras" and make is of_heads and masked:  # where all is hidden, Keras 3 is of two minds
            target, result = (
                (each if each.ndim == 3 or each.shape[1] == QUERIES else each.swapaxes(1, 2))[counts]
                for each in (target, result)
            )
        np.testing.assert_allclose(result, target, atol=2e-5, err_msg=str(name))


def test_load_of_attention_by_softmax_gives_zero_where_all_is_hidden(tmp_path):
    """With dropout, or returning scores, Keras 3.10 and later compute by the layer Softmax, which does."""
    k = live_keras("keras")
    ids, embedded = inputs(k, True)
    layers = [
        (k.layers.MultiHeadAttention(2, 3, dropout=0.1), {}),
        (k.layers.MultiHeadAttention(2, 5), {"return_attention_scores": True}),
        (k.layers.GroupQueryAttention(4, 4, 2, dropout=0.2), {"use_causal_mask": True}),
        (k.layers.GroupQueryAttention(4, 4, 2), {"return_attention_scores": True}),
    ]
    results = flat([layer(*embedded(), **arguments) for layer, arguments in layers])
    model = k.Model(ids, results)
    sample = ids_of(np.random.default_rng(1))
    want = model([each.astype("int32") for each in sample], training=False)
    model.save(tmp_path / "model.keras")
    got = porting.load(tmp_path / "model.keras")(*map(torch.tensor, sample))
    for number, (target, result) in enumerate(zip(want, got, strict=True)):
        np.testing.assert_allclose(result.detach(), target.detach(), atol=2e-5, err_msg=str(number))


AXES = [(engine, axes) for engine in ENGINES for axes in ((1,), (2,), (1, 2), None)]
AXES += [("keras", axes) for axes in ((3,), (1, 3))]  # TensorFlow has no softmax of so many axes


@pytest.mark.parametrize(("engine", "axes"), AXES)
def test_load_of_attention_over_axes_computes_what_keras_computes(engine, axes, tmp_path):
    k = live_keras(engine)
    shape = (3, 4, 5, 6) if axes and max(axes) == 3 else (3, 4, 6)
    x = k.Input(shape)
    layer = k.layers.MultiHeadAttention(2, 3, attention_axes=axes)
    model = k.Model(x, layer(x, x))
    sample = np.random.default_rng(0).standard_normal((2, *shape)).astype("float32")
    target = model(sample)
    model.save(tmp_path / "model.keras")
    result = porting.load(tmp_path / "model.keras")(torch.tensor(sample)).detach()
    np.testing.assert_allclose(result, target.detach() if engine == "keras" else target, atol=2e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_load_of_attention_with_a_mask_as_argument_obeys_it(engine, tmp_path):
    k = live_keras(engine)
    x, mask = k.Input((5, 6)), k.Input((5, 5), dtype="bool")
    plain, causal = (k.layers.MultiHeadAttention(2, 3) for _ in range(2))
    results = [plain(x, x, attention_mask=mask), causal(x, x, attention_mask=mask, use_causal_mask=True)]
    model = k.Model([x, mask], results)
    rng = np.random.default_rng(0)
    sample = rng.standard_normal((2, 5, 6)).astype("float32")
    seen = (rng.random((2, 5, 5)) > 0.4) | np.eye(5, dtype=bool)
    model.save(tmp_path / "model.keras")
    got = porting.load(tmp_path / "model.keras")(torch.tensor(sample), torch.tensor(seen))
    for target, result in zip(model([sample, seen]), got, strict=True):
        target = target.detach() if engine == "keras" else target
        np.testing.assert_allclose(result.detach(), target, atol=2e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_load_of_attention_in_a_chain_sees_the_masks_that_keras_sees(engine, tmp_path):
    k = live_keras(engine)
    ids, embedded = inputs(k, True)
    query, value, _ = embedded()
    first = k.layers.MultiHeadAttention(2, 3)(query, value)
    second = k.layers.MultiHeadAttention(2, 3)(first, value)  # without a mask in Keras 3
    model = k.Model(ids[:2], second)
    model.save(tmp_path / "model.keras")
    sample = [each[:3] for each in ids_of(np.random.default_rng(0))[:2]]
    target = model([each.astype("int32") for each in sample])
    result = porting.load(tmp_path / "model.keras")(*map(torch.tensor, sample)).detach().numpy()
    target, counts = np.asarray(target.detach() if engine == "keras" else target), sample[0] != 0
    np.testing.assert_allclose(result[counts], target[counts], atol=2e-5)


def test_port_of_heads_that_share_out_the_features_is_one_torch_module(tmp_path):
    k = live_keras("keras")
    x = k.Input((5, 6))
    k.Model(x, k.layers.MultiHeadAttention(2, 3)(x, x)).save(tmp_path / "model.keras")
    source = porting.port(tmp_path / "model.keras").source
    assert "nn.MultiheadAttention(6, 2, batch_first=True)" in source
    assert "def mask_bias" not in source


def test_load_of_attention_in_any_dtype_and_batch_runs(tmp_path):
    k = live_keras("tf_keras")
    ids, embedded = inputs(k, True)
    query, value, key = embedded()
    heads = k.layers.MultiHeadAttention(2, 3, dropout=0.1)(query, value, key, use_causal_mask=True)
    model = k.Model(ids, [heads, k.layers.Attention(dropout=0.1)([query, value, key], use_causal_mask=True)])
    model.save(tmp_path / "model.keras")
    module = porting.load(tmp_path / "model.keras")
    sample = list(map(torch.tensor, ids_of(np.random.default_rng(0))))
    want = module(*sample)
    for dtype in (torch.float64, torch.bfloat16):
        for result, target in zip(module.to(dtype)(*sample), want, strict=True):
            assert result.dtype == dtype
            assert torch.allclose(result.float(), target, atol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(result.isfinite().all() for result in module.float()(*sample))
    assert module(*(each[:0] for each in sample))[0].shape == (0, QUERIES, FEATURES)
    assert all(result.isfinite().all() for result in module.train()(*sample))


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("container", ["m.keras", "m.h5"])
def test_load_of_several_heads_over_one_masked_tensor_agrees_with_keras(container, turned, tmp_path):
    """The first that Keras 3 runs takes the mask away; the outputs decide which it is."""
    k = live_keras("keras")
    ids = k.Input((5,), dtype="int32")
    words = k.layers.Embedding(7, 6, mask_zero=True)(ids)
    attended = [k.layers.MultiHeadAttention(2, 3)(words, words) for _ in range(3)]
    pooled = [k.layers.Dense(2)(each) for each in attended]
    model = k.Model(ids, pooled[::-1] if turned else pooled)
    model.save(tmp_path / container)
    given = np.array([[1, 2, 0, 0, 3], [0, 0, 4, 0, 0], [5, 6, 1, 2, 3]], "int32")
    found = porting.load(tmp_path / container)(torch.tensor(given))
    for mine, yours in zip(found, model.predict(given, verbose=0), strict=True):
        np.testing.assert_allclose(mine.detach(), yours, rtol=1e-4, atol=1e-5)

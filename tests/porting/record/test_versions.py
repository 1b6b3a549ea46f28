"""The same model from two versions: records differ in what the versions mean differently, and only there."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
from tests.support.porting.corpus import WHOLE, WHY_NOT, read_model

from batchdot.porting.record import FrozenMap, Mask, TensorRef
from batchdot.porting.record.values import refs_in


def facts(model, prefix=""):
    """Return all that a record says; layers are numbered from the outputs, for versions name them anew."""
    calls = {(call.layer, call.number): call for call in model.calls}
    layers = {layer.name: layer for layer in model.layers}
    numbers, done, found = {}, {}, {}

    def plain(item):
        if isinstance(item, TensorRef):
            visit((item.layer, item.call))
            return f"{done[item.layer, item.call]}[{item.output}]"
        if isinstance(item, FrozenMap):
            return {key: plain(part) for key, part in item.items()}
        if isinstance(item, Mask):
            return tuple(
                plain(getattr(item, field.name)) for field in dataclasses.fields(item) if field.name != "like"
            )
        return tuple(map(plain, item)) if isinstance(item, tuple) else item

    def visit(key):
        if key in done:
            return
        call, layer = calls[key], layers[key[0]]
        arguments, masks = plain(call.arguments), plain(call.masks)
        done[key] = len(done)
        numbers.setdefault(layer.name, len(numbers))
        where = f"{prefix}{numbers[layer.name]} {layer.class_name}"
        found[f"{where} call {call.number}", "arguments"] = arguments
        found[f"{where} call {call.number}", "masks"] = masks
        found[f"{where} call {call.number}", "shapes"] = call.output_shapes
        of_layer(layer, where)

    def of_layer(layer, where):
        for key, value in layer.config.items():
            found[where, key] = value
        for role, weight in layer.weights.items():
            numbers_of = hashlib.md5(weight.read().tobytes(), usedforsecurity=False).hexdigest()
            found[where, f"weight {role}"] = (weight.shape, weight.dtype, numbers_of)
        for key, inside in layer.inner.items():
            of_layer(inside, f"{where}.{key} {inside.class_name}")
        if layer.model is not None:
            found.update(facts(layer.model, f"{where}/"))

    for ref in (*refs_in(model.inputs), *refs_in(model.outputs)):
        plain(ref)
    return found


def differences(a, b):
    """Return what differs, as "Class.key: value -> value"."""
    assert set(a) == set(b), sorted(set(a) ^ set(b))[:5]
    return {
        f"{where.split(' call')[0].split()[-1]}.{key}: {a[where, key]} -> {b[where, key]}"
        for where, key in a
        if a[where, key] != b[where, key]
    }


FLOOR = "Dot.floor: 1e-12 -> 1e-14"
RULE = "Dot.rule: matmul -> batch_dot"
HARD = "hard_sigmoid(slope=0.2, offset=0.5)"
HARD_3 = "hard_sigmoid(slope=0.16666666666666666, offset=0.5)"
ZERO = "masked_steps: repeat -> zero"

ROWS = [  # model, version, another, what differs; nothing where both mean the same
    ("01_mf", "keras1.2.2", "keras2.1.6", set()),
    ("01_mf", "keras2.1.6", "tf1.15", set()),
    ("01_mf", "tf1.15", "tf2.1", {RULE}),
    ("01_mf", "keras2.2.4", "tf2.15", {RULE}),
    ("01_mf", "tf2.1", "tf_keras2.21", set()),
    ("01_mf", "tf2.15", "keras3.0.5", {FLOOR}),
    ("01_mf", "keras3.0.5", "keras3.15.1", set()),
    ("05b_luong_gru_reset_before", "tf2.1", "tf2.15", set()),
    ("05a_luong_gru_default", "keras2.2.4", "tf1.15", set()),
    ("06_one_step_attention", "tf2.3", "tf2.15", set()),
    ("06b_seq2seq_states", "keras3.5.0", "keras3.12.0", set()),
    ("06b_seq2seq_states", "tf2.15", "keras3.12.0", set()),
    ("07_memory_network", "tf2.6", "tf_keras2.21", set()),
    ("11_nested", "keras1.2.2", "tf2.15", set()),
    ("11_nested", "tf1.12", "keras3.12.0", set()),
    ("11_nested", "tf2.13", "keras3.15.1", set()),
    ("11b_nested_reuse_submodel", "keras3.0.5", "keras3.12.0", set()),
    ("11b_nested_reuse_submodel", "tf2.13", "keras3.15.1", set()),
    ("16a_rnn_options", "tf2.3", "tf2.15", set()),
    (
        "16a_rnn_options",
        "tf2.15",
        "keras3.12.0",
        {f"{name}.recurrent_activation: {HARD} -> {HARD_3}" for name in ("LSTM", "GRU")},
    ),
    ("16c_bidirectional", "tf2.1", "tf2.15", {f"Bidirectional.{ZERO}", f"LSTM.{ZERO}"}),
    ("16c_bidirectional", "tf2.3", "tf2.15", set()),
    ("16d_convlstm", "tf2.15", "keras3.12.0", {f"ConvLSTM2D.recurrent_activation: {HARD} -> sigmoid"}),
    ("16e_cudnn", "keras2.1.6", "keras2.2.4", set()),
    ("16e_cudnn", "tf2.3", "tf2.15", set()),
    ("17a_ops_basic", "tf1.15", "tf2.3", set()),
    ("17a_ops_basic", "tf2.3", "tf2.15", set()),
    ("19d_frozen_bn_first", "keras2.1.6", "keras2.2.4", set()),
    ("19d_frozen_bn_first", "tf2.1", "tf2.15", set()),
    ("21a2_masks", "tf2.3", "tf2.15", set()),
    ("21a2_masks", "keras3.12.0", "keras3.15.1", set()),
    ("21c_dict_io", "tf2.3", "keras3.12.0", set()),
    ("08_pointnet", "tf1.15", "tf2.15", {"BatchNormalization.frozen_infers: False -> True", RULE}),
    (
        "15c_transformer_block",
        "tf2.6",
        "tf2.10",
        {
            "MultiHeadAttention.masks: {} -> {'query': ('not_equal', '0[0]', 0.0, (), None), "
            "'value': ('not_equal', '0[0]', 0.0, (), None)}"
        },
    ),
]


def find(folder, version, model):
    """Return a model's file from the committed selection, else from the whole corpus."""
    for root in (folder, Path(WHOLE) if WHOLE else None):
        for suffix in (".h5", ".keras"):
            if root is not None and (path := root / version / (model + suffix)).exists():
                return path
    pytest.skip(WHY_NOT)


@pytest.mark.parametrize(("model", "version", "other", "expected"), ROWS)
def test_two_versions_differ_as_they_should(fixtures, model, version, other, expected):
    a, b = (facts(read_model(find(fixtures, name, model))) for name in (version, other))
    assert differences(a, b) == expected

"""A ported model is copied, pickled, compiled and exported as any other module, once an architecture."""

import copy
import pickle

import numpy as np
import pytest
import torch
from tests.support.porting.corpus import fixture_files

from batchdot import porting
from batchdot.porting.verification.inputs import random_inputs

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

VERSIONS = ("keras3.15.1", "tf_keras2.21", "tf2.15", "tf1.15", "keras2.2.4", "keras1.2.2")
"""Newest first: an architecture is taken from the first that has it."""


def architectures():
    """Return the names of files: of each architecture the newest whole model."""
    names = {name for name, _ in fixture_files()}
    found = {}
    for version in VERSIONS:
        for end in (".keras", ".h5"):
            for name in sorted(names):
                folder, _, file = name.partition("/")
                if folder == version and file == file.split(".")[0] + end:
                    found.setdefault(file.split(".")[0], name)
    return [found[key] for key in sorted(found)]


@pytest.fixture(scope="module", params=architectures())
def model(request, fixtures):
    """Return a port, and inputs for it as tensors."""
    path = fixtures / request.param
    try:
        ported = porting.port(path)
    except porting.NotPortableError as refusal:
        pytest.skip(str(refusal))
    inputs = random_inputs(porting.read(path))
    return ported, [torch.from_numpy(array) for array in inputs.values()]


def leaves(result):
    if isinstance(result, torch.Tensor):
        return [result]
    parts = result.values() if isinstance(result, dict) else result
    return [leaf for part in parts for leaf in leaves(part)]


def assert_same(found, expected, **tolerance):
    for mine, yours in zip(leaves(found), leaves(expected), strict=True):
        torch.testing.assert_close(mine, yours, equal_nan=True, **tolerance)


def is_recurrent(source):
    return any(name in source for name in ("nn.LSTM", "nn.GRU", "nn.RNN", "pack_padded_sequence"))


def depends_on_masks(source):
    """Whether the lengths of sequences decide which steps a module takes."""
    return "pack_padded_sequence" in source or "argsort(" in source


def test_copy_pickle_and_state_dict_keep_outputs(model):
    ported, inputs = model
    module = ported.module()
    with torch.no_grad():
        expected = module(*inputs)
        other = ported.module()
        for parameter in other.parameters():
            parameter.zero_()
        other.load_state_dict(module.state_dict())
        for same in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), other):
            assert set(same.state_dict()) == set(ported.state_dict)
            assert_same(same(*inputs), expected, rtol=0, atol=0)


def test_compile_as_one_graph_keeps_outputs(model):
    ported, inputs = model
    if is_recurrent(ported.source):
        pytest.skip("torch breaks the graph at its recurrent modules; a note says so")
    torch._dynamo.reset()
    module = ported.module()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert_same(compiled(*inputs), module(*inputs), rtol=1e-4, atol=1e-5)


def test_export_with_free_batch_takes_another(model):
    ported, inputs = model
    if depends_on_masks(ported.source) or not inputs:
        pytest.skip("lengths of sequences decide what it computes")
    module = ported.module()
    with torch.no_grad():
        batch = torch.export.Dim("batch", min=2, max=1024)
        shapes = [{0: batch} for _ in inputs]
        program = torch.export.export(module, tuple(inputs), dynamic_shapes=shapes)
        fewer = [array[:3] for array in inputs]
        assert_same(program.module()(*fewer), module(*fewer), rtol=1e-4, atol=1e-5)


def test_onnx_runtime_computes_the_same(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    ported, inputs = model
    if depends_on_masks(ported.source) or not inputs:
        pytest.skip("lengths of sequences decide what it computes")
    module = ported.module()
    if any(tensor.dtype in (torch.bfloat16, torch.float16) for tensor in module.state_dict().values()):
        pytest.skip("ONNX Runtime computes few operators in half precision on CPUs")
    path = tmp_path / "model.onnx"
    batch = torch.export.Dim("batch", min=2, max=1024)
    with torch.no_grad():
        expected = leaves(module(*inputs))
        torch.onnx.export(
            module,
            tuple(inputs),
            path,
            dynamo=True,
            dynamic_shapes=[{0: batch} for _ in inputs],
            verbose=False,
        )
    session = onnxruntime.InferenceSession(str(path))
    names = [each.name for each in session.get_inputs()]
    given = dict(zip(names, (array.numpy() for array in inputs), strict=True))
    for mine, yours in zip(session.run(None, given), expected, strict=True):
        np.testing.assert_allclose(mine, yours.numpy(), rtol=1e-3, atol=1e-4)

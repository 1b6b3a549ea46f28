"""What else runs the functions: torch.compile, torch.export, vmap, forward mode, meta and fake tensors."""

import itertools

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim

from batchdot import Dot, batch_dot, dot
from cases import LAYOUTS, lay_out

# x shape, y shape, axes: the batch is 6
SHAPES = {
    "row": ((6, 5), (6, 5), 1),
    "row, free axes of 1": ((6, 1, 5), (6, 5), -1),
    "matrix-vector": ((6, 3, 5), (6, 5), -1),
    "vector-matrix": ((6, 5), (6, 5, 4), 1),
    "matrix": ((6, 3, 5), (6, 4, 5), 2),
    "rank 4": ((6, 2, 5, 3), (6, 5, 4), (2, 1)),
    "several axes": ((6, 2, 5, 3), (6, 5, 2), ((1, 2), (2, 1))),
    "default": ((6, 2, 5), (6, 5, 4), None),
}
NAMES = pytest.mark.parametrize("name", SHAPES)
NORMALIZE = pytest.mark.parametrize("normalize", [False, True])
DTYPE = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.int64, torch.complex64], ids=str
)


def tensors(name, batch=6, dtype=torch.float32):
    x_shape, y_shape, _ = SHAPES[name]
    shapes = (batch, *x_shape[1:]), (batch, *y_shape[1:])
    if dtype == torch.int64:
        return tuple(torch.randint(-9, 9, shape) for shape in shapes)
    return tuple(torch.randn(shape, dtype=dtype) for shape in shapes)


class Function(torch.nn.Module):
    """A module, for torch.export takes nothing else."""

    def __init__(self, name, normalize=False, layer=False):
        super().__init__()
        self.axes, self.normalize = SHAPES[name][2], normalize
        self.layer = Dot(self.axes, normalize=normalize) if layer else None

    def forward(self, x, y):
        if self.layer is not None:
            return self.layer([x, y])
        return batch_dot(x, y, self.axes, normalize=self.normalize)


@pytest.fixture(autouse=True)
def _reset():
    torch._dynamo.reset()


class Counter:
    """A backend that counts graphs."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


@NAMES
@NORMALIZE
@DTYPE
def test_compile_makes_one_graph_for_many_batch_sizes(name, normalize, dtype):
    counter = Counter()
    function = Function(name, normalize)
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=counter)
    for batch in (6, 2, 9, 100):
        x, y = tensors(name, batch, dtype)
        torch.testing.assert_close(compiled(x, y), function(x, y))
    assert counter.graphs == 1


@pytest.mark.parametrize("dynamic", [True, None])
def test_compile_layer(dynamic):
    counter = Counter()
    layer = Dot((2, 1), normalize=True)
    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend=counter)
    for batch in (4, 7, 30, 31):
        x, y = torch.randn(batch, 3, 5), torch.randn(batch, 5, 2)
        torch.testing.assert_close(compiled([x, y]), layer([x, y]))
        torch.testing.assert_close(compiled(x, y), layer([x, y]))
    assert counter.graphs <= 4


def test_compile_gradients_and_other_arguments():
    counter = Counter()

    def function(x, y):
        return (
            batch_dot(x, y, axes=[-1, -1], batch_dims=2, normalize=True, epsilon=1e-6).sum()
            + dot(x, y[0].mT).sum()
        )

    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=counter)
    for batch in (3, 5):
        x, y = torch.randn(batch, 4, 6, requires_grad=True), torch.randn(batch, 4, 6, requires_grad=True)
        for a, b in zip(
            torch.autograd.grad(compiled(x, y), (x, y)),
            torch.autograd.grad(function(x, y), (x, y)),
            strict=True,
        ):
            torch.testing.assert_close(a, b)
    assert counter.graphs == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["row", "matrix"])
def test_compile_with_inductor(name):
    function = Function(name, normalize=True)
    compiled = torch.compile(function, fullgraph=True, dynamic=True)
    for batch in (6, 9):
        x, y = tensors(name, batch)
        torch.testing.assert_close(compiled(x, y), function(x, y), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layer", [False, True])
@pytest.mark.parametrize("strict", [False, True])
@NORMALIZE
@NAMES
def test_export_with_a_dynamic_batch(name, normalize, strict, layer):
    if SHAPES[name][2] is None and layer:
        return  # a layer is always told its axes
    function = Function(name, normalize, layer)
    dims = tuple({0: Dim("batch", min=2, max=1 << 20)} for _ in "xy")
    program = torch.export.export(function, tensors(name), dynamic_shapes=dims, strict=strict)
    for batch in (6, 3, 50):
        x, y = tensors(name, batch)
        torch.testing.assert_close(program.module()(x, y), function(x, y))


@NAMES
@NORMALIZE
@DTYPE
def test_vmap(name, normalize, dtype):
    """Over every axis of either input, or of both, as a loop does it."""
    axes = SHAPES[name][2]

    def function(x, y):
        return batch_dot(x, y, axes, normalize=normalize)

    x, y = tensors(name, dtype=dtype)
    xs, ys = (torch.stack([t, t + 1, t * 2]) for t in (x, y))
    for x_dim, y_dim in itertools.product((None, *range(x.ndim + 1)), (None, *range(y.ndim + 1))):
        if x_dim is None and y_dim is None:
            continue
        a, b = x if x_dim is None else xs.movedim(0, x_dim), y if y_dim is None else ys.movedim(0, y_dim)
        out = torch.vmap(function, in_dims=(x_dim, y_dim), out_dims=1)(a, b)
        loop = [function(x if x_dim is None else xs[i], y if y_dim is None else ys[i]) for i in range(3)]
        torch.testing.assert_close(out, torch.stack(loop, 1))


def test_vmap_of_vmap_and_of_dot():
    x, y = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 5, 6)
    out = torch.vmap(torch.vmap(dot))(x, y)
    torch.testing.assert_close(out, x @ y)
    out = torch.vmap(lambda a, b: batch_dot(a, b, (2, 1)))(x, y)
    torch.testing.assert_close(out, x @ y)


def test_functional_gradients():
    x, y = torch.randn(6, 5, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    for normalize in (False, True):

        def function(x, y, normalize=normalize):
            return batch_dot(x[None], y[None], 1, normalize=normalize).squeeze()

        per_sample = torch.vmap(torch.func.grad(function))(x, y)
        a = x.clone().requires_grad_()
        batch_dot(a, y, 1, normalize=normalize).sum().backward()
        torch.testing.assert_close(per_sample, a.grad)
        forward = torch.vmap(torch.func.jacfwd(function))(x, y)
        torch.testing.assert_close(forward, a.grad)


@NAMES
@NORMALIZE
@DTYPE
def test_meta_and_fake_tensors_agree(name, normalize, dtype):
    axes = SHAPES[name][2]
    x, y = tensors(name, dtype=dtype)
    for x_layout, y_layout in itertools.product(LAYOUTS, LAYOUTS):
        a, b = lay_out(x, x_layout, 1), lay_out(y, y_layout, 2)
        real = batch_dot(a, b, axes, normalize=normalize)
        meta = batch_dot(a.to("meta"), b.to("meta"), axes, normalize=normalize)
        with FakeTensorMode() as mode:
            fake = batch_dot(mode.from_tensor(a), mode.from_tensor(b), axes, normalize=normalize)
        for other in (meta, fake):
            assert (other.shape, other.dtype) == (real.shape, real.dtype)
        assert fake.stride() == real.stride()
        assert fake.device == real.device


def test_fake_tensors_leave_nothing_behind():
    x, y = torch.randn(4, 13), torch.randn(4, 13)
    with FakeTensorMode() as mode:
        batch_dot(mode.from_tensor(x), mode.from_tensor(y), 1, normalize=True)
    torch.testing.assert_close(batch_dot(x, y, 1, normalize=True), torch.cosine_similarity(x, y)[:, None])


@NAMES
@NORMALIZE
def test_the_same_bits_every_time(name, normalize):
    x, y = tensors(name, 200)
    axes = SHAPES[name][2]
    first = batch_dot(x, y, axes, normalize=normalize)
    for _ in range(3):
        assert torch.equal(batch_dot(x.clone(), y.clone(), axes, normalize=normalize), first)


def test_inference_mode_and_deepcopy():
    from copy import deepcopy

    layer = deepcopy(Dot(1, normalize=True))
    with torch.inference_mode():
        out = layer(torch.ones(2, 3), torch.ones(2, 3))
    assert out.tolist() == [[1.0], [1.0]]

"""What else runs the functions: torch.compile, torch.export, vmap, forward mode, meta and fake tensors."""

import itertools

import pytest
import torch
from functorch.compile import make_boxed_func
from tests.support.cases import LAYOUTS, lay_out
from tests.support.graphs import Counter, count_graphs, count_guards, operators_of
from tests.support.tiers import one_of
from torch._dynamo.backends.common import aot_autograd
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim

from batchdot import Dot, activations, backend, batch_dot, dot, layers
from batchdot.kernels import AVAILABLE

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
# The same in PyTorch, but for axes of 1, and the free axes of x and of y: time, most often.
PLAIN = {
    "row": ("bk,bk->b", (), ()),
    "row, free axes of 1": ("bik,bk->bi", (), ()),
    "matrix-vector": ("bik,bk->bi", (1,), ()),
    "vector-matrix": ("bk,bkj->bj", (), (2,)),
    "matrix": ("bik,bjk->bij", (1,), (1,)),
    "rank 4": ("bikm,bkj->bimj", (1, 3), (2,)),
    "several axes": ("bljk,bjl->bk", (3,), ()),
    "default": ("bik,bkj->bij", (1,), (2,)),
}
NAMES = pytest.mark.parametrize("name", SHAPES)
NORMALIZE = pytest.mark.parametrize("normalize", [False, True])
DTYPE = pytest.mark.parametrize(
    "dtype", one_of(2, [torch.float32, torch.float64, torch.int64, torch.complex64]), ids=str
)


def tensors(name, batch=6, dtype=torch.float32, longer=0, time=0):
    """Make x and y; ``longer`` lengthens all axes but the batch and those of 1, ``time`` the free ones."""
    shapes = [
        (batch, *(n + longer * (n > 1) + time * (axis in free) for axis, n in enumerate(shape[1:], 1)))
        for shape, free in zip(SHAPES[name][:2], PLAIN[name][1:], strict=True)
    ]
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


TWENTY = [(6 + 7 * number % 20, number % 5) for number in range(20)]


@NAMES
@NORMALIZE
@DTYPE
def test_compile_makes_one_graph_for_twenty_shapes(name, normalize, dtype):
    calls = (tensors(name, batch, dtype, longer) for batch, longer in TWENTY)
    assert count_graphs(Function(name, normalize), calls) == 1


def sized(*patterns):
    """Return twenty lists of tensors of sizes that go by letters; o stands for 1."""
    sizes = [{"b": b, "i": 3 + n, "j": 4 + 2 * n, "k": 11 - n, "o": 1} for b, n in TWENTY]
    return [[torch.randn([size[letter] for letter in p]) for p in patterns] for size in sizes]


# What is compiled, the shapes of its tensors, and its other arguments.
FUNCTIONS = {
    "batch_dot": (batch_dot, ("bik", "bkj"), ()),
    "batch_dot, an axis": (batch_dot, ("bik", "bjk"), (2,)),
    "batch_dot, a negative axis": (batch_dot, ("bk", "bk"), (-1,)),
    "batch_dot, a pair": (batch_dot, ("bik", "bkj"), ((2, 1),)),
    "batch_dot, a list": (batch_dot, ("bk", "bkj"), ([1, 1],)),
    "batch_dot, several axes": (batch_dot, ("bik", "bki"), (((1, 2), (2, 1)),)),
    "batch_dot, vmap": (torch.vmap(lambda x, y: batch_dot(x[None], y[None])[0]), ("bik", "bkj"), ()),
    "dot of matrices": (dot, ("bk", "kj"), ()),
    "dot of higher ranks": (dot, ("bik", "jkb"), ()),
    "dot of vectors": (dot, ("k", "k"), ()),
    "dot with a vector": (dot, ("bik", "k"), ()),
    "layers.dot": (lambda x, y: layers.dot([x, y], 2, normalize=True), ("bik", "bjk"), ()),
    "layers.dot of rows": (lambda x, y: layers.dot([x, y], 1), ("bk", "bk"), ()),
    "layers.concatenate": (lambda x, y: layers.concatenate([x, y]), ("bik", "bij"), ()),
    **{
        f"layers.{merge.__name__}": (lambda x, y, merge=merge: merge([x, y]), ("bik", "bik"), ())
        for merge in (
            layers.add,
            layers.subtract,
            layers.multiply,
            layers.average,
            layers.maximum,
            layers.minimum,
        )
    },
    "backend.l2_normalize": (backend.l2_normalize, ("bik",), (-1,)),
    "backend.l2_normalize of several axes": (lambda x: backend.l2_normalize(x, (1, 2)), ("bik",), ()),
    "backend.l2_normalize of all": (backend.l2_normalize, ("bik",), ()),
    "backend.expand_dims": (lambda x: backend.expand_dims(x, 1), ("bik",), ()),
    "backend.squeeze": (lambda x: backend.squeeze(x, 1), ("bok",), ()),
    "backend.permute_dimensions": (lambda x: backend.permute_dimensions(x, (0, 2, 1)), ("bik",), ()),
    "backend.reshape": (lambda x: backend.reshape(x, (-1, backend.shape(x)[2])), ("bik",), ()),
    "backend.transpose": (backend.transpose, ("bik",), ()),
    "backend.cast": (lambda x: backend.cast(x, "float64"), ("bik",), ()),
    **{
        f"activations.{name}": (getattr(activations, name), ("bik",), ())
        for name in ("relu", "hard_sigmoid", "softmax", "softplus", "gelu", "swish", "mish", "exponential")
    },
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_compiles_to_two_graphs_at_most(name):
    """Axes as arguments too, which torch.compile takes for symbols."""
    function, patterns, others = FUNCTIONS[name]
    calls = [(*inputs, *others) for inputs in sized(*patterns)]
    assert count_graphs(function, calls) <= 2


LAYER, DENSE, EMBEDDING = Dot(1), layers.Dense(4, activation="relu"), layers.Embedding(9, 4)
# What is compiled, and how many guards it has: traced by Dynamo in full it had 200 to 300.
GUARDED = {
    "(x * y).sum": (lambda x, y: (x * y).sum(1, True), 10),
    "batch_dot": (lambda x, y: batch_dot(x, y, 1), 30),
    "batch_dot, cosine": (lambda x, y: batch_dot(x, y, (1, -1), normalize=True), 30),
    "dot": (lambda x, y: dot(x, y.mT), 23),
    "Dot": (lambda x, y: LAYER([x, y]), 41),
    "Dense, relu": (lambda x, y: DENSE(x), 37),
    "Embedding": (lambda x, y: EMBEDDING(x), 34),
}


@pytest.mark.parametrize("name", GUARDED)
def test_a_compiled_call_asks_few_questions(name):
    """They are asked at each call, and would take longer than a small product."""
    function, limit = GUARDED[name]
    function(torch.ones(4, 3), torch.ones(4, 3))
    assert count_guards(function, torch.ones(4, 3), torch.ones(4, 3)) <= limit


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


@pytest.mark.parametrize("aot", [False, True])
def test_compile_gradients_and_other_arguments(aot):
    """Of what runs as Dynamo's graph, and where the gradients have a graph of their own."""
    counter = Counter()
    compiler = lambda graph, inputs: make_boxed_func(counter(graph, inputs))  # noqa: E731
    backend = aot_autograd(fw_compiler=compiler) if aot else counter

    def function(x, y):
        return (
            batch_dot(x, y, axes=[-1, -1], batch_dims=2, normalize=True, epsilon=1e-6).sum()
            + dot(x, y[0].mT).sum()
        )

    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=backend)
    for batch in (3, 5):
        x, y = torch.randn(batch, 4, 6, requires_grad=True), torch.randn(batch, 4, 6, requires_grad=True)
        for a, b in zip(
            torch.autograd.grad(compiled(x, y), (x, y)),
            torch.autograd.grad(function(x, y), (x, y)),
            strict=True,
        ):
            torch.testing.assert_close(a, b)
    assert counter.graphs == (2 if aot else 1)


def cosines(x, y, axes):
    return batch_dot(x, y, axes, normalize=True)


# What is compiled of x, (3, 4, 5), and y, (3, 6, 5), and the operator of ours that is called, if any.
COMPILED = {
    "products of rows": (lambda x, y: batch_dot(x[:, 0], y[:, 0], 1), None),
    "products of matrices": (lambda x, y: batch_dot(x, y, 2), None),
    "cosines of rows": (lambda x, y: cosines(x[:, 0], y[:, 0], 1), "row_cosine"),
    "cosines of rows with one": (lambda x, y: cosines(x, y[:, 0], (2, 1)), "row_cosine"),
    "cosines of one with rows": (lambda x, y: cosines(x[:, 0], y, (1, 2)), "row_cosine"),
    "cosines of matrices": (lambda x, y: cosines(x, y, 2), "cosine_matrix"),
    "cosines of columns": (lambda x, y: cosines(x.mT, y.mT, 1), "cosine_matrix"),
    "cosines of two dtypes": (lambda x, y: cosines(x, y.double(), 2), "cosine_matrix"),
    "a layer": (lambda x, y: Dot(2, normalize=True)([x, y]), "cosine_matrix"),
    "several axes": (lambda x, y: cosines(x[:, :2], y[:, :2], ((1, 2), (1, 2))), "row_cosine"),
    "several axes, apart": (lambda x, y: cosines(x[:, :2], y[:, :2].mT, ((1, 2), (2, 1))), None),
    "complex": (lambda x, y: cosines(x + 1j, y, 2).real, None),
    "vmap": (torch.vmap(lambda x, y: cosines(x[None], y[None], 2)), None),
    "vmap over x": (torch.vmap(lambda x, y: cosines(x, y, (1, 2)), (1, None)), None),
    "grad": (lambda x, y: torch.func.grad(lambda x: cosines(x, y, 2).sum())(x), None),
    "jvp": (lambda x, y: torch.func.jvp(lambda x: cosines(x, y, 2), (x,), (x,))[1], None),
}


@pytest.mark.parametrize("dtype", one_of(2, [torch.bfloat16, torch.float32]), ids=str)
@pytest.mark.parametrize("name", COMPILED)
def test_what_a_call_is_compiled_to(name, dtype):
    """PyTorch's operators; for cosines on the CPU ours, with the same bits as without torch.compile.

    Sizes are symbols in one dtype of the two: with them a compilation takes three times as long.
    """
    function, operator = COMPILED[name]
    operator = operator if "native" in [kernel.name for kernel in AVAILABLE] else None
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in ((3, 4, 5), (3, 6, 5))]
    found, names = operators_of(function, *inputs, dynamic=dtype == torch.float32)
    wanted = function(*inputs)
    gradients = [torch.autograd.grad(out.sum(), inputs, allow_unused=True) for out in (found, wanted)]
    ours = {f"batchdot.{operator}.values", f"batchdot.{operator}_backward.default"} if operator else set()
    assert {name for name in names if "batchdot" in name} == ours
    for a, b in zip((found, *gradients[0]), (wanted, *gradients[1]), strict=True):
        torch.testing.assert_close(a, b, **({"rtol": 0, "atol": 0} if operator else {}))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["row", "matrix"])
def test_compile_with_inductor(name):
    function = Function(name, normalize=True)
    compiled = torch.compile(function, fullgraph=True, dynamic=True)
    for batch in (6, 9):
        x, y = tensors(name, batch)
        torch.testing.assert_close(compiled(x, y), function(x, y), rtol=1e-6, atol=1e-6)


@NORMALIZE
@NAMES
def test_export_with_a_dynamic_batch_and_time(name, normalize):
    """Strict or not, of a function or a layer, so that every two choices meet."""
    number = list(SHAPES).index(name)
    strict, layer = normalize != bool(number & 1), normalize != bool(number & 2)
    function = Function(name, normalize, layer and SHAPES[name][2] is not None)  # which is told its axes
    batch = Dim("batch", min=2, max=1 << 20)
    dims = tuple(
        {0: batch} | {axis: Dim(f"time_{side}{axis}", min=2, max=1 << 12) for axis in free}
        for side, free in zip("xy", PLAIN[name][1:], strict=True)
    )
    program = torch.export.export(function, tensors(name), dynamic_shapes=dims, strict=strict)
    assert not [node for node in program.graph.nodes if "batchdot" in str(node.target)]
    for size, time in ((6, 0), (3, 4), (50, 1)):
        x, y = tensors(name, size, time=time)
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


def plain(name, x, y, normalize):
    """What `batch_dot` computes, in PyTorch and float64."""
    einsum = PLAIN[name][0]
    if normalize:
        x, y = (
            t / t.square().sum([pattern.index(c) for c in pattern if c in shared], True).sqrt()
            for t, pattern, shared in zip(
                (x, y), einsum.partition("->")[0].split(","), contracted(einsum), strict=True
            )
        )
    out = torch.einsum(einsum, x, y)
    return out if out.ndim > 1 else out.unsqueeze(1)


def contracted(einsum):
    """Return, for each input, the letters that the result lacks."""
    inputs, _, output = einsum.partition("->")
    return [set(pattern) - set(output) for pattern in inputs.split(",")]


def tangents(function, x, y):
    return torch.func.jvp(function, (x, y), (y.flatten().mean() + x, x.flatten().mean() - y))[1]


def cotangents(function, x, y):
    out, pull = torch.func.vjp(function, x, y)
    return pull(out.sin())


def hessian_product(function, x, y):
    """Forward over reverse."""

    def gradient(x, y):
        return torch.func.grad(lambda *xy: function(*xy).sin().sum(), argnums=(0, 1))(x, y)

    return torch.func.jvp(gradient, (x, y), (x.cos(), y.cos()))[1]


DERIVATIVES = {
    "jvp": tangents,
    "vjp": cotangents,
    "jacrev": lambda f, x, y: torch.func.jacrev(f, argnums=(0, 1))(x, y),
    "jacfwd": lambda f, x, y: torch.func.jacfwd(f, argnums=(0, 1))(x, y),
    "hessian": lambda f, x, y: torch.func.hessian(lambda *xy: f(*xy).sin().sum(), argnums=(0, 1))(x, y),
    "reverse over forward": lambda f, x, y: torch.func.grad(lambda a: tangents(f, a, y).sin().sum())(x),
    "forward over reverse": hessian_product,
    "of samples": lambda f, x, y: torch.vmap(
        torch.func.grad(lambda a, b: f(a[None], b[None]).sum(), argnums=(0, 1))
    )(x, y),
}


@pytest.mark.parametrize("derivative", DERIVATIVES)
@pytest.mark.parametrize("layer", [False, True])
@NORMALIZE
@NAMES
def test_functional_derivatives(name, normalize, layer, derivative):
    if SHAPES[name][2] is None and layer:
        return
    ours = Function(name, normalize, layer)
    x, y = tensors(name, 2, torch.float64)
    take = DERIVATIVES[derivative]
    torch.testing.assert_close(take(ours, x, y), take(lambda a, b: plain(name, a, b, normalize), x, y))


@pytest.mark.parametrize("derivative", one_of(4, ["vjp", "hessian", "of samples", "jvp"]))
@NORMALIZE
@pytest.mark.parametrize("name", ["row", "matrix"])
def test_compiled_derivatives(name, normalize, derivative):
    """Of sizes that are symbols for rows' cosines and matrices' products, and are numbers for the others."""
    ours, take = Function(name, normalize), DERIVATIVES[derivative]
    x, y = tensors(name, 2, torch.float64)
    options = {"dynamic": normalize == (name == "row"), "backend": "aot_eager"}
    compiled = torch.compile(lambda x, y: take(ours, x, y), fullgraph=True, **options)
    torch.testing.assert_close(compiled(x, y), take(lambda a, b: plain(name, a, b, normalize), x, y))


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

"""What is refused: a call, the type of the exception and its exact text.

A call takes the functions and a maker of tensors, ``t(*shape)`` or ``t(*shape, dtype=...)``, so that the
same row runs on real, meta and compiled tensors. Rows of ``HOST`` hold what is no tensor or has no such
counterpart, and run once.
"""

import enum

import numpy as np
import torch


class Letter(enum.Enum):
    A = 1


AXES_TYPE = "Invalid type for argument `axes`: "
AXES_FORM = "Invalid format for argument `axes`: "
NOT_AXES = AXES_TYPE + "it should be a list or an int. Received: axes="
BOOL_AXES = AXES_TYPE + "a bool is not an axis. Received: axes="
NOT_TWO = AXES_FORM + "it should contain two elements. Received: axes="
NOT_INTEGERS = AXES_FORM + "list elements should be integers. Received: axes="
UNEVEN = AXES_FORM + "both elements should be integers, or both sequences of integers. Received: axes="
SHARED = "the first axis is shared between the samples. "
SHARED += "If your inputs are not batched, add a batch axis of size 1: x.unsqueeze(0)."


def on(shape_x, shape_y, axes=None, **kwargs):
    """Return a call of batch_dot on two tensors of these shapes."""
    return lambda f, t: f.batch_dot(t(*shape_x), t(*shape_y), axes, **kwargs)


def dot_on(shape_x, shape_y):
    return lambda f, t: f.dot(t(*shape_x), t(*shape_y))


def of(x_dtype, y_dtype=torch.float32, **kwargs):
    """Return a call of batch_dot on two tensors of these dtypes."""
    return lambda f, t: f.batch_dot(t(2, 3, dtype=x_dtype), t(2, 3, dtype=y_dtype), 1, **kwargs)


def received(x, y, axes, more=""):
    return f" Received: x.shape={x}, y.shape={y}, axes={axes}{more}."


TENSORS = [
    # axes: type
    ("axes float", on((2, 3), (2, 3), 1.0), TypeError, NOT_AXES + "1.0"),
    ("axes str", on((2, 3), (2, 3), "1"), TypeError, NOT_AXES + "'1'"),
    ("axes bytes", on((2, 3), (2, 3), b"11"), TypeError, NOT_AXES + "b'11'"),
    ("axes dict", on((2, 3), (2, 3), {1: 1, 2: 2}), TypeError, NOT_AXES + "{1: 1, 2: 2}"),
    ("axes set", on((2, 3), (2, 3), {1, 2}), TypeError, NOT_AXES + "{1, 2}"),
    ("axes complex", on((2, 3), (2, 3), 1j), TypeError, NOT_AXES + "1j"),
    ("axes bool", on((2, 3), (2, 3), True), TypeError, BOOL_AXES + "True"),
    ("axes False", on((2, 3), (2, 3), False), TypeError, BOOL_AXES + "False"),
    ("axes pair with a bool", on((2, 3), (2, 3), (1, True)), TypeError, BOOL_AXES + "(1, True)"),
    ("axes list of bools", on((2, 3), (2, 3), [True, True]), TypeError, BOOL_AXES + "[True, True]"),
    ("axes nested bool", on((2, 3), (2, 3), ([1], [True])), TypeError, BOOL_AXES + "([1], [True])"),
    # axes: form
    ("axes empty", on((2, 3), (2, 3), []), ValueError, NOT_TWO + "[]"),
    ("axes of one", on((2, 3), (2, 3), (1,)), ValueError, NOT_TWO + "(1,)"),
    ("axes of three", on((2, 3), (2, 3), (1, 1, 1)), ValueError, NOT_TWO + "(1, 1, 1)"),
    ("axes pair with a float", on((2, 3), (2, 3), (1, 1.0)), ValueError, NOT_INTEGERS + "(1, 1.0)"),
    ("axes pair with None", on((2, 3), (2, 3), (None, 1)), ValueError, NOT_INTEGERS + "(None, 1)"),
    ("axes pair of str", on((2, 3), (2, 3), ("1", "1")), ValueError, NOT_INTEGERS + "('1', '1')"),
    ("axes too deep", on((2, 3), (2, 3), ([[1]], [[1]])), ValueError, NOT_INTEGERS + "([[1]], [[1]])"),
    ("axes uneven", on((2, 3), (2, 3), ([1], 1)), ValueError, UNEVEN + "([1], 1)"),
    (
        "axes of unequal counts",
        on((2, 3, 4), (2, 3, 4), ([1, 2], [1])),
        ValueError,
        AXES_FORM + "axes are contracted in pairs, and the two sequences have 2 and 1 elements. "
        "Received: axes=([1, 2], [1])",
    ),
    # axes: value
    (
        "axis too high",
        on((2, 3), (2, 3), 2),
        "AxisError",
        "Axis 2 is out of range for x, whose rank is 2." + received((2, 3), (2, 3), 2),
    ),
    (
        "axis too low",
        on((2, 3), (2, 3), -3),
        "AxisError",
        "Axis -3 is out of range for x, whose rank is 2." + received((2, 3), (2, 3), -3),
    ),
    (
        "axis of y too high",
        on((2, 3), (2, 3), (1, 5)),
        "AxisError",
        "Axis 5 is out of range for y, whose rank is 2." + received((2, 3), (2, 3), (1, 5)),
    ),
    (
        "axis that would wrap",
        on((2, 3, 3), (2, 3, 3), (-4, 2)),
        "AxisError",
        "Axis -4 is out of range for x, whose rank is 3." + received((2, 3, 3), (2, 3, 3), (-4, 2)),
    ),
    (
        "axis huge",
        on((2, 3), (2, 3), 2**70),
        "AxisError",
        f"Axis {2**70} is out of range for x, whose rank is 2." + received((2, 3), (2, 3), 2**70),
    ),
    (
        "axis 0",
        on((2, 3), (2, 3), 0),
        ValueError,
        f"Cannot perform batch_dot over axis 0: {SHARED} Received: axes=0",
    ),
    (
        "axis 0 of y",
        on((2, 3), (2, 3), (1, 0)),
        ValueError,
        f"Cannot perform batch_dot over axis 0: {SHARED} Received: axes=(1, 0)",
    ),
    (
        "axis 0 from the end",
        on((2, 3), (2, 3), -2),
        ValueError,
        f"Cannot perform batch_dot over axis -2 of x: {SHARED}" + received((2, 3), (2, 3), -2),
    ),
    (
        "axis among several shared ones",
        on((2, 3, 4), (2, 3, 4), 1, batch_dims=2),
        ValueError,
        "Cannot perform batch_dot over axis 1: the first 2 axes are shared between the samples. Sum over "
        "a later one, or share fewer than batch_dims=2. Received: axes=1",
    ),
    (
        "axes None meets a shared axis",
        on((2, 3, 4, 5), (2, 3), None, batch_dims=2),
        ValueError,
        "batch_dims=2 leaves no axis to sum over: with inputs of ranks 4 and 2 it is at most 1."
        + received((2, 3, 4, 5), (2, 3), None, ", batch_dims=2"),
    ),
    (
        "axis twice",
        on((2, 3, 3), (2, 3, 3), ((1, -2), (1, 2))),
        ValueError,
        "Axis -2 of x is contracted twice." + received((2, 3, 3), (2, 3, 3), ((1, -2), (1, 2))),
    ),
    # batch_dims and epsilon
    (
        "batch_dims 0",
        on((2, 3), (2, 3), 1, batch_dims=0),
        ValueError,
        "batch_dims counts the axes shared between the samples, at least 1. Received: 0. "
        "Without a shared axis this is torch.tensordot.",
    ),
    (
        "batch_dims negative",
        on((2, 3), (2, 3), 1, batch_dims=-1),
        ValueError,
        "batch_dims counts the axes shared between the samples, at least 1. Received: -1. "
        "Without a shared axis this is torch.tensordot.",
    ),
    (
        "batch_dims too many",
        on((2, 3), (2, 3), -1, batch_dims=2),
        ValueError,
        "batch_dims=2 leaves no axis to sum over: with inputs of ranks 2 and 2 it is at most 1."
        + received((2, 3), (2, 3), -1, ", batch_dims=2"),
    ),
    (
        "batch_dims bool",
        on((2, 3), (2, 3), 1, batch_dims=True),
        TypeError,
        "batch_dims should be an integer. Received: True",
    ),
    (
        "batch_dims float",
        on((2, 3), (2, 3), 1, batch_dims=1.0),
        TypeError,
        "batch_dims should be an integer. Received: 1.0",
    ),
    (
        "batch_dims None",
        on((2, 3), (2, 3), 1, batch_dims=None),
        TypeError,
        "batch_dims should be an integer. Received: None",
    ),
    (
        "epsilon 0",
        on((2, 3), (2, 3), 1, normalize=True, epsilon=0.0),
        ValueError,
        "epsilon is a floor on the squared norm, positive and finite. Received: 0.0.",
    ),
    (
        "epsilon negative",
        on((2, 3), (2, 3), 1, normalize=True, epsilon=-1),
        ValueError,
        "epsilon is a floor on the squared norm, positive and finite. Received: -1.0.",
    ),
    (
        "epsilon NaN",
        on((2, 3), (2, 3), 1, epsilon=float("nan")),
        ValueError,
        "epsilon is a floor on the squared norm, positive and finite. Received: nan.",
    ),
    (
        "epsilon infinite",
        on((2, 3), (2, 3), 1, epsilon=float("inf")),
        ValueError,
        "epsilon is a floor on the squared norm, positive and finite. Received: inf.",
    ),
    (
        "epsilon str",
        on((2, 3), (2, 3), 1, epsilon="1e-12"),
        TypeError,
        "epsilon should be a number. Received: '1e-12'",
    ),
    (
        "epsilon bool",
        on((2, 3), (2, 3), 1, epsilon=True),
        TypeError,
        "epsilon should be a number. Received: True",
    ),
    (
        "epsilon None",
        on((2, 3), (2, 3), 1, epsilon=None),
        TypeError,
        "epsilon should be a number. Received: None",
    ),
    # shapes
    *(
        (
            f"rank {len(x)} with {len(y)}",
            on(x, y, axes),
            ValueError,
            "Cannot do batch_dot on inputs with rank < 2." + received(x, y, axes),
        )
        for x, y, axes in (((3,), (3,), None), ((3,), (2, 3), 1), ((2, 3), (3,), -1), ((), (2, 3), None))
    ),
    *(
        (
            f"batch {x}, {y}",
            on(x, y, axes),
            ValueError,
            "Cannot do batch_dot on inputs with different batch sizes: "
            f"x.shape[0] != y.shape[0] ({x[0]} != {y[0]})." + received(x, y, axes),
        )
        for x, y, axes in (
            ((2, 3), (3, 3), 1),
            ((1, 3), (2, 3), 1),
            ((2, 3), (1, 3), 1),
            ((1, 4, 3), (2, 5, 3), 2),
            ((2, 4, 3), (1, 3), -1),
            ((0, 3), (1, 3), 1),
        )
    ),
    (
        "batch 1 with 3 at the second shared axis",
        on((2, 1, 4), (2, 3, 4), 2, batch_dims=2),
        ValueError,
        "Cannot do batch_dot on inputs with different batch sizes: x.shape[1] != y.shape[1] (1 != 3)."
        + received((2, 1, 4), (2, 3, 4), 2, ", batch_dims=2"),
    ),
    *(
        (
            f"sizes {x}, {y}",
            on(x, y, axes),
            ValueError,
            f"Cannot sum over axes of different sizes: x.shape[{i}] != y.shape[{j}] ({x[i]} != {y[j]})."
            + received(x, y, axes),
        )
        for x, y, axes, i, j in (
            ((2, 3), (2, 4), 1, 1, 1),
            ((2, 1), (2, 3), 1, 1, 1),
            ((2, 3), (2, 1), -1, 1, 1),
            ((2, 4, 3), (2, 5, 3), None, 2, 1),
            ((2, 4, 3), (2, 3), (1, 1), 1, 1),
            ((2, 4, 3), (2, 4, 5), ((1, 2), (1, 2)), 2, 2),
            ((2, 0), (2, 3), 1, 1, 1),
        )
    ),
    # dot
    (
        "dot of vectors",
        dot_on((3,), (4,)),
        ValueError,
        "Cannot sum over axes of different sizes: x.shape[0] != y.shape[0] (3 != 4). "
        "Received: x.shape=(3,), y.shape=(4,).",
    ),
    (
        "dot of matrices",
        dot_on((2, 3), (4, 5)),
        ValueError,
        "Cannot sum over axes of different sizes: x.shape[1] != y.shape[0] (3 != 4). "
        "Received: x.shape=(2, 3), y.shape=(4, 5).",
    ),
    (
        "dot of rank 3",
        dot_on((2, 3), (3, 4, 5)),
        ValueError,
        "Cannot sum over axes of different sizes: x.shape[1] != y.shape[1] (3 != 4). "
        "Received: x.shape=(2, 3), y.shape=(3, 4, 5).",
    ),
    # dtypes
    (
        "bool",
        of(torch.bool),
        TypeError,
        "batch_dot takes numbers, and x is bool. Say which you mean: x.int() counts, x.float() weighs.",
    ),
    (
        "bool y",
        of(torch.int64, torch.bool),
        TypeError,
        "batch_dot takes numbers, and y is bool. Say which you mean: y.int() counts, y.float() weighs.",
    ),
    (
        "bool cosine",
        of(torch.bool, torch.bool, normalize=True),
        TypeError,
        "batch_dot takes numbers, and x is bool. Say which you mean: x.int() counts, x.float() weighs.",
    ),
    (
        "dot of bools",
        lambda f, t: f.dot(t(2, dtype=torch.bool), t(2)),
        TypeError,
        "dot takes numbers, and x is bool. Say which you mean: x.int() counts, x.float() weighs.",
    ),
    (
        "float8",
        of(torch.float8_e4m3fn),
        TypeError,
        "batch_dot cannot multiply x of torch.float8_e4m3fn. Cast it first, to torch.float32 say.",
    ),
    (
        "float8 y",
        of(torch.float32, torch.float8_e5m2),
        TypeError,
        "batch_dot cannot multiply y of torch.float8_e5m2. Cast it first, to torch.float32 say.",
    ),
    *(
        (
            f"{x} with {y}",
            of(x, y),
            TypeError,
            f"batch_dot finds no common dtype for x of {x} and y of {y}. Cast one of them.",
        )
        for x, y in (
            (torch.uint16, torch.int64),
            (torch.uint8, torch.uint32),
            (torch.uint64, torch.uint16),
            (torch.int32, torch.uint64),
        )
    ),
]


def nested(layout):
    return torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(3, 3)], layout=layout)


def dense(name, function="batch_dot", layout="nested", convert="torch.nested.to_padded_tensor"):
    return f"{function} takes dense tensors, and {name} is {layout}. Convert it first: {convert}."


X, TRUE, ONE = torch.ones(2, 3), torch.tensor(True), torch.tensor([1])
NOT_A_TENSOR = "Cannot convert {} to a tensor: its dtype is {}."

HOST = [
    ("axes numpy bool", lambda f: f.batch_dot(X, X, np.True_), TypeError, BOOL_AXES + repr(np.True_)),
    (
        "axes torch bool",
        lambda f: f.batch_dot(X, X, torch.tensor(True)),
        TypeError,
        BOOL_AXES + "tensor(True)",
    ),
    (
        "axes numpy bools",
        lambda f: f.batch_dot(X, X, np.array([True, True])),
        TypeError,
        BOOL_AXES + "array([ True,  True])",
    ),
    (
        "axes numpy float",
        lambda f: f.batch_dot(X, X, np.float64(1)),
        TypeError,
        NOT_AXES + repr(np.float64(1)),
    ),
    (
        "axes numpy floats",
        lambda f: f.batch_dot(X, X, np.array([1.0, 1.0])),
        ValueError,
        NOT_INTEGERS + "array([1., 1.])",
    ),
    ("axes object", lambda f: f.batch_dot(X, X, Letter.A), TypeError, NOT_AXES + "<Letter.A: 1>"),
    (
        "axes one-element vector",
        lambda f: f.batch_dot(X, X, torch.tensor([1])),
        ValueError,
        NOT_TWO + "tensor([1])",
    ),
    (
        "batch_dims numpy bool",
        lambda f: f.batch_dot(X, X, 1, batch_dims=np.True_),
        TypeError,
        f"batch_dims should be an integer. Received: {np.True_!r}",
    ),
    (
        "batch_dims torch bool",
        lambda f: f.batch_dot(X, X, 1, batch_dims=torch.tensor(True)),
        TypeError,
        "batch_dims should be an integer. Received: tensor(True)",
    ),
    (
        "epsilon of two",
        lambda f: f.batch_dot(X, X, 1, epsilon=torch.tensor([1.0, 2.0])),
        TypeError,
        "epsilon should be a number. Received: tensor([1., 2.])",
    ),
    (
        "epsilon too large for a float",
        lambda f: f.batch_dot(X, X, 1, epsilon=10**400),
        ValueError,
        "epsilon is a floor on the squared norm, positive and finite. Received: inf.",
    ),
    ("nested", lambda f: f.batch_dot(nested(torch.strided), X, 1), TypeError, dense("x")),
    ("nested y", lambda f: f.batch_dot(X, nested(torch.strided), 1), TypeError, dense("y")),
    ("jagged", lambda f: f.batch_dot(nested(torch.jagged), X, 1), TypeError, dense("x")),
    ("jagged to dot", lambda f: f.dot(X, nested(torch.jagged)), TypeError, dense("y", "dot")),
    (
        "sparse",
        lambda f: f.batch_dot(X.to_sparse(), X, 1),
        TypeError,
        dense("x", layout="sparse_coo", convert="x.to_dense()"),
    ),
    (
        "sparse y",
        lambda f: f.batch_dot(X, X.to_sparse_csr(), 1),
        TypeError,
        dense("y", layout="sparse_csr", convert="y.to_dense()"),
    ),
    (
        "sparse y to dot",
        lambda f: f.dot(X, X.mT.to_sparse()),
        TypeError,
        dense("y", "dot", "sparse_coo", "y.to_dense()"),
    ),
    (
        "sparse both to dot",
        lambda f: f.dot(X.to_sparse(), X.mT.to_sparse()),
        TypeError,
        "dot takes a sparse x as COO or CSR with a dense y, and x is sparse_coo, y is sparse_coo.",
    ),
    (
        "sparse CSC to dot",
        lambda f: f.dot(X.to_sparse_csc(), X.mT),
        TypeError,
        "dot takes a sparse x as COO or CSR with a dense y, and x is sparse_csc, y is strided.",
    ),
    (
        "sparse vector to dot",
        lambda f: f.dot(X[0].to_sparse(), X.mT),
        ValueError,
        "dot takes a sparse x where both inputs are matrices. Received: x.shape=(3,), y.shape=(3, 2).",
    ),
    (
        "sparse with rank 3 to dot",
        lambda f: f.dot(X.to_sparse(), torch.ones(2, 3, 4)),
        ValueError,
        "dot takes a sparse x where both inputs are matrices. Received: x.shape=(2, 3), y.shape=(2, 3, 4).",
    ),
    (
        "sparse sizes to dot",
        lambda f: f.dot(X.to_sparse(), X),
        ValueError,
        "Cannot sum over axes of different sizes: x.shape[1] != y.shape[0] (3 != 2). "
        "Received: x.shape=(2, 3), y.shape=(2, 3).",
    ),
    (
        "sparse bool to dot",
        lambda f: f.dot(X.bool().to_sparse(), X.mT),
        TypeError,
        "dot takes numbers, and x is bool. Say which you mean: x.int() counts, x.float() weighs.",
    ),
    (
        "sparse device to dot",
        lambda f: f.dot(X.to_sparse(), torch.ones(3, 2, device="meta")),
        ValueError,
        "dot takes tensors on one device, and x is on cpu, y on meta.",
    ),
    (
        "devices",
        lambda f: f.batch_dot(X, torch.ones(2, 3, device="meta"), 1),
        ValueError,
        "batch_dot takes tensors on one device, and x is on cpu, y on meta.",
    ),
    (
        "quantized",
        lambda f: f.batch_dot(torch.empty(2, 3, dtype=torch.quint8), X, 1),
        TypeError,
        "batch_dot cannot multiply x of torch.quint8. Cast it first, to torch.float32 say.",
    ),
    ("None", lambda f: f.batch_dot(None, X, 1), TypeError, NOT_A_TENSOR.format("NoneType", "object")),
    ("y None", lambda f: f.batch_dot(X, None, 1), TypeError, NOT_A_TENSOR.format("NoneType", "object")),
    ("str", lambda f: f.batch_dot("abc", X, 1), TypeError, NOT_A_TENSOR.format("str", "<U3")),
    ("list of str", lambda f: f.batch_dot([["1", "2"]], X, 1), TypeError, NOT_A_TENSOR.format("list", "<U1")),
    ("dict", lambda f: f.batch_dot({"x": X}, X, 1), TypeError, NOT_A_TENSOR.format("dict", "object")),
    ("set", lambda f: f.batch_dot({1.0}, X, 1), TypeError, NOT_A_TENSOR.format("set", "object")),
    (
        "object array",
        lambda f: f.batch_dot(np.array([[1, None]]), X, 1),
        TypeError,
        NOT_A_TENSOR.format("ndarray", "object"),
    ),
    (
        "dates",
        lambda f: f.batch_dot(np.array([["2020-01-01"]], dtype="datetime64[D]"), X, 1),
        TypeError,
        NOT_A_TENSOR.format("ndarray", "datetime64[D]"),
    ),
    (
        "bool array",
        lambda f: f.batch_dot(np.ones((2, 3), dtype=bool), X, 1),
        TypeError,
        "batch_dot takes numbers, and x is bool. Say which you mean: x.int() counts, x.float() weighs.",
    ),
    (
        "list of bools",
        lambda f: f.batch_dot([[True, False]], X, 1),
        TypeError,
        "batch_dot takes numbers, and x is bool. Say which you mean: x.int() counts, x.float() weighs.",
    ),
    (
        "ragged list",
        lambda f: f.batch_dot([[1.0, 2.0], [3.0]], X, 1),
        ValueError,
        "Cannot convert the nested list to a tensor: expected sequence of length 2 at dim 1 (got 1).",
    ),
    (
        "integers beyond int64",
        lambda f: f.batch_dot([[2**70, 1, 1]], X, 1),
        ValueError,
        "Cannot convert the nested list to a tensor: Overflow when unpacking long long.",
    ),
    (
        "list of tensors",
        lambda f: f.batch_dot([torch.ones(3), torch.ones(3)], X, 1),
        TypeError,
        "Expected a tensor, and received a list of tensors. Use torch.stack to make one.",
    ),
    (
        "list of lists of tensors",
        lambda f: f.batch_dot([[1.0, torch.tensor(1.0, requires_grad=True)]], X, 1),
        TypeError,
        "Expected a tensor, and received a list of tensors. Use torch.stack to make one.",
    ),
    (
        "number",
        lambda f: f.batch_dot(3.0, X, 1),
        ValueError,
        "Cannot do batch_dot on inputs with rank < 2." + received((), (2, 3), 1),
    ),
]

"""`KerasTensor`, a symbolic tensor, and `Node`, a layer call that connects symbolic tensors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import torch

from batchdot.convert import dtype_name
from batchdot.symbolic.tree import flatten, unpack_singleton
from batchdot.types import Shape


class History(NamedTuple):
    """Where a symbolic tensor comes from: the layer, the index of its call, the index of the output."""

    layer: Any
    node_index: int
    tensor_index: int


class KerasTensor:
    """A symbolic tensor: it has a shape and a dtype, and holds no numbers.

    A layer called on symbolic tensors returns symbolic tensors and records the call as a `Node`.
    Arithmetic, indexing, functions of torch and methods of Tensor do the same, through a layer made for the
    operation. `Model` is built from this graph.

    Attributes:
        shape: tuple of sizes, None where unknown.
        dtype: the dtype the numbers will have.
        name: a name to print, or None.
        node: the call it is an output of, None for a placeholder.
        index: which output of that call.
        mask: its symbolic mask, or None.

    >>> KerasTensor((None, 3))
    <KerasTensor shape=(None, 3) dtype=float32>
    """

    __array_ufunc__ = None
    """Tells numpy to leave ``array * tensor`` and the like to the operators of this class."""

    def __init__(self, shape: Shape, dtype: torch.dtype | None = None, name: str | None = None) -> None:
        self.shape = tuple(shape)
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        self.name = name
        self.node: Node | None = None
        self.index = 0
        self.mask: KerasTensor | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def _keras_history(self) -> History | None:
        if self.node is None:
            return None
        layer = self.node.layer
        return History(layer, layer.inbound_nodes.index(self.node), self.index)

    def __repr__(self) -> str:
        name = f" name={self.name}" if self.name else ""
        dtype = dtype_name(self.dtype)
        return f"<KerasTensor{name} shape={self.shape} dtype={dtype}>"

    if TYPE_CHECKING:  # the methods of torch.Tensor: batchdot.symbolic.torch_functions

        def __getattr__(self, name: str) -> Any: ...

        def _unary(self) -> Any: ...
        def _binary(self, other: Any) -> Any: ...

        # The operators: batchdot.arrays.operators.
        __neg__ = __invert__ = __abs__ = _unary
        __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = _binary
        __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = __mod__ = __matmul__ = __pow__ = _binary
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rmatmul__ = _binary
        __and__ = __or__ = __xor__ = __rand__ = __ror__ = __rxor__ = __rpow__ = _binary

    def __bool__(self) -> bool:
        raise TypeError("A symbolic tensor holds no numbers, so it is neither true nor false.")

    def __len__(self) -> int:
        raise TypeError("A symbolic tensor has no length; its shape says what is known.")

    def __iter__(self) -> Iterator["KerasTensor"]:
        raise TypeError("A symbolic tensor cannot be iterated over; index it instead.")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("A symbolic tensor holds no numbers to make an array of.")


def is_keras_tensor(value: object) -> TypeGuard[KerasTensor]:
    """Return whether a value is a symbolic tensor.

    >>> is_keras_tensor(KerasTensor((2, 3))), is_keras_tensor(torch.ones(2, 3))
    (True, False)
    """
    return isinstance(value, KerasTensor)


def symbolic_tensors(value: Any) -> list[KerasTensor]:
    """Return the symbolic tensors in nested lists, tuples and dicts, in order."""
    return [leaf for leaf in flatten(value) if is_keras_tensor(leaf)]


def shape_of(tensors: list[KerasTensor]) -> Any:
    """Return the shape of the only tensor, or the list of shapes of several.

    >>> shape_of([KerasTensor((None, 3))])
    (None, 3)
    """
    return unpack_singleton([tensor.shape for tensor in tensors])


class Node:
    """One call of a layer on symbolic tensors: its arguments and its outputs.

    Making a node connects it: to the layer it calls, to the layers its inputs come from, and to its
    outputs.

    Attributes:
        layer: the layer that was called.
        args: the positional arguments, symbolic tensors among them.
        kwargs: the keyword arguments, without masks that the graph carries itself.
        structure: the outputs as the layer returned them, in lists, tuples or dicts.
        inputs: the symbolic tensors among the arguments.
        outputs: the symbolic tensors among the outputs.
        takes_mask: whether the call receives the masks of its inputs.
    """

    def __init__(
        self,
        layer: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        structure: Any,
        takes_mask: bool = False,
    ) -> None:
        self.layer = layer
        self.args = args
        self.kwargs = kwargs
        self.structure = structure
        self.takes_mask = takes_mask
        self.inputs: list[KerasTensor] = symbolic_tensors([args, kwargs])
        self.outputs: list[KerasTensor] = symbolic_tensors(structure)
        self.connect()

    def connect(self) -> None:
        """Register with the layers on both sides, and with the outputs."""
        self.layer.inbound_nodes.append(self)
        for node in dict.fromkeys(t.node for t in self.inputs if t.node is not None):
            node.layer.outbound_nodes.append(self)
        for index, tensor in enumerate(self.outputs):
            tensor.node, tensor.index = self, index

    def disconnect(self) -> None:
        """Undo `connect` in the layers on both sides."""
        self.layer.inbound_nodes.remove(self)
        for tensor in self.inputs:
            if tensor.node is not None and self in tensor.node.layer.outbound_nodes:
                tensor.node.layer.outbound_nodes.remove(self)

    @property
    def input_tensors(self) -> Any:
        """The input, or the list of inputs; the node of an `Input` has its output here."""
        return unpack_singleton(self.inputs or self.outputs)

    @property
    def output_tensors(self) -> Any:
        """The output, or the list of outputs."""
        return unpack_singleton(self.outputs)

    @property
    def input_shapes(self) -> Any:
        """The shape of the input, or the list of shapes."""
        return shape_of(self.inputs or self.outputs)

    @property
    def output_shapes(self) -> Any:
        """The shape of the output, or the list of shapes."""
        return shape_of(self.outputs)

    @property
    def input_masks(self) -> Any:
        """The mask of the input, or the list of masks, None where there is none."""
        return unpack_singleton([tensor.mask for tensor in self.inputs or self.outputs])

    @property
    def output_masks(self) -> Any:
        """The mask of the output, or the list of masks, None where there is none."""
        return unpack_singleton([tensor.mask for tensor in self.outputs])

    def __repr__(self) -> str:
        return f"<Node of {self.layer.name}: {self.input_shapes} -> {self.output_shapes}>"

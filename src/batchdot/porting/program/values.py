"""The parts of a program: tensors in ``forward``, statements, sub-modules with their arrays, and classes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Shape: TypeAlias = "tuple[int | None, ...] | None"
"""Sizes, None where one is not known, as a whole where not even the rank is."""

Kind: TypeAlias = Literal["float", "int", "bool", "count", "size"]
"""What a tensor's elements are; ``forward`` fixes no width of floating point numbers.

"count" are integers here and floating point numbers in the model that was ported: they are cast where they
are used. "size" is no tensor: a number of Python that is made of sizes of tensors, or a tuple of such.
"""

Names: TypeAlias = "str | tuple[Names, ...]"
"""The left side of an assignment: a name, or names to unpack into."""


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor in ``forward``: the expression that gives it, and what is known of it.

    Attributes:
        text: a name, or another expression to which ``.method()`` can be appended as it stands.
        shape: its sizes in the order of the model that was ported: channels last, mostly.
        kind: what its elements are.
        is_first: whether its last axis, the channels, stands behind the batch here, as PyTorch's
            convolutions have it: (B, C, H, W) where ``shape`` is (B, H, W, C).
        dtype: of floating point numbers: what has the same text here has the same dtype, in a module that was
            cast as a whole too; "" in most.

    >>> image = Value("image", (None, 32, 32, 3), is_first=True)
    >>> f"{image}.flatten(1)", image.axis(-1), image.actual_shape
    ('image.flatten(1)', 1, (None, 3, 32, 32))
    """

    text: str
    shape: Shape = None
    kind: Kind = "float"
    is_first: bool = False
    dtype: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def rank(self) -> int | None:
        """The number of axes, None if it is not known."""
        return None if self.shape is None else len(self.shape)

    @property
    def actual_shape(self) -> Shape:
        """The sizes in the order that the tensor has here."""
        if self.shape is None or not self.is_first:
            return self.shape
        return (self.shape[0], self.shape[-1], *self.shape[1:-1])

    def axis(self, axis: int) -> int:
        """Return where an axis of ``shape``, which may be counted from the end, stands in this tensor."""
        if not self.is_first or self.shape is None:
            return axis
        axis %= len(self.shape)
        return 0 if axis == 0 else 1 if axis == len(self.shape) - 1 else axis + 1

    def with_text(self, text: str) -> "Value":
        """Return a tensor of the same shape, kind and order of axes that another expression gives."""
        return replace(self, text=text)


@dataclass(frozen=True, slots=True)
class Statement:
    """``targets = expression``.

    Attributes:
        targets: the name that is assigned, or names; "" for an expression that stands alone.
        expression: source of the right side, on one line.
        shape: of the (first) result, for the comment; None where it is not known.
        inline: whether the expression may stand in the place of a name that is used once.
        origin: what it was written for; only who wrote it knows what that means.
    """

    targets: Names
    expression: str
    shape: Shape = None
    inline: bool = False
    origin: object = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Loop:
    """Statements that run several times, with the values that the time before left.

    Attributes:
        count: how often.
        statements: in order.
    """

    count: int
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Array:
    """A tensor of the state dict, read when asked for.

    Attributes:
        dtype: torch's name of its numbers; "bfloat16" ones are read as float32.
        read: returns the numbers in torch's layout.
        trainable: whether a parameter that they are may learn.
    """

    dtype: str
    read: "Callable[[], NDArray[np.generic]]"
    trainable: bool = True


@dataclass(frozen=True, slots=True)
class Submodule:
    """``self.attribute = expression`` of ``__init__``.

    Attributes:
        attribute: the name.
        expression: source of the right side.
        state: the arrays it holds by key, such as "weight"; "" for one that is a parameter itself.
        trainable: whether its parameters require gradients.
        child: the class of which it is an instance, where the program defines it.
    """

    attribute: str
    expression: str
    state: dict[str, Array] = field(default_factory=dict)
    trainable: bool = True
    child: "ModelClass | None" = None


@dataclass(frozen=True, slots=True)
class ModelClass:
    """A module: what ``__init__`` builds and ``forward`` computes.

    Attributes:
        name: the class.
        description: the first line of its docstring.
        parameters: those of ``forward``, each with the shape that it has.
        submodules: in order of use.
        statements: in order.
        results: what ``forward`` returns: names, in a dict by key, or in tuples.
        steps: the statements before they were shortened.
        step_results: the results by the names that these assign.
        trainable: whether anything in it may learn.
        keys: of the dict that ``forward`` takes too, one for each parameter; empty where it takes none.
        borrowed: modules of other classes that ``forward`` takes behind its parameters, each with its type.
    """

    name: str
    description: str
    parameters: tuple[Value, ...]
    submodules: tuple[Submodule, ...]
    statements: tuple[Statement | Loop, ...]
    results: "Results"
    steps: tuple[Statement, ...] = ()
    step_results: "Results" = ()
    trainable: bool = True
    keys: tuple[str, ...] = ()
    borrowed: tuple[tuple[str, str], ...] = ()

    def arrays(self, prefix: str = "") -> Iterator[tuple[str, Array]]:
        """Yield the arrays of the state dict by key, in order."""
        for submodule in self.submodules:
            at = prefix + submodule.attribute
            for key, array in submodule.state.items():
                yield (f"{at}.{key}" if key else at), array
            if submodule.child is not None:
                yield from submodule.child.arrays(f"{at}.")


Results: TypeAlias = "str | tuple[Results, ...] | dict[str, Results]"
"""What ``forward`` returns."""


def leaves(names: "Names | Results") -> Iterator[str]:
    """Yield the names or expressions in a structure.

    >>> list(leaves(("a", ("b", "c"))))
    ['a', 'b', 'c']
    """
    if isinstance(names, str):
        yield names
    else:
        for part in names.values() if isinstance(names, dict) else names:
            yield from leaves(part)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the user's that a program calls.

    Attributes:
        alias: what the program calls it.
        function: the function.
        place: the module and the name by which it can be imported; None if it cannot.
        key: the layer, class or activation that it was given for.
    """

    alias: str
    function: Callable[..., object]
    place: tuple[str, str] | None
    key: str = ""

    @property
    def import_line(self) -> str:
        """The statement that imports it; "" if there is none."""
        if self.place is None:
            return ""
        module, name = self.place
        return f"from {module} import {name}" + (f" as {self.alias}" if name != self.alias else "")


@dataclass(frozen=True, slots=True)
class Program:
    """A module with the classes it is made of.

    Attributes:
        title: what was ported and from where, in one line.
        model: the class of the whole model.
        notes: what a reader should know, in sentences.
        functions: the user's functions that it calls.
        remarks: what the user should know who made it, in sentences.
        definitions: functions of one tensor ``x`` that it defines, by name, each with its expression.
    """

    title: str
    model: ModelClass
    notes: tuple[str, ...] = ()
    functions: tuple[Function, ...] = ()
    remarks: tuple[str, ...] = ()
    definitions: tuple[tuple[str, str], ...] = ()

    @property
    def dtype(self) -> str:
        """The dtype of all weights, if they have the same; else "float32"."""
        dtypes = {array.dtype for _, array in self.model.arrays() if "float" in array.dtype}
        return dtypes.pop() if len(dtypes) == 1 else "float32"

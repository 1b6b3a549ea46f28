"""What a translation is given to build a layer: its config and weights, and the ``__init__`` it adds to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from batchdot.porting.errors import quote
from batchdot.porting.program import Array, ModelClass, Names, Submodule
from batchdot.porting.record import Activation, FrozenMap, LayerRecord, Shape, Value, Weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from batchdot.porting.translation.registry import Forward

T = TypeVar("T")

State: TypeAlias = Mapping[str, Array]
"""Arrays of a sub-module by key of its state dict."""


class RefusedError(Exception):
    """One layer cannot be ported; the message is a sentence without the layer's name."""


UNFORESEEN = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What a translation raises for a config that Keras does not write: a file that was damaged or edited."""


def unforeseen(error: Exception) -> str:
    """Return the reason why a layer whose translation raised this cannot be ported."""
    return (
        f"its config, or its place in the model, is not what Keras writes ({type(error).__name__}: {error})"
    )


class WeightlessError(RefusedError):
    """A layer has weights, and the file has none."""


class UnlikeError(Exception):
    """A layer that is lent was built in another way than is needed here."""


@dataclass
class Scope:
    """The ``__init__`` of the class that is being written.

    Attributes:
        names: of attributes.
        submodules: so far.
        translate: translates a layer inside of another one.
        replace: returns the user's replacement of an activation of a layer.
        note: adds a sentence to the notes.
        define: adds a function of ``x`` to the file, by name and expression; returns the name it gets.
        trainable: whether anything in the class may learn.
        with_batchdot: whether Dot layers become `batchdot.Dot`.
        lent: sub-modules of another class that stand in the place of new ones, each with the expression by
            which it is reached; None where layers are built.
    """

    names: Names
    translate: "Callable[[Layer], Forward]"
    replace: "Callable[[Layer, Activation], Activation]"
    note: Callable[[str], None]
    define: Callable[[str, str], str]
    trainable: bool = True
    with_batchdot: bool = False
    submodules: list[Submodule] = field(default_factory=list)
    lent: list[tuple[Submodule, str]] | None = None

    def add(self, name: str, submodule: Submodule) -> str:
        """Add a sub-module under a name, if that is free; return the expression by which it is reached.

        Raises:
            UnlikeError: what is lent is something else.
        """
        if self.lent is not None:
            other, reached = self.lent.pop(0) if self.lent else (submodule, "")
            if not reached or other.expression != submodule.expression:
                raise UnlikeError
            return reached
        self.submodules.append(replace(submodule, attribute=self.names.take(name)))
        return f"self.{self.submodules[-1].attribute}"


class Layer:
    """One layer of the saved model while it is translated.

    Attributes:
        record: the layer as the file has it.
        name: what its attributes and tensors are called; of an inner layer, after the outer one.
        input_shapes: shapes of its inputs at its first call, in Keras's order.
        output_shapes: shapes of its outputs at its first call.
        call_shapes: shapes of its inputs at each of its calls.
        training: what its calls, or those of the model around it, say by ``training=``; None if nothing.
        trainable: whether it learns; a layer in a frozen model does not.
        is_masked: whether it obeys a mask at any of its calls.
        with_batchdot: whether a Dot layer becomes `batchdot.Dot`.
        scope: the ``__init__`` that it adds to.
        made: the sub-modules that it added, each by the expression that reaches it.
    """

    def __init__(
        self,
        record: LayerRecord,
        scope: Scope,
        *,
        name: str = "",
        input_shapes: tuple[Shape, ...] = (),
        output_shapes: tuple[Shape, ...] = (),
        call_shapes: tuple[tuple[Shape, ...], ...] = (),
        training: bool | None = None,
        trainable: bool = True,
        is_masked: bool = False,
    ) -> None:
        self.record = record
        self.name = name or record.name
        self.input_shapes = input_shapes
        self.output_shapes = output_shapes
        self.call_shapes = call_shapes
        self.training = training
        self.trainable = trainable and record.trainable
        self.is_masked = is_masked
        self.with_batchdot = scope.with_batchdot
        self.scope = scope
        self.made: list[tuple[str, Submodule]] = []

    # What the file says

    @property
    def config(self) -> FrozenMap[str, Value]:
        """The arguments of the layer, complete, by Keras's newest names."""
        return self.record.config

    @property
    def input_shape(self) -> Shape:
        """The shape of its first input at its first call."""
        return self.input_shapes[0] if self.input_shapes else None

    def integer(self, key: str) -> int:
        """Return an argument that is an integer."""
        return self._get(key, int)

    def number(self, key: str) -> float:
        """Return an argument that is a number."""
        value = self.config[key]
        return float(value) if isinstance(value, int) else self._get(key, float)

    def flag(self, key: str) -> bool:
        """Return an argument that is true or false."""
        return self._get(key, bool)

    def text(self, key: str) -> str:
        """Return an argument that is a string."""
        return self._get(key, str)

    def integers(self, key: str) -> tuple[int, ...]:
        """Return an argument that is a tuple of integers; one integer is a tuple of one."""
        value = self.config[key]
        found = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(item, int) for item in found):
            raise RefusedError(f"its {key} is {quote(value)}")
        return tuple(item for item in found if isinstance(item, int))

    def activation(self, key: str = "activation") -> Activation:
        """Return an argument that is an activation."""
        activation = self._get(key, Activation)
        return self.scope.replace(self, activation) if activation.is_custom else activation

    def has(self, role: str) -> bool:
        """Whether the layer has this weight."""
        return role in self.record.weights

    def shape(self, role: str) -> tuple[int, ...]:
        """Return the shape of a weight, as Keras has it."""
        return self._weight(role).shape

    def array(self, *roles: str, convert: "Callable[..., NDArray[Any]] | None" = None) -> Array:
        """Return an array for a state dict.

        Args:
            roles: the weights that it is made of.
            convert: function of their numbers, in Keras's layouts, to the array in torch's; default is the
                one weight as it is. It is called when the numbers are needed.
        """
        weights = [self._weight(role) for role in roles]

        def read() -> "NDArray[np.generic]":
            arrays = [weight.read() for weight in weights]
            return arrays[0] if convert is None else convert(*arrays)

        return Array(weights[0].dtype, read)

    def constant(self, numbers: "NDArray[Any]") -> Array:
        """Return numbers that Keras does not store as an array for a state dict; they do not learn.

        Floating point numbers get the dtype of the layer's weights.
        """
        dtypes = [weight.dtype for weight in self.record.weights.values() if "float" in weight.dtype]
        is_float = np.issubdtype(numbers.dtype, np.floating)
        dtype = next(iter(dtypes), "float32") if is_float else str(numbers.dtype)
        return Array(dtype, lambda: numbers, trainable=False)

    # What the layer adds to __init__

    def module(
        self, expression: str, state: State | None = None, suffix: str = "", *, frozen: tuple[str, ...] = ()
    ) -> str:
        """Add a sub-module; return it as ``self.name``.

        Args:
            expression: source of the module: "nn.Linear(4, 2)", or a class of the helpers.
            state: its arrays by key of its state dict, all of them.
            suffix: what to append to the layer's name, where it has several.
            frozen: keys of parameters that Keras has not, and that do not learn.
        """
        arrays = {
            key: replace(array, trainable=array.trainable and key not in frozen)
            for key, array in (state or {}).items()
        }
        return self._add(expression, arrays, suffix, self.trainable)

    def parameter(self, array: Array, shape: tuple[int, ...], suffix: str, *, trainable: bool = True) -> str:
        """Add a parameter of the model itself; return it as ``self.name``."""
        expression = f"nn.Parameter(torch.empty({_sizes(shape)}))"
        return self._add(expression, {"": array}, suffix, self.trainable and trainable)

    def buffer(self, array: Array, shape: tuple[int, ...], suffix: str) -> str:
        """Add a tensor that does not learn; return it as ``self.name``."""
        return self._add(f"nn.Buffer(torch.empty({_sizes(shape)}))", {"": array}, suffix, True)

    def nested(self, child: ModelClass) -> str:
        """Add an instance of a class of the program; return it as ``self.name``."""
        learns = child.trainable or not self.scope.trainable or not any(True for _ in child.arrays())
        submodule = Submodule("", f"{child.name}()", trainable=learns, child=child)
        self.made.append((self.scope.add(self.name, submodule), submodule))
        return self.made[-1][0]

    def child(self, key: str, suffix: str = "", input_shapes: tuple[Shape, ...] = ()) -> "Layer":
        """Return a layer inside of this one, whose attributes will be called after this one.

        Args:
            key: which of ``record.inner``.
            suffix: what to append to this layer's name.
            input_shapes: of the inner layer.
        """
        child = Layer(
            self.record.inner[key],
            self.scope,
            name=f"{self.name}_{suffix}" if suffix else self.name,
            input_shapes=input_shapes,
            call_shapes=(input_shapes,) if len(set(self.call_shapes)) == 1 else (),
            training=self.training,
            trainable=self.trainable,
            is_masked=self.is_masked,
        )
        child.made = self.made
        return child

    def inner(self, key: str, suffix: str = "", input_shapes: tuple[Shape, ...] = ()) -> "Forward":
        """Translate a layer inside of this one; `Site.run` writes its calls."""
        return self.scope.translate(self.child(key, suffix, input_shapes))

    def define(self, name: str, expression: str) -> str:
        """Add a function of a tensor ``x`` to the file; return the name it gets."""
        return self.scope.define(name, expression)

    def note(self, sentence: str) -> None:
        """Tell the reader of the source something, once."""
        self.scope.note(sentence)

    def _add(self, expression: str, state: dict[str, Array], suffix: str, trainable: bool) -> str:
        frozen_alone = self.scope.trainable and not trainable
        submodule = Submodule("", expression, state, not frozen_alone)
        reached = self.scope.add(f"{self.name}_{suffix}" if suffix else self.name, submodule)
        self.made.append((reached, submodule))
        return reached

    def _weight(self, role: str) -> Weight:
        if role not in self.record.weights:
            raise WeightlessError(f"the file does not have its {role}")
        return self.record.weights[role]

    def _get(self, key: str, kind: type[T]) -> T:
        value = self.config[key]
        if not isinstance(value, kind):
            raise RefusedError(f"its {key} is {quote(value)}")
        return value


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape)) if shape else "()"

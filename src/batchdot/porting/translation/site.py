"""What a translation is given to write one call of a layer: inputs, masks, and the statements so far."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from batchdot.porting.program import Body, Value, channels_first, channels_last
from batchdot.porting.program.expressions import is_primary
from batchdot.porting.record import Mask, Shape, TensorRef
from batchdot.porting.record import Value as Constant
from batchdot.porting.translation.layer import RefusedError

if TYPE_CHECKING:
    from batchdot.porting.program.values import Names
    from batchdot.porting.translation.registry import Forward

Argument: TypeAlias = "Value | Constant | tuple[Argument, ...] | Mapping[str, Argument]"
"""An argument of a call: a tensor, a constant, or several."""


@dataclass
class Site:
    """One call of a layer.

    Attributes:
        body: the statements so far.
        name: what to call the result.
        arguments: by parameter, with a `Value` for each tensor.
        masks: by parameter ("inputs", "inputs.1", "query"), the masks that the layer obeys, as formulas.
        output_shapes: of the results, in Keras's order.
        write_mask: writes the statement of a mask, once, and returns its name.
        is_flattened: whether all that the result is used for is to be flattened.
    """

    body: Body
    name: str
    arguments: Mapping[str, Argument]
    output_shapes: tuple[Shape, ...]
    masks: Mapping[str, "Mask | Value"]
    write_mask: Callable[[Mask], Value]
    is_flattened: bool = False

    # Inputs

    @property
    def x(self) -> Value:
        """The only input, in Keras's order of axes."""
        return self.last(self.value())

    @property
    def xs(self) -> tuple[Value, ...]:
        """All tensors of the argument ``inputs``, in Keras's order of axes."""
        return tuple(self.last(value) for value in self.values())

    def value(self, key: str = "inputs") -> Value:
        """Return the tensor that an argument is, in the order of axes that it has.

        Raises:
            RefusedError: it is none, or several.
        """
        values = self.values(key)
        if len(values) != 1:
            raise RefusedError(f"it is called with {len(values)} tensors as {key}, not with one")
        return values[0]

    def values(self, key: str = "inputs") -> tuple[Value, ...]:
        """Return the tensors in an argument, in the orders of axes that they have."""
        return tuple(_values(self.arguments.get(key)))

    def mask(self, key: str = "inputs") -> Value | None:
        """Return the mask that the layer obeys for an input, True where a step counts; None without one."""
        mask = self.masks.get(key)
        return self.write_mask(mask) if isinstance(mask, Mask) else mask

    # The order of axes

    def first(self, value: Value | None = None) -> Value:
        """Return a tensor, default the only input, with its channels behind the batch: (B, C, H, W)."""
        return channels_first(self.value() if value is None else value, self.body)

    def last(self, value: Value) -> Value:
        """Return a tensor in Keras's order of axes."""
        return channels_last(value, self.body)

    def alike(self, values: tuple[Value, ...]) -> tuple[Value, ...]:
        """Return tensors of one rank in one order of axes: the one that at least half of them have.

        Of two, one of which comes from a convolution, the other moves: more of them are likely to follow.
        """
        same_rank = len({value.rank for value in values}) == 1
        if same_rank and 2 * sum(value.is_first for value in values) >= len(values):
            return tuple(map(self.first, values))
        return tuple(map(self.last, values))

    def each(self, template: str) -> Value:
        """Return the only input under an elementwise function, in the order of axes that it has.

        Args:
            template: an expression of ``{x}``, such as "F.relu({x})".
        """
        value = self.value()
        return value.with_text(template.format(x=value))

    # Statements

    def named(self, value: Value | str, suffix: str = "") -> Value:
        """Write a statement that gives a tensor a name, unless it has one.

        Args:
            value: a tensor or an expression.
            suffix: what to append to the layer's name.
        """
        value = Value(value) if isinstance(value, str) else value
        return self.body.assign(value, f"{self.name}_{suffix}" if suffix else self.name)

    def unpack(self, expression: str, names: "Names") -> "Names":
        """Write a statement that assigns an expression to several names; return the names.

        Args:
            expression: the right side.
            names: suffixes to the layer's name in tuples as they come: ("", ("h", "c")). What nothing uses
                becomes ``_``.
        """

        def full(part: "Names") -> "Names":
            if isinstance(part, str):
                return f"{self.name}_{part}" if part else self.name
            return tuple(map(full, part))

        return self.body.unpack(expression, full(names), Value("", self.output_shapes[0]))

    def run(self, forward: "Forward", inputs: Value, mask: "Mask | Value | None" = None) -> Value:
        """Write a call of an inner layer with one result.

        Args:
            forward: the inner layer, as `Layer.inner` returns it.
            inputs: its only input.
            mask: the mask that it obeys.

        Returns:
            The result, in Keras's order of axes, to which ``.method()`` can be appended.
        """
        masks = {} if mask is None else {"inputs": mask}
        site = replace(self, arguments={"inputs": inputs}, masks=masks, output_shapes=(None,))
        result = forward(site)
        assert not isinstance(result, tuple), "an inner layer with several results"
        value = self.last(result if isinstance(result, Value) else Value(result))
        return value if is_primary(value.text) else value.with_text(f"({value})")


def _values(argument: object) -> Iterator[Value]:
    assert not isinstance(argument, TensorRef)
    if isinstance(argument, Value):
        yield argument
    elif isinstance(argument, tuple):
        for part in argument:
            yield from _values(part)
    elif isinstance(argument, Mapping):
        yield from _values(tuple(argument[key] for key in sorted(argument)))

"""Replay: the calls of a graph as a program over numbered values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import Tensor

from batchdot.layers.base.fast_call import jit_state
from batchdot.models.codegen import write_function
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor
from batchdot.symbolic.tree import flatten, map_structure

# What a program knows of its layers as they are.
_NOTED = ("_reasons", "_own_reasons", "_straight")


@dataclass(frozen=True)
class Slot:
    """The place of a value among arguments."""

    number: int


@dataclass(frozen=True)
class Step:
    """One call: of the layer, on values by number.

    Attributes:
        layer: the layer to call.
        numbers: the value, or list of values, that is the only argument; None where there is more.
        args: all positional arguments, values as slots.
        kwargs: all keyword arguments, likewise.
        takes_mask: whether the call is given the masks of its first argument.
        gives_mask: whether its outputs have masks.
        kept: which leaves of what the call returns are values: those that are tensors.
    """

    layer: Any
    numbers: int | list[int] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    takes_mask: bool
    gives_mask: bool
    kept: list[int]

    def values(self, result: Any) -> list[Any]:
        """Return the tensors of what the call returned."""
        leaves = flatten(result)
        return [leaves[index] for index in self.kept]


class Program:
    """The calls between inputs and outputs, in order; each reads values by number and adds its own.

    Attributes:
        steps: the calls.
        layers: the layers that are called, with those in models among them.
        outputs: the numbers of the outputs.
        needs_masks: whether a call takes masks, so that they have to travel along.
    """

    def __init__(
        self, nodes: Sequence[Node], inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]
    ) -> None:
        numbers: dict[int, int] = {id(tensor): index for index, tensor in enumerate(inputs)}
        starts = {tensor.node for tensor in inputs}
        count = len(inputs)
        self.steps: list[Step] = []
        for node in nodes:
            if node in starts:
                continue
            self.steps.append(_step(node, numbers))
            for tensor in node.outputs:
                numbers[id(tensor)] = count
                count += 1
        self._calls: list[tuple[Any, Any, Step]] = [(step.layer, step.numbers, step) for step in self.steps]
        self.ranks = [len(tensor.shape) for tensor in inputs]
        self.outputs = [numbers[id(tensor)] for tensor in outputs]
        self.needs_masks = any(step.takes_mask for step in self.steps)
        layers = {layer: None for step in self.steps for layer in (step.layer, *_layers_inside(step.layer))}
        self.layers: list[Any] = list(layers)
        self._forget()

    def _forget(self) -> None:
        # Why a run may be more than the `call` of every layer: what the layers noted, for all of them; and
        # the part of it that is the layers' own.
        self._reasons: tuple[Any, ...] = (True,)
        self._own_reasons: list[Any] = [True]  # of a tuple torch.compile would ask whether it is the same
        self._straight: Callable[[Any], list[Any] | None] | None = None

    def run_straight(self, inputs: Any) -> list[Any] | None:
        """Return the outputs for the inputs, or None where there is more to do than `call` every layer.

        There is less than in `run` then, and the calls around do not matter.
        """
        if (any(self._reasons) and not self.is_straight()) or jit_state() or self._straight is None:
            return None
        return self._straight(inputs)

    def trace_straight(self, inputs: Any) -> list[Any] | None:
        """Do as `run_straight` where `is_straight`, while torch.compile looks on, with few guards."""
        return None if any(self._own_reasons) or self._straight is None else self._straight(inputs)

    def is_straight(self) -> bool:
        """Note here, and return, whether the layers noted that there is nothing to do but to `call` them."""
        reasons = [layer._reasons for layer in self.layers]
        if any(map(any, reasons)) or not self._is_simple():
            return False
        self._reasons = tuple({id(reason): reason for reason in chain.from_iterable(reasons)}.values())
        self._own_reasons = [own for own, *_ in reasons]
        if self._straight is None:
            calls = [(step.layer, step.numbers) for step in self.steps]
            self._straight = write_function(calls, self.ranks, self.outputs, self._resume)
        return True

    def run(self, values: list[Any], masks: list[Any] | None = None) -> list[Any]:
        """Return the outputs for the inputs, whose list is used up."""
        return self._run_with_masks(values, masks)[0] if self.needs_masks else self._run_from(0, values)

    def _run_from(self, start: int, values: list[Any]) -> list[Any]:
        for layer, numbers, step in self._calls[start:]:
            if numbers.__class__ is int:
                result = layer(values[numbers])
            elif numbers is not None:
                result = layer([values[number] for number in numbers])
            else:
                result = layer(*_fill(step.args, values), **_fill(step.kwargs, values))
            if result.__class__ is Tensor:
                values.append(result)
            else:
                values += step.values(result)
        return [values[number] for number in self.outputs]

    def _resume(self, index: int, values: dict[str, Any]) -> list[Any]:
        """Go on where a call has returned something else than a tensor."""
        number = len(self.ranks) + index
        known = [values[f"v{n}"] for n in range(number)]
        return self._run_from(index + 1, known + self.steps[index].values(values[f"v{number}"]))

    def _is_simple(self) -> bool:
        """Whether each call has one argument, a tensor or a list of them, and one value."""
        simple = all(step.numbers is not None and len(step.kept) == 1 for step in self.steps)
        return simple and not self.needs_masks

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what is about these layers: a copy has its own."""
        return {key: value for key, value in self.__dict__.items() if key not in _NOTED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def infer(self, values: list[Any]) -> list[Any]:
        """Return symbolic outputs for symbolic inputs, whose list is used up; no call is kept."""
        for step in self.steps:
            values += flatten(
                step.layer._infer(_fill(step.args, values), _fill(step.kwargs, values), None)[0]
            )
        return [values[number] for number in self.outputs]

    def run_masks(self, values: list[Any], masks: list[Any] | None = None) -> list[Any]:
        """Return the masks of the outputs for the inputs and their masks."""
        return self._run_with_masks(values, masks)[1]

    def _run_with_masks(self, values: list[Any], masks: list[Any] | None) -> tuple[list[Any], list[Any]]:
        masks = list(masks) if masks is not None else [None] * len(values)
        for step in self.steps:
            args, kwargs = _fill(step.args, values), _fill(step.kwargs, values)
            its_masks = _fill(step.args[0], masks) if step.args else None
            if step.takes_mask:
                kwargs = kwargs | {"mask": its_masks}
            results = step.values(step.layer(*args, **kwargs))
            given = flatten(step.layer.compute_mask(args[0], its_masks)) if step.gives_mask else [None]
            values += results
            masks += given if len(given) == len(results) else [None] * len(results)
        return [values[number] for number in self.outputs], [masks[number] for number in self.outputs]


def _layers_inside(layer: Any) -> list[Any]:
    """Return the layers that a layer calls, where it is a model with a program."""
    program = layer.__dict__.get("_program")
    return [] if program is None else list(program.layers)


def _step(node: Node, numbers: dict[int, int]) -> Step:
    def place(leaf: Any) -> Any:
        return Slot(numbers[id(leaf)]) if is_keras_tensor(leaf) else leaf

    plain: int | list[int] | None = None
    if len(node.args) == 1 and not node.kwargs:
        (argument,) = node.args
        if is_keras_tensor(argument):
            plain = numbers[id(argument)]
        elif isinstance(argument, list | tuple) and all(map(is_keras_tensor, argument)):
            plain = [numbers[id(tensor)] for tensor in argument]
    return Step(
        node.layer,
        plain,
        map_structure(place, node.args),
        map_structure(place, node.kwargs),
        node.takes_mask,
        any(tensor.mask is not None for tensor in node.outputs),
        [index for index, leaf in enumerate(flatten(node.structure)) if is_keras_tensor(leaf)],
    )


def _fill(template: Any, values: list[Any]) -> Any:
    return map_structure(lambda leaf: values[leaf.number] if isinstance(leaf, Slot) else leaf, template)

"""Replay: the calls of a graph as a program over numbered values, run in one loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.modules import module

from batchdot.graph.node import Node
from batchdot.graph.tensor import KerasTensor, flatten, is_keras_tensor, map_structure


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
    """

    layer: Any
    numbers: int | list[int] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    takes_mask: bool
    gives_mask: bool


class Program:
    """The calls between inputs and outputs, in order; each reads values by number and adds its own.

    Attributes:
        steps: the calls.
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
        self.outputs = [numbers[id(tensor)] for tensor in outputs]
        self.needs_masks = any(step.takes_mask for step in self.steps)

    def run(self, values: list[Any], masks: list[Any] | None = None) -> list[Any]:
        """Return the outputs for the inputs, whose list is used up."""
        if self.needs_masks:
            return self._run_with_masks(values, masks)[0]
        for layer, numbers, step in self._calls:
            run = layer if _is_watched(layer) else layer.forward
            if numbers.__class__ is int:
                result = run(values[numbers])
            elif numbers is not None:
                result = run([values[number] for number in numbers])
            else:
                result = run(*_fill(step.args, values), **_fill(step.kwargs, values))
            if result.__class__ is Tensor:
                values.append(result)
            else:
                values += flatten(result)
        return [values[number] for number in self.outputs]

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
            results = flatten(step.layer(*args, **kwargs))
            given = flatten(step.layer.compute_mask(args[0], its_masks)) if step.gives_mask else [None]
            values += results
            masks += given if len(given) == len(results) else [None] * len(results)
        return [values[number] for number in self.outputs], [masks[number] for number in self.outputs]


def _is_watched(layer: Any) -> bool:
    """Whether a call of a module is more than its `forward`: hooks, or a compiled form.

    torch.nn.Module asks the same, at 1 to 2 µs a call: more than most layers here take.
    """
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or layer._compiled_call_impl
        or module._global_forward_hooks
        or module._global_forward_pre_hooks
        or module._global_backward_hooks
        or module._global_backward_pre_hooks
    )


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
    )


def _fill(template: Any, values: list[Any]) -> Any:
    return map_structure(lambda leaf: values[leaf.number] if isinstance(leaf, Slot) else leaf, template)

"""Ends: what a model is called on and what it returns, in the structures that it was made with."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from batchdot.convert import as_tensor
from batchdot.layers.base.layer import Layer
from batchdot.models.program import Program
from batchdot.symbolic.tensor import KerasTensor
from batchdot.symbolic.tree import flatten, map_structure, unpack_singleton


class Ends(Layer):
    """The members of a model that speak of its inputs and outputs.

    A model as a place in a graph is asked for those of its own graph, if it has one.

    Attributes:
        inputs: the symbolic tensors that its calls lead from, in order.
        outputs: those that they lead to.
    """

    inputs: list[KerasTensor]
    outputs: list[KerasTensor]
    _program: Program | None

    def _keep_ends(self, inputs: Any, outputs: Any) -> None:
        self._input_structure, self._output_structure = inputs, outputs
        self.inputs = _symbolic_tensors(inputs, "inputs")
        self.outputs = _symbolic_tensors(outputs, "outputs")

    @property
    def input(self) -> Any:
        """The symbolic input, or the list of inputs."""
        return super().input if self._program is None else unpack_singleton(self.inputs)

    @property
    def output(self) -> Any:
        """The symbolic output, or the list of outputs."""
        return super().output if self._program is None else unpack_singleton(self.outputs)

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or the list of shapes."""
        return (
            super().input_shape if self._program is None else unpack_singleton([t.shape for t in self.inputs])
        )

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or the list of shapes."""
        return (
            super().output_shape
            if self._program is None
            else unpack_singleton([t.shape for t in self.outputs])
        )

    @property
    def input_names(self) -> list[str]:
        """The names of the layers that the inputs come from."""
        return [tensor.node.layer.name for tensor in self.inputs if tensor.node is not None]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that the outputs come from."""
        return [tensor.node.layer.name for tensor in self.outputs if tensor.node is not None]

    def _read_values(self, inputs: Any) -> list[Tensor]:
        """Return the input tensors in order, from a tensor, a list, or a dict by the inputs' names."""
        if isinstance(inputs, dict):
            names = [tensor.node.layer.name for tensor in self.inputs if tensor.node is not None]
            if isinstance(self._input_structure, dict) and set(inputs) == set(self._input_structure):
                names = list(self._input_structure)
            missing = [name for name in names if name not in inputs]
            if missing:
                raise ValueError(f"Model {self.name} has no value for its inputs {missing}.")
            values = [inputs[name] for name in names]
        elif isinstance(inputs, list | tuple) and (len(self.inputs) > 1 or _is_of_tensors(inputs)):
            values = list(inputs) if len(inputs) == len(self.inputs) else flatten(inputs)
        else:
            values = [inputs]
        specs = self.inputs
        if len(values) != len(specs):
            count = f"{len(specs)} input" + ("" if len(specs) == 1 else "s")
            raise ValueError(f"Model {self.name} has {count}. Received: {len(values)}.")
        for index, value in enumerate(values):
            if value.__class__ is not Tensor:
                values[index] = value = as_tensor(value, self._placement.device, self._input_dtype(index))
            if value.ndim != len(specs[index].shape):
                raise ValueError(
                    f"Input {index} of model {self.name} has shape {tuple(value.shape)} "
                    f"instead of {specs[index].shape}."
                )
        return values

    def _input_dtype(self, index: int) -> torch.dtype:
        """Return the dtype of an input: what it was given, or what ``double()`` and the like made of it."""
        node = self.inputs[index].node
        assert node is not None
        return node.layer._dtype if not node.inputs else self.inputs[index].dtype

    def _write_values(self, values: list[Any]) -> Any:
        if self._output_structure.__class__ is KerasTensor:
            return values[0]
        remaining = iter(values)
        return map_structure(lambda _: next(remaining), self._output_structure)


def _symbolic_tensors(value: Any, what: str) -> list[KerasTensor]:
    tensors = flatten(value)
    for tensor in tensors:
        if not isinstance(tensor, KerasTensor) or tensor.node is None:
            raise ValueError(
                f"The {what} of a model are symbolic tensors that come from Input. Received: {tensor!r}"
            )
    return tensors


def _is_of_tensors(inputs: Sequence[Any]) -> bool:
    """Whether a list is of inputs, rather than the numbers of one."""
    return len(inputs) == 1 or any(isinstance(item, Tensor) for item in inputs)

"""Program: the layer calls of a graph in order, run as one generated function or one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from batchdot._torch import compile_time_constant, is_jit_tracing, is_tracing
from batchdot.models.codegen import Call, Names, compile_function, identifier, write_function
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor
from batchdot.symbolic.tree import flatten, map_structure

_CACHED = ("_triggers", "_own_triggers", "_function")
"""Attributes that refer to these layer objects; a copied program makes its own."""


@dataclass(frozen=True)
class ValueRef:
    """A reference to a value, by index, in the arguments of an instruction."""

    index: int


@dataclass(frozen=True)
class Instruction:
    """One call of a layer. Values are numbered: the inputs of the program first, then each result.

    Attributes:
        layer: the layer to call.
        input_indices: the value, or list of values, that is the only argument; None if there is more.
        args: all positional arguments, with a `ValueRef` for each value.
        kwargs: all keyword arguments, likewise.
        takes_mask: whether the call receives masks of its first argument that are made in the graph.
        accepts_mask: whether it can receive masks, such as those of the model's inputs.
        gives_mask: whether its outputs have masks.
        tensor_outputs: which leaves of the result are values: those that are tensors.
    """

    layer: Any
    input_indices: int | list[int] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    takes_mask: bool
    accepts_mask: bool
    gives_mask: bool
    tensor_outputs: list[int]

    def values(self, result: Any) -> list[Any]:
        """Return the tensors of a result."""
        leaves = flatten(result)
        return [leaves[index] for index in self.tensor_outputs]


class Program:
    """The calls between the inputs and the outputs of a graph.

    Attributes:
        instructions: the calls, in order.
        layers: the layers that are called, and the layers of models among them.
        outputs: the indices of the outputs among the values.
        is_pure: whether the `call` of all layers only computes a result (`Layer._pure_call`). If not, the
            model has to be on the stack of calls while the program runs.
        needs_masks: whether a call takes masks, so that masks have to be computed.
    """

    def __init__(
        self, nodes: Sequence[Node], inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]
    ) -> None:
        indices: dict[int, int] = {id(tensor): index for index, tensor in enumerate(inputs)}
        input_nodes = {tensor.node for tensor in inputs}
        count = len(inputs)
        self.instructions: list[Instruction] = []
        for node in nodes:
            if node in input_nodes:
                continue
            self.instructions.append(_instruction(node, indices))
            for tensor in node.outputs:
                indices[id(tensor)] = count
                count += 1
        self._calls: list[tuple[Any, Any, Instruction]] = [
            (step.layer, step.input_indices, step) for step in self.instructions
        ]
        self._input_names = [tensor.node.layer.name for tensor in inputs if tensor.node is not None]
        self._input_ranks = [len(tensor.shape) for tensor in inputs]
        self.outputs = [indices[id(tensor)] for tensor in outputs]
        self.needs_masks = any(step.takes_mask for step in self.instructions)
        self.layers: list[Any] = list(
            dict.fromkeys(x for step in self.instructions for x in (step.layer, *_sublayers(step.layer)))
        )
        self._pure_layers = [layer for layer in self.layers if _promises_purity(layer)]
        self.is_pure = len(self._pure_layers) == len(self.layers)
        self._is_simple = not self.needs_masks and all(map(_is_simple, self.instructions))
        self._reset()

    def _reset(self) -> None:
        self._triggers: tuple[Any, ...] = (True,)  # non-empty if any layer needs a full call
        self._own_triggers: list[Any] = [True]  # the first trigger of each layer
        self._function: Callable[[Any], list[Any] | None] | None = None

    def run_compiled(self, inputs: Any) -> list[Any] | None:
        """Return the outputs by the generated function; None if a built-in layer may need a full call."""
        if is_tracing():  # few guards: hooks that are registered later are not seen, as in every module
            slow = not self.can_compile() or any(self._own_triggers)
        else:
            slow = (any(self._triggers) and not self.can_compile()) or is_jit_tracing()
        return None if slow or self._function is None else self._function(inputs)

    @compile_time_constant
    def can_compile(self) -> bool:
        """Return whether every built-in layer is on its fast path, and generate the function then."""
        if not self._is_simple:
            return False
        for layer in self._pure_layers:
            if any(layer._slow_path_triggers) and layer._prepare_compile():
                return False
        triggers = [layer._slow_path_triggers for layer in self._pure_layers]
        self._triggers = tuple({id(t): t for each in triggers for t in each}.values())
        self._own_triggers = [own for own, *_ in triggers]
        if self._function is None:
            self._function = self._generate()
        return True

    def run(self, values: list[Any], masks: list[Any] | None = None) -> list[Any]:
        """Return the outputs for the inputs, whose list is used up."""
        if self.needs_masks or masks is not None:
            return self._run_with_masks(values, masks)[0]
        return self._run_from(0, values)

    def infer(self, values: list[Any]) -> list[Any]:
        """Return symbolic outputs for symbolic inputs, whose list is used up; no node is made."""
        for step in self.instructions:
            spec = step.layer.compute_output_spec(*_fill(step.args, values), **_fill(step.kwargs, values))
            values += flatten(spec)
        return [values[index] for index in self.outputs]

    def run_masks(self, values: list[Any], masks: list[Any] | None = None) -> list[Any]:
        """Return the masks of the outputs for the inputs and their masks."""
        return self._run_with_masks(values, masks)[1]

    def _run_from(self, start: int, values: list[Any]) -> list[Any]:
        for layer, indices, step in self._calls[start:]:
            if indices.__class__ is int:
                result = layer(values[indices])
            elif indices is not None:
                result = layer([values[index] for index in indices])
            else:
                result = layer(*_fill(step.args, values), **_fill(step.kwargs, values))
            if result.__class__ is Tensor:
                values.append(result)
            else:
                values += step.values(result)
        return [values[index] for index in self.outputs]

    def _run_with_masks(self, values: list[Any], masks: list[Any] | None) -> tuple[list[Any], list[Any]]:
        masks = list(masks) if masks is not None else [None] * len(values)
        for step in self.instructions:
            args, kwargs = _fill(step.args, values), _fill(step.kwargs, values)
            input_masks = _fill(step.args[0], masks) if step.args else None
            is_masked = any(mask is not None for mask in flatten(input_masks))
            if step.accepts_mask and is_masked:
                kwargs = kwargs | {"mask": input_masks}
            results = step.values(step.layer(*args, **kwargs))
            gives_mask = step.gives_mask or is_masked
            given = flatten(step.layer.compute_mask(args[0], input_masks)) if gives_mask else [None]
            values += results
            masks += given if len(given) == len(results) else [None] * len(results)
        return [values[index] for index in self.outputs], [masks[index] for index in self.outputs]

    def _generate(self) -> Callable[[Any], list[Any] | None]:
        """Return the calls as one function of the inputs, a tensor or the list of several.

        Looking up layers and values by index would cost small layers more than their arithmetic. The
        function returns None, before the first call, for inputs that have to be converted or refused.
        """
        taken = {"forward", "inputs", "resume", "Tensor"}
        values = [identifier(name, taken) for name in self._input_names]
        layers = {layer: identifier(layer.name, taken) for layer, _, _ in self._calls}
        lines: list[Call | str] = []
        if len(values) == 1:
            lines += [f"{values[0]} = inputs"]
        else:
            lines += [f"if inputs.__class__ is not list or len(inputs) != {len(values)}: return None"]
            lines += [f"{', '.join(values)} = inputs"]
        for name, rank in zip(values, self._input_ranks, strict=True):
            lines += [f"if {name}.__class__ is not Tensor or {name}.ndim != {rank}: return None"]
        for index, (layer, indices, _) in enumerate(self._calls):
            result = identifier(f"{layers[layer]}_output", taken)
            single = isinstance(indices, int)
            argument: Names = values[indices] if single else [values[i] for i in indices]
            function = f"{layers[layer]}.call" if _promises_purity(layer) else layers[layer]
            lines += [Call(result, function, (argument,))]
            lines += [f"if {result}.__class__ is not Tensor: return resume({index}, locals())"]
            values.append(result)

        def resume(index: int, known: dict[str, Any]) -> list[Any]:
            """Run the remaining calls one by one, after a call whose result is not a tensor."""
            number = len(self._input_names) + index
            results = self.instructions[index].values(known[values[number]])
            return self._run_from(index + 1, [*[known[name] for name in values[:number]], *results])

        source = write_function("forward", ["inputs"], lines, [values[index] for index in self.outputs])
        names = {name: layer for layer, name in layers.items()} | {"Tensor": Tensor, "resume": resume}
        return compile_function("forward", source, names)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the attributes that refer to these layer objects."""
        return {key: value for key, value in self.__dict__.items() if key not in _CACHED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


def _is_simple(step: Instruction) -> bool:
    """Whether a call has one argument, a tensor or a list of them, and one value."""
    return step.input_indices is not None and len(step.tensor_outputs) == 1


def _promises_purity(layer: Any) -> bool:
    return "_pure_call" in type(layer).__dict__


def _sublayers(layer: Any) -> list[Any]:
    """Return the layers that a layer calls, if it is a model with a program."""
    program = layer.__dict__.get("_program")
    return [] if program is None else list(program.layers)


def _instruction(node: Node, indices: dict[int, int]) -> Instruction:
    def refer(leaf: Any) -> Any:
        return ValueRef(indices[id(leaf)]) if is_keras_tensor(leaf) else leaf

    only: int | list[int] | None = None
    if len(node.args) == 1 and not node.kwargs:
        (argument,) = node.args
        if is_keras_tensor(argument):
            only = indices[id(argument)]
        elif isinstance(argument, list | tuple) and all(map(is_keras_tensor, argument)):
            only = [indices[id(tensor)] for tensor in argument]
    return Instruction(
        node.layer,
        only,
        map_structure(refer, node.args),
        map_structure(refer, node.kwargs),
        node.takes_mask,
        "mask" in node.layer._call_params and node.kwargs.get("mask") is None,
        any(tensor.mask is not None for tensor in node.outputs),
        [index for index, leaf in enumerate(flatten(node.structure)) if is_keras_tensor(leaf)],
    )


def _fill(template: Any, values: list[Any]) -> Any:
    return map_structure(lambda leaf: values[leaf.index] if isinstance(leaf, ValueRef) else leaf, template)

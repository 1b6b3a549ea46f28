"""Program: the layer calls of a graph in order, run as one generated function or one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from batchdot._torch import compile_time_constant, is_jit_tracing, is_tracing
from batchdot.codegen import Function, Structure, identifier, write_structure
from batchdot.layers.base.layer import Layer
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor
from batchdot.symbolic.tree import flatten, map_structure


@dataclass(frozen=True)
class ValueRef:
    """A reference to a value, by index, in the arguments of an instruction."""

    index: int


@dataclass(frozen=True)
class Instruction:
    """One call of a layer. Values are numbered: the inputs of the program first, then each result.

    Attributes:
        key: the key of the layer to call among the model's modules.
        input_indices: the value, or list of values, that is the only argument; None if there is more.
        args: all positional arguments, with a `ValueRef` for each value.
        kwargs: all keyword arguments, likewise.
        takes_mask: whether the call receives masks of its first argument that are made in the graph.
        has_mask: whether the call was given a mask as an argument.
        gives_mask: whether its outputs have masks.
        tensor_outputs: which leaves of the result are values: those that are tensors.
    """

    key: str
    input_indices: int | list[int] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    takes_mask: bool
    has_mask: bool
    gives_mask: bool
    tensor_outputs: list[int]

    def values(self, result: Any) -> list[Any]:
        """Return the tensors of a result."""
        leaves = flatten(result)
        return [leaves[index] for index in self.tensor_outputs]


class Graph:
    """The calls between the inputs and the outputs of a graph, without the modules that they call.

    Attributes:
        instructions: the calls, in order.
        input_names: the names of the inputs.
        input_ranks: their ranks.
        outputs: the indices of the outputs among the values.
        needs_masks: whether a call takes masks, so that masks have to be computed.
        is_simple: whether no masks are needed, and each call has one argument and one value.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        inputs: Sequence[KerasTensor],
        outputs: Sequence[KerasTensor],
        keys: Mapping[Any, str],
    ) -> None:
        indices: dict[int, int] = {id(tensor): index for index, tensor in enumerate(inputs)}
        input_nodes = {tensor.node for tensor in inputs}
        count = len(inputs)
        self.instructions: list[Instruction] = []
        for node in nodes:
            if node in input_nodes:
                continue
            self.instructions.append(_instruction(node, keys[node.layer], indices))
            for tensor in node.outputs:
                indices[id(tensor)] = count
                count += 1
        self.input_names = [tensor.node.layer.name for tensor in inputs if tensor.node is not None]
        self.input_ranks = [len(tensor.shape) for tensor in inputs]
        self.outputs = [indices[id(tensor)] for tensor in outputs]
        self.needs_masks = any(step.takes_mask for step in self.instructions)
        self.is_simple = not self.needs_masks and all(map(_is_simple, self.instructions))


class Program:
    """A graph with the modules that it calls: those that the model has now.

    A module that was assigned to the model since, by any of torch's ways, is the one to call: a program is
    made again when `modules` are not the model's (`Functional._current_program`).

    Args:
        graph: the calls.
        modules: the modules of the model by their keys.
        name: of the model, for the error.

    Attributes:
        modules: the modules of the model.
        layers: the modules that are called, and those of models among them.
        is_pure: whether the `call` of all layers only computes a result (`Layer._pure_call`). If not, the
            model has to be on the stack of calls while the program runs.

    Raises:
        ValueError: a module that a call needs was deleted from the model.
    """

    def __init__(self, graph: Graph, modules: Mapping[str, nn.Module | None], name: str) -> None:
        self.graph = graph
        self.modules = list(modules.values())
        self._source = modules
        deleted = [step.key for step in graph.instructions if modules.get(step.key) is None]
        if deleted:
            raise ValueError(
                f"Model {name} calls its layer {deleted[0]!r}, which was deleted. Assign a module in its "
                "place; torch.nn.Identity() returns its input."
            )
        self._calls: list[tuple[Any, Any, Instruction]] = [
            (modules[step.key], step.input_indices, step) for step in graph.instructions
        ]
        self.layers: list[Any] = list(
            dict.fromkeys(x for module, _, _ in self._calls for x in (module, *_sublayers(module)))
        )
        self._pure_layers = [layer for layer in self.layers if _promises_purity(layer)]
        self.is_pure = len(self._pure_layers) == len(self.layers)
        self._triggers: tuple[Any, ...] = (True,)  # non-empty if any layer needs a full call
        self._own_triggers: list[Any] = [True]  # the first trigger of each layer
        self._function: Callable[[Any], list[Any] | None] | None = None

    def invalidate(self) -> None:
        """Have the program made again before the next call."""
        self.modules = []
        self._triggers, self._own_triggers = (True,), [True]

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
        if not self.graph.is_simple or not self.modules:  # invalidated, or there is nothing to call
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
        if self.graph.needs_masks or masks is not None:
            return self._run_with_masks(values, masks)[0]
        return self._run_from(0, values)

    def infer(self, values: list[Any]) -> list[Any]:
        """Return symbolic outputs for symbolic inputs, whose list is used up; no node is made."""
        for layer, _, step in self._calls:
            spec = layer.compute_output_spec(*_fill(step.args, values), **_fill(step.kwargs, values))
            values += flatten(spec)
        return [values[index] for index in self.graph.outputs]

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
        return [values[index] for index in self.graph.outputs]

    def _run_with_masks(self, values: list[Any], masks: list[Any] | None) -> tuple[list[Any], list[Any]]:
        masks = list(masks) if masks is not None else [None] * len(values)
        for layer, _, step in self._calls:
            args, kwargs = _fill(step.args, values), _fill(step.kwargs, values)
            input_masks = _fill(step.args[0], masks) if step.args else None
            is_masked = any(mask is not None for mask in flatten(input_masks))
            is_layer = isinstance(layer, Layer)  # torch's modules know of no masks
            if is_layer and "mask" in layer._call_params and not step.has_mask and is_masked:
                kwargs = kwargs | {"mask": input_masks}
            results = step.values(layer(*args, **kwargs))
            gives_mask = is_layer and (step.gives_mask or is_masked)
            given = flatten(layer.compute_mask(args[0], input_masks)) if gives_mask else [None]
            values += results
            masks += given if len(given) == len(results) else [None] * len(results)
        outputs = self.graph.outputs
        return [values[index] for index in outputs], [masks[index] for index in outputs]

    def _generate(self) -> Callable[[Any], list[Any] | None]:
        """Return the calls as one function of the inputs, a tensor or the list of several.

        Looking up layers and values by index would cost small layers more than their arithmetic. The
        function returns None, before the first call, for inputs that have to be converted or refused, and
        where the model has other modules by now.
        """
        taken = {"forward", "inputs", "modules", "resume", "Tensor"}
        graph = self.graph
        values = [identifier(name, taken) for name in graph.input_names]
        layers: dict[Any, str] = {}
        for layer, _, step in self._calls:
            layers[layer] = layers.get(layer) or identifier(step.key, taken)
        forward = Function("forward", ["inputs"])
        if len(values) == 1:
            forward.assign(values[0], "inputs")
        else:
            forward.add(f"if inputs.__class__ is not list or len(inputs) != {len(values)}: return None")
            forward.assign(tuple(values), "inputs")
        for name, rank in zip(values, graph.input_ranks, strict=True):
            forward.add(f"if {name}.__class__ is not Tensor or {name}.ndim != {rank}: return None")
        current = {f"modules[{step.key!r}] is not {layers[layer]}" for layer, _, step in self._calls}
        if current:
            forward.add(f"if {' or '.join(sorted(current))}: return None")
        for index, (layer, indices, _) in enumerate(self._calls):
            result = identifier(f"{layers[layer]}_output", taken)
            single = isinstance(indices, int)
            argument: Structure = values[indices] if single else [values[i] for i in indices]
            function = f"{layers[layer]}.call" if _promises_purity(layer) else layers[layer]
            forward.assign(result, f"{function}({write_structure(argument)})")
            forward.add(f"if {result}.__class__ is not Tensor: return resume({index}, locals())")
            values.append(result)
        forward.give([values[index] for index in graph.outputs])

        def resume(index: int, known: dict[str, Any]) -> list[Any]:
            """Run the remaining calls one by one, after a call whose result is not a tensor."""
            number = len(graph.input_names) + index
            results = graph.instructions[index].values(known[values[number]])
            return self._run_from(index + 1, [*[known[name] for name in values[:number]], *results])

        names: dict[str, Any] = {name: layer for layer, name in layers.items()} | {
            "Tensor": Tensor,
            "modules": self._source,
            "resume": resume,
        }
        return forward.compile(names)


def _is_simple(step: Instruction) -> bool:
    """Whether a call has one argument, a tensor or a list of them, and one value."""
    return step.input_indices is not None and len(step.tensor_outputs) == 1


def _promises_purity(layer: Any) -> bool:
    return "_pure_call" in type(layer).__dict__


def _sublayers(layer: Any) -> list[Any]:
    """Return the layers that a layer calls, if it is a model with a program."""
    program = layer.__dict__.get("_program")
    return [] if program is None else list(program.layers)


def _instruction(node: Node, key: str, indices: dict[int, int]) -> Instruction:
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
        key,
        only,
        map_structure(refer, node.args),
        map_structure(refer, node.kwargs),
        node.takes_mask,
        node.kwargs.get("mask") is not None,
        any(tensor.mask is not None for tensor in node.outputs),
        [index for index, leaf in enumerate(flatten(node.structure)) if is_keras_tensor(leaf)],
    )


def _fill(template: Any, values: list[Any]) -> Any:
    return map_structure(lambda leaf: values[leaf.index] if isinstance(leaf, ValueRef) else leaf, template)

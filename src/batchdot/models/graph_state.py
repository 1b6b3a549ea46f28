"""A model's graph as its state: layers as submodules, a program of their calls, copies and state_dict."""

from typing import Any

from torch import nn

from batchdot._torch import is_tracing
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.losses import reset_call_losses
from batchdot.models.model import Model
from batchdot.models.pickling import FlatGraph
from batchdot.models.program import Graph, Program
from batchdot.models.state_dict import register_layers, rename_saved_keys
from batchdot.models.structure import graph_tensors
from batchdot.models.topology import topological_order
from batchdot.symbolic.tensor import KerasTensor, Node


class GraphState(Model):
    """The part of `Functional` that holds a graph and follows what happens to its modules."""

    _version = 2
    """Of the keys in ``state_dict``; 1 had automatic names numbered in the process."""

    inputs: list[KerasTensor]
    outputs: list[KerasTensor]
    _input_structure: Any
    _output_structure: Any
    _nodes: list[Node]
    _keyed_layers: list[tuple[Any, str]]
    """The layers of the graph with their keys among the modules, which may hold other modules by now."""
    _graph: Graph
    _program: Program

    def _set_structure(self, inputs: Any, outputs: Any) -> None:
        """Make this the model of the graph between two structures of symbolic tensors."""
        input_tensors, output_tensors = graph_tensors(inputs, "inputs"), graph_tensors(outputs, "outputs")
        nodes, layers = topological_order(input_tensors, output_tensors)
        self._input_structure, self._output_structure = inputs, outputs
        self.inputs, self.outputs = input_tensors, output_tensors
        self._nodes = nodes
        self._register_graph(layers)
        self._graph = Graph(nodes, input_tensors, output_tensors, dict(self._keyed_layers))
        self._bind_program()
        self.built = True

    def _register_graph(self, layers: list[Any]) -> None:
        """Make the layers of the graph submodules."""
        self._keyed_layers = list(zip(layers, register_layers(self, layers), strict=True))

    def _bind_program(self) -> Program:
        program = Program(self._graph, self._modules, self.name)
        self.__dict__["_program"] = program
        return program

    def _current_program(self) -> Program:
        """Return the program of the modules that the model has now: one may have been replaced."""
        program = self._program
        if program.modules != list(self._modules.values()):
            program = self._bind_program()
        return program

    def _is_rewired(self) -> bool:
        """Whether a layer of the graph was replaced."""
        return any(self._modules.get(key) is not layer for layer, key in self._keyed_layers)

    @property
    def _layers(self) -> list[Any]:
        """The modules that the graph calls."""
        return [self._modules[key] for _, key in self._keyed_layers if self._modules.get(key) is not None]

    def _inner_modules(self) -> list[nn.Module]:
        return list(dict.fromkeys([*self._layers, *self.children()]))

    def _clear_call_losses(self) -> None:
        if is_tracing() or self._call_losses:
            reset_call_losses(self)
        for layer in self._layers:
            if not isinstance(layer, Layer):
                for inner in layer.modules():
                    if isinstance(inner, Layer):
                        inner._clear_call_losses()
            elif is_tracing() or layer._modules or layer._call_losses:
                layer._clear_call_losses()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any) -> None:
        if local_metadata.get("version", 1) < self._version:
            keys = [key for _, key in self._keyed_layers]
            rename_saved_keys(self, keys, state_dict, prefix, has_version="version" in local_metadata)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def _replicate_for_data_parallel(self) -> Any:
        replica = super()._replicate_for_data_parallel()
        if self.built:
            replica._bind_program()
        return replica

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if (program := self.__dict__.get("_program")) is not None:
            program.invalidate()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, nn.Module) and (program := self.__dict__.get("_program")) is not None:
            program.invalidate()  # compiled calls look at the program, not at the modules

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the graph as a table: a copied model has a graph of its own."""
        state = super().__getstate__()
        if self.built:
            state.pop("_program")
            graph = {key: state.pop(key) for key in _GRAPH_ATTRIBUTES}
            state["_flat_graph"] = FlatGraph(self._nodes, graph)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        graph = state.pop("_flat_graph", None)
        super().__setstate__(state)
        if graph is not None:
            self._nodes, structures = graph.restore()
            self.__dict__.update(structures)
            self._bind_program()


_GRAPH_ATTRIBUTES = ("inputs", "outputs", "_input_structure", "_output_structure")
"""The attributes of a model that hold symbolic tensors, apart from ``_nodes``."""

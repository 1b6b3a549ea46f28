"""Model: the layers between some symbolic tensors, as one layer that replays their calls."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from batchdot.conversion import as_tensor
from batchdot.graph.context import CONTEXT
from batchdot.graph.flat import FlatGraph
from batchdot.graph.node import Node
from batchdot.graph.replay import Program
from batchdot.graph.summary import print_summary
from batchdot.graph.tensor import KerasTensor, flatten, map_structure, symbolic_leaves, unwrap
from batchdot.graph.topology import sort_graph
from batchdot.layers._direct import own_way
from batchdot.layers._weights import weights_of
from batchdot.layers.base import Layer
from batchdot.layers.registry import LAYERS

_is_tracing = torch.compiler.is_dynamo_compiling


@LAYERS.register("Functional")
class Model(Layer):
    """The calls that lead from symbolic inputs to symbolic outputs, as a layer and a torch.nn.Module.

    Args:
        inputs: a symbolic tensor, or a list, tuple or dict of them.
        outputs: what is computed from them, likewise.
        name: name of the model, ``model`` and so on by default.
        **kwargs: as for every `Layer`.

    A subclass may define ``call`` instead, and be made without inputs.

    Raises:
        ValueError: an output does not come from the inputs, or two layers have one name.

    >>> from batchdot import Input
    >>> from batchdot.layers import Dot
    >>> x, y = Input((3,)), Input((3,))
    >>> model = Model([x, y], Dot(1)([x, y]))
    >>> model([torch.ones(2, 3), torch.ones(2, 3)])
    tensor([[3.],
            [3.]])
    """

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.supports_masking = True
        self._program: Program | None = None
        self._layers: list[Layer] = []
        if inputs is None and outputs is None:
            return
        self._input_structure, self._output_structure = inputs, outputs
        self.inputs = self._read_tensors(inputs, "inputs")
        self.outputs = self._read_tensors(outputs, "outputs")
        self._nodes, self._layers = sort_graph(self.inputs, self.outputs)
        for layer in self._layers:
            # nn.Module keys may not hold dots; the names of a model's layers are unique.
            self._modules[layer.name.replace(".", "_")] = layer
        self._program = Program(self._nodes, self.inputs, self.outputs)
        self.built = True

    def _read_tensors(self, value: Any, what: str) -> list[KerasTensor]:
        tensors = flatten(value)
        for tensor in tensors:
            if not isinstance(tensor, KerasTensor) or tensor.node is None:
                raise ValueError(
                    f"The {what} of a model are symbolic tensors that come from Input. Received: {tensor!r}"
                )
        return tensors

    @property
    def layers(self) -> list[Layer]:
        """The layers, in Keras's order: from the inputs to the outputs."""
        if self._program is not None:
            return list(self._layers)
        return [module for module in self.children() if isinstance(module, Layer)]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return the layer of a name, or the one at an index.

        Raises:
            ValueError: there is none, or neither is given, or both.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise ValueError("Provide either a layer name or layer index to `get_layer`.")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers."
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in layers]}.")

    @own_way
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Replay the calls on tensors; on symbolic tensors, make a node."""
        if self._program is None or kwargs or type(self).call is not Model.call or symbolic_leaves(args):
            return super().forward(*args, **kwargs)
        outputs = self.call(args[0] if len(args) == 1 else list(args))
        if self.activity_regularizer is not None and not CONTEXT.inferring:
            self._regularize_activity(outputs, args)
        self._note_direct()
        return outputs

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Replay the calls; layers inside hear what is said about training."""
        program = self._program
        if program is None:
            raise NotImplementedError(
                f"{type(self).__name__} has neither inputs and outputs nor a `call` of its own."
            )
        tracing = _is_tracing()
        if not tracing:
            outputs = program.run_straight(inputs)
            if outputs is not None:
                return self._write_values(outputs)
        values = self._read_values(inputs)
        masks = flatten(mask) if mask is not None else None
        if tracing and self._is_plain():
            return self._write_values(program.run(values, masks))
        calls = CONTEXT.calls
        if not calls:
            self._forget_call_losses()
        calls.append(self)
        try:
            return self._write_values(program.run(values, masks))
        finally:
            calls.pop()

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output, or the outputs' in their structure, for shapes of the inputs.

        Raises:
            ValueError: a layer does not fit these shapes.
        """
        if self._program is None:
            return super().compute_output_shape(input_shape)
        shapes = [input_shape] if _is_shape(input_shape) else list(input_shape)
        values = [KerasTensor(tuple(s), t.dtype) for s, t in zip(shapes, self.inputs, strict=True)]
        outputs = self._write_values(self._program.infer(values))
        return map_structure(lambda tensor: tensor.shape, outputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the masks of the outputs."""
        if self._program is None:
            return super().compute_mask(inputs, mask)
        masks = flatten(mask) if mask is not None else None
        return unwrap(self._program.run_masks(self._read_values(inputs), masks))

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
                values[index] = value = as_tensor(value, self._probe.device, self._input_dtype(index))
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

    # Of a model as a place in a graph, its own inputs and outputs are asked for.

    @property
    def input(self) -> Any:
        """The symbolic input, or the list of inputs."""
        return super().input if self._program is None else unwrap(self.inputs)

    @property
    def output(self) -> Any:
        """The symbolic output, or the list of outputs."""
        return super().output if self._program is None else unwrap(self.outputs)

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or the list of shapes."""
        return super().input_shape if self._program is None else unwrap([t.shape for t in self.inputs])

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or the list of shapes."""
        return super().output_shape if self._program is None else unwrap([t.shape for t in self.outputs])

    @property
    def input_names(self) -> list[str]:
        """The names of the layers that the inputs come from."""
        return [tensor.node.layer.name for tensor in self.inputs if tensor.node is not None]

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that the outputs come from."""
        return [tensor.node.layer.name for tensor in self.outputs if tensor.node is not None]

    def _is_plain(self) -> bool:
        functional = self._program is not None and type(self).call is Model.call
        return functional and self.activity_regularizer is None and all(x._is_plain() for x in self._layers)

    def _forget_call_losses(self) -> None:
        if _is_tracing() or self._call_losses:
            self._call_losses = []
        for layer in self.layers if self._program is None else self._layers:
            if _is_tracing() or layer._modules or layer._call_losses:
                layer._forget_call_losses()

    @property
    def weights(self) -> list[Tensor]:
        """All weights, layer by layer."""
        own = [weight for weight in super().weights if any(weight is mine for mine in self._own_weights())]
        found = [weight for module in self._inner_modules() for weight in weights_of(module, "weights")]
        return list({id(weight): weight for weight in found + own}.values())

    def _inner_modules(self) -> list[nn.Module]:
        return list(self._layers) if self._program is not None else super()._inner_modules()

    def predict(self, x: Any, batch_size: int = 32, verbose: Any = 0) -> Any:
        """Return the outputs for all samples, computed in batches, as numpy arrays.

        The model is in evaluation mode meanwhile, and no gradient is kept.

        Args:
            x: the inputs: an array or tensor, or a list or dict of them, of equal batch sizes.
            batch_size: samples to a batch.
            verbose: 1 shows a progress bar on stderr.

        Returns:
            An array, or a list of arrays where there are several outputs.

        Raises:
            ValueError: inputs that do not fit, or of different batch sizes.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is at least 1. Received: {batch_size}")
        x = self._read_values(x) if self._program is not None else map_structure(self._read_input, x)
        sizes = {leaf.shape[0] for leaf in flatten(x)}
        if len(sizes) != 1:
            raise ValueError(f"The inputs of predict have different batch sizes: {sorted(sizes)}.")
        starts: Any = range(0, max(1, *sizes), batch_size)
        if verbose and verbose != "auto":
            from tqdm import tqdm

            starts = tqdm(starts, desc=self.name, unit="batch")
        modes, parts = [(module, module.training) for module in self.modules()], []
        self.eval()
        try:
            with torch.no_grad():
                for start in starts:
                    batch = map_structure(itemgetter(slice(start, start + batch_size)), x)
                    parts.append(flatten(self(batch)))
        finally:
            for module, mode in modes:
                module.training = mode
        arrays = [
            np.concatenate([_to_numpy(value) for value in values]) for values in zip(*parts, strict=True)
        ]
        return unwrap(arrays)

    def summary(self, line_length: int = 98, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print a table of the layers: their types, output shapes, weights, and what they connect to."""
        print_summary(self, line_length, print if print_fn is None else print_fn)

    def extra_repr(self) -> str:
        """Return the name; torch prints the layers inside by itself."""
        return f"name={self.name!r}"

    def get_config(self) -> dict[str, Any]:
        """Return the model as Keras writes it: layers, their calls, inputs and outputs.

        Raises:
            NotImplementedError: a subclass that defines `call` has to write its own.
        """
        from batchdot.graph.config import write_model

        if self._program is None:
            raise NotImplementedError(
                f"{type(self).__name__} defines `call`, and has to define `get_config`."
            )
        return write_model(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Make the model from what `get_config` returned, here, in tf.keras or in Keras 3.

        Raises:
            ValueError: an unknown layer, or a config that does not fit together.
        """
        from batchdot.graph.config import read_model

        if "layers" not in config:
            return cls(**config)
        return read_model(cls, config, custom_objects)

    def to_json(self, **kwargs: Any) -> str:
        """Return the config as JSON in the form of tf.keras, for `model_from_json` there and here."""
        from batchdot.graph.config import write_json

        return write_json(self, **kwargs)

    @property
    def nodes(self) -> Sequence[Node]:
        """The calls of the graph, in the order they are replayed."""
        return self._nodes

    def __getstate__(self) -> dict[str, Any]:
        """Keep the graph inside: a copied model has its own."""
        state = super().__getstate__()
        if self._program is not None:
            graph = {key: state.pop(key) for key in _GRAPH}
            state["_graph"] = FlatGraph(self._nodes, graph)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        graph = state.pop("_graph", None)
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if graph is not None:
            self._nodes, structures = graph.restore()
            self.__dict__.update(structures)


_GRAPH = ("inputs", "outputs", "_input_structure", "_output_structure")
"""The attributes of a model that hold symbolic tensors; beside them, ``_nodes`` does."""


def _is_shape(value: Any) -> bool:
    return all(size is None or isinstance(size, int) for size in value)


def _is_of_tensors(inputs: Sequence[Any]) -> bool:
    """Whether a list is of inputs, rather than the numbers of one."""
    return len(inputs) == 1 or any(isinstance(item, Tensor) for item in inputs)


def _to_numpy(value: Tensor) -> np.ndarray[Any, Any]:
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()

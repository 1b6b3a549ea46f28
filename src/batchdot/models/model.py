"""Model: the layers between some symbolic tensors, as one layer that replays their calls."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from batchdot._torch import is_tracing
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.losses import reset_call_losses
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.weights import weights_of
from batchdot.models.pickling import FlatGraph
from batchdot.models.predict import predict_in_batches
from batchdot.models.program import Program
from batchdot.models.structure import Ends
from batchdot.models.summary import print_summary
from batchdot.models.topology import sort_graph
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.tensor import KerasTensor, Node, symbolic_tensors
from batchdot.symbolic.tree import flatten, map_structure, unpack_singleton


@LAYERS.register("Functional")
class Model(Ends):
    """The calls that lead from symbolic inputs to symbolic outputs, as a layer and a torch.nn.Module.

    Args:
        inputs: a symbolic tensor, or a list, tuple or dict of them.
        outputs: what is computed from them, likewise.
        name: name of the model, ``model`` and so on by default.
        **kwargs: as for every `Layer`.

    A subclass may define ``call`` instead, and be made without inputs.

    Raises:
        ValueError: an output does not come from the inputs, or two layers have one name.

    >>> import torch
    >>> from batchdot import Input
    >>> from batchdot.layers import Dot
    >>> x, y = Input((3,)), Input((3,))
    >>> model = Model([x, y], Dot(1)([x, y]))
    >>> model([torch.ones(2, 3), torch.ones(2, 3)])
    tensor([[3.],
            [3.]])
    """

    _pure_call = True

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.supports_masking = True
        self._program = None
        self._layers: list[Layer] = []
        if inputs is None and outputs is None:
            return
        self._keep_ends(inputs, outputs)
        self._nodes, self._layers = sort_graph(self.inputs, self.outputs)
        for layer in self._layers:
            # nn.Module keys may not hold dots; the names of a model's layers are unique.
            self._modules[layer.name.replace(".", "_")] = layer
        self._program = Program(self._nodes, self.inputs, self.outputs)
        self.built = True

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

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Replay the calls on tensors; on symbolic tensors, make a node."""
        if self._program is None or kwargs or type(self).call is not Model.call or symbolic_tensors(args):
            return super().forward(*args, **kwargs)
        inputs = args[0] if len(args) == 1 else list(args)
        if self.activity_regularizer is not None:
            return self._call_tracked((inputs,), {}, None)
        outputs = self.call(inputs)
        self._enable_fast_call()
        return outputs

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Replay the calls; layers inside hear what is said about training."""
        program = self._program
        if program is None:
            raise NotImplementedError(
                f"{type(self).__name__} has neither inputs and outputs nor a `call` of its own."
            )
        outputs = program.run_compiled(inputs) if program.is_pure else None
        if outputs is not None:
            return self._write_values(outputs)
        masks = flatten(mask) if mask is not None else None
        if is_tracing() and self._is_pure():
            return self._write_values(program.run(self._read_values(inputs), masks))
        self._begin_call_losses()
        CONTEXT.calls.append(self)
        try:
            outputs = None if program.is_pure else program.run_compiled(inputs)
            if outputs is None:
                outputs = program.run(self._read_values(inputs), masks)
            return self._write_values(outputs)
        finally:
            CONTEXT.calls.pop()

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
        return unpack_singleton(self._program.run_masks(self._read_values(inputs), masks))

    def _is_pure(self) -> bool:
        functional = self._program is not None and type(self).call is Model.call
        return functional and self.activity_regularizer is None and all(x._is_pure() for x in self._layers)

    def _clear_call_losses(self) -> None:
        if is_tracing() or self._call_losses:
            reset_call_losses(self)
        for layer in self.layers if self._program is None else self._layers:
            if is_tracing() or layer._modules or layer._call_losses:
                layer._clear_call_losses()

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
        return predict_in_batches(self, x, batch_size, verbose)

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
        from batchdot.models.serialization import write_model

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
        from batchdot.models.serialization import read_model

        if "layers" not in config:
            return cls(**config)
        return read_model(cls, config, custom_objects)

    def to_json(self, **kwargs: Any) -> str:
        """Return the config as JSON in the form of tf.keras, for `model_from_json` there and here."""
        from batchdot.models.serialization import write_json

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

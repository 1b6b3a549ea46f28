"""Functional: a model of the layer calls between symbolic inputs and outputs."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from batchdot._torch import compile_time_constant, is_tracing
from batchdot.convert import as_tensor
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.naming import unique_name
from batchdot.layers.base.registry import LAYERS
from batchdot.models.graph_state import GraphState
from batchdot.models.model import Model
from batchdot.models.serialization import model_config
from batchdot.models.structure import fit_rank, is_shape, layer_names, order_inputs, pack_outputs
from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.tensor import KerasTensor, Node, shape_of, symbolic_tensors
from batchdot.symbolic.tree import flatten, map_structure, unpack_singleton


@LAYERS.register("Model")
class Functional(GraphState):
    """The calls that lead from symbolic inputs to symbolic outputs, as one layer.

    Made by ``Model(inputs, outputs)``. Calling it replays the calls on tensors. The layers are submodules
    under their names, so that ``state_dict`` has keys such as ``dense.kernel``; those without a name of their
    own are numbered in this model.

    A submodule may be replaced: after ``model.dense = torch.nn.Linear(4, 7)`` its calls call
    that. ``outputs`` and the config stay those of the graph.

    Args:
        inputs: a symbolic tensor, or a list, tuple or dict of them.
        outputs: the symbolic tensors computed from them, likewise.
        name: name of the model; by default ``model``, ``model_1`` and so on.
        **kwargs: as for every `Layer`.

    Attributes:
        inputs: the symbolic inputs, as a list.
        outputs: the symbolic outputs, as a list.

    Raises:
        ValueError: an output does not depend on the inputs alone, or two layers have the same name.

    >>> from batchdot import Input
    >>> from batchdot.layers import Dot
    >>> x, y = Input((3,)), Input((3,))
    >>> model = Model([x, y], Dot(1)([x, y]))
    >>> isinstance(model, Functional), model.output_shape
    (True, (None, 1))
    >>> model([torch.ones(2, 3), torch.ones(2, 3)])
    tensor([[3.],
            [3.]])

    Source: ``tf.keras.Model``.
    """

    _config_form: ClassVar[dict[str, Any]] = {"class_name": "Functional"}
    """The class entry of configs: without a module, which differs between versions of Keras."""

    _pure_call = True

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, **kwargs: Any
    ) -> None:
        inputs, outputs = kwargs.pop("input", inputs), kwargs.pop("output", outputs)  # as in Keras 1
        if name is None and type(self) is Functional:
            name = unique_name("Model")
        super().__init__(name=name, **kwargs)
        self._set_structure(inputs, outputs)
        if not self.trainable:
            self.trainable = False  # reaches the layers

    # Inputs and outputs.

    @property
    def input(self) -> Any:
        """The symbolic input, or the list of inputs."""
        return unpack_singleton(self.inputs)

    @property
    def output(self) -> Any:
        """The symbolic output, or the list of outputs."""
        return unpack_singleton(self.outputs)

    @property
    def input_shape(self) -> Any:
        """The shape of the input, (B, ...), or the list of shapes."""
        return shape_of(self.inputs)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, (B, ...), or the list of shapes."""
        if self._is_rewired():
            return self.compute_output_shape([tensor.shape for tensor in self.inputs])
        return shape_of(self.outputs)

    @property
    def input_names(self) -> list[str]:
        """The names of the layers that the inputs come from."""
        return layer_names(self.inputs)

    @property
    def output_names(self) -> list[str]:
        """The names of the layers that the outputs come from."""
        return layer_names(self.outputs)

    @property
    def layers(self) -> list[Layer]:
        """The layers, in Keras's order: from the inputs to the outputs. Modules of torch are left out."""
        return [layer for layer in self._layers if isinstance(layer, Layer)]

    @property
    def nodes(self) -> Sequence[Node]:
        """The calls of the graph, in the order they run."""
        return self._nodes

    # Calls.

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Replay the calls on tensors; on symbolic tensors, make a node."""
        overridden = type(self).call is not Functional.call
        if not self.built or kwargs or overridden or symbolic_tensors(args):
            return super().forward(*args, **kwargs)
        inputs = args[0] if len(args) == 1 else list(args)
        if self.activity_regularizer is not None:
            return self._call_tracked((inputs,), {}, None)
        outputs = self.call(inputs)
        self._enable_fast_call()
        return outputs

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Replay the calls on tensors of shapes (B, ...).

        Args:
            inputs: a tensor; a list or tuple of them; or a dict, by input names or the keys it was made with.
            training: passed on to the layers by the call context.
            mask: the masks of the inputs, in their structure.

        Returns:
            The outputs, in the structure that the model was made with.

        Raises:
            ValueError: another number of inputs, or an input of another rank.
        """
        program = self._program
        masks = flatten(mask) if mask is not None else None
        if masks is not None and all(mask is None for mask in masks):
            masks = None
        outputs = program.run_compiled(inputs) if program.is_pure and masks is None else None
        if outputs is not None:
            return pack_outputs(outputs, self._output_structure)
        if is_tracing() and self._is_pure():
            return pack_outputs(program.run(self._flatten_inputs(inputs), masks), self._output_structure)
        if not is_tracing():  # the compiled function has looked at the modules itself
            program = self._current_program()
        self._begin_call_losses()
        CONTEXT.calls.append(self)
        try:
            if masks is None and not program.is_pure:
                outputs = program.run_compiled(inputs)
            if outputs is None:
                outputs = program.run(self._flatten_inputs(inputs), masks)
            return pack_outputs(outputs, self._output_structure)
        finally:
            CONTEXT.calls.pop()

    def _is_pure(self) -> bool:
        if type(self).call is not Functional.call or self.activity_regularizer is not None:
            return False
        return all(isinstance(layer, Layer) and layer._is_pure() for layer in self._layers)

    @compile_time_constant
    def _prepare_compile(self) -> bool:
        if self.built:
            self._current_program()
        return super()._prepare_compile()

    def _flatten_inputs(self, inputs: Any) -> list[Tensor]:
        """Return the inputs as a list of tensors, one for each symbolic input.

        Raises:
            ValueError: another number of inputs, or an input of another rank.
        """
        values = order_inputs(inputs, self._input_structure, self.inputs, self.name)
        for index, (value, spec) in enumerate(zip(values, self.inputs, strict=True)):
            if not isinstance(value, Tensor):  # arrays take the dtype of the input, tensors keep their own
                value = as_tensor(value, self._placement.device).to(self._input_dtype(index))
            values[index] = value = fit_rank(value, spec.shape)
            if value.ndim != len(spec.shape):
                raise ValueError(
                    f"Input {index} of model {self.name} has shape {tuple(value.shape)} "
                    f"instead of {spec.shape}."
                )
        return values

    def _input_dtype(self, index: int) -> torch.dtype:
        """Return the dtype of an input: the one it was given, or what ``double()`` and the like made it."""
        node = self.inputs[index].node
        assert node is not None
        return node.layer._dtype if not node.inputs else self.inputs[index].dtype

    def _prepare_inputs(self, x: Any) -> Any:
        return self._flatten_inputs(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the output shape, or the shapes in the outputs' structure, for shapes of the inputs.

        Raises:
            ValueError: a layer does not fit these shapes.
        """
        if not all(isinstance(layer, Layer) for layer in self._layers):
            return super().compute_output_shape(input_shape)  # by running the modules of torch
        shapes = [input_shape] if is_shape(input_shape) else list(input_shape)
        values = [KerasTensor(tuple(s), t.dtype) for s, t in zip(shapes, self.inputs, strict=True)]
        outputs = pack_outputs(self._current_program().infer(values), self._output_structure)
        return map_structure(lambda tensor: tensor.shape, outputs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the output, or the list of masks, None where there is none."""
        masks = flatten(mask) if mask is not None else None
        return unpack_singleton(self._current_program().run_masks(self._flatten_inputs(inputs), masks))

    def get_config(self) -> dict[str, Any]:
        """Return the model as tf.keras writes it: the layers, their calls, the inputs and outputs.

        Raises:
            ValueError: the graph holds a tensor, which a config cannot; or a layer of it was replaced.
        """
        if self._is_rewired():
            replaced = [key for layer, key in self._keyed_layers if self._modules.get(key) is not layer]
            raise ValueError(
                f"Model {self.name} has another module than its graph for {', '.join(replaced)}: it has no "
                "config. Save its `state_dict`."
            )
        return model_config(self)


_FUNCTIONAL_CLASSES: dict[type[Model], type[Model]] = {Model: Functional}


def _functional_class(cls: type[Model]) -> type[Model]:
    """Return the class of instances of a `Model` class that hold a graph.

    For ``Model`` it is `Functional`. For a subclass it is one of the same name with both as bases. (Keras
    exchanges the bases of the subclass itself, for all its instances.)
    """
    if issubclass(cls, Functional):
        return cls
    if cls not in _FUNCTIONAL_CLASSES:

        def reduce(self: Any) -> tuple[Any, ...]:  # pickle finds classes by name, and so finds `cls`
            return _new_functional, (cls,), self.__getstate__()

        names = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
        names |= {"__reduce__": reduce, "_config_form": Functional._config_form}
        _FUNCTIONAL_CLASSES[cls] = type(cls.__name__, (cls, Functional), names)
    return _FUNCTIONAL_CLASSES[cls]


def _new_functional(cls: type[Model]) -> Model:
    functional = _functional_class(cls)
    return functional.__new__(functional)


Model._functional_class = staticmethod(_functional_class)

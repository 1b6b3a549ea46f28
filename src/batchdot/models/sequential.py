"""Sequential: a stack of layers, each called on the output of the one before."""

from collections.abc import Iterable
from itertools import count
from typing import Any, ClassVar

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS, deserialize_layer, serialize_layer
from batchdot.layers.core.input import Input, InputLayer
from batchdot.models.functional import Functional
from batchdot.models.serialization import recognize_automatic_name
from batchdot.models.state_dict import register_layers
from batchdot.models.structure import map_shapes
from batchdot.symbolic.shape_inference import infer
from batchdot.symbolic.tensor import KerasTensor, Node, is_keras_tensor
from batchdot.symbolic.tree import flatten, map_structure


@LAYERS.register()
class Sequential(Functional):
    """A stack of layers, as one layer: each is called on the output of the one before.

    If the input shape is known, from an `Input` or from a first layer that was given ``input_shape``, each
    layer is built when it is added. Otherwise all are built by the first call, or by `build`.

    Args:
        layers: the layers, from input to output; an `Input` may come first. A single layer may be given as
            it is.
        trainable: whether the weights are trained.
        name: name of the model; by default ``sequential``, ``sequential_1`` and so on.

    Attributes:
        inputs: the symbolic inputs, as a list; once the model is built.
        outputs: the symbolic outputs, as a list; once the model is built.

    Raises:
        TypeError: something to add is no layer.
        ValueError: two layers have the same name; a layer has several outputs, or does not fit the one
            before; an Input comes later than first.

    >>> import torch
    >>> from batchdot.layers import Dense
    >>> model = Sequential([Dense(4, activation="relu"), Dense(2)])
    >>> model.built, model(torch.ones(5, 3)).shape, model.count_params()
    (False, torch.Size([5, 2]), 26)

    Source: ``tf.keras.Sequential``.
    """

    _pure_call = True
    _config_form: ClassVar[dict[str, Any]] = {
        "module": "keras",
        "class_name": "Sequential",
        "registered_name": None,
    }

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super(Functional, self).__init__(name=name, trainable=trainable)
        self._keyed_layers: list[tuple[Any, str]] = []
        self._nodes: list[Node] = []
        if layers is not None:
            single = is_keras_tensor(layers) or not isinstance(layers, Iterable)
            self._extend([layers] if single else layers)

    def add(self, layer: Any) -> None:
        """Add a layer on top of the stack, and build it if the input shape is known.

        Args:
            layer: the layer; or for the first one an `Input`, which says the input shape.

        Raises:
            TypeError: it is no layer.
            ValueError: another layer has its name; it has several outputs, or does not fit the layer before;
                it is an Input, and there are layers already.

        >>> from batchdot import Input
        >>> from batchdot.layers import Dense
        >>> model = Sequential([Input((3,))])
        >>> model.add(Dense(2))
        >>> model.output_shape, model.count_params()
        ((None, 2), 8)
        """
        self._extend([layer])

    def _extend(self, layers: Iterable[Any]) -> None:
        """Add layers; compute the graph once, up to the last layer that could be added."""
        self._refuse_rewired()
        output = self._output_structure if self.built else None
        inputs = self._input_structure if self.built else None
        added: list[Any] = []
        try:
            for item in layers:
                layer = _layer_of_input(item)
                known_layers = [*self._layers, *added]
                self._check_addition(layer, known_layers)
                if isinstance(layer, InputLayer):
                    inputs = output = layer.inbound_nodes[0].outputs[0]
                else:
                    if not known_layers and (known := _known_input(layer)) is not None:
                        inputs = output = _new_input(layer, known.shape, known.dtype)
                        added.append(_layer_of_input(output))
                    if output is not None:
                        output = _call_for_one_output(layer, output)
                added.append(layer)
        finally:
            self._keyed_layers += zip(added, register_layers(self, added), strict=True)
            if output is not None:
                self._set_structure(inputs, output)
        if not self.trainable:
            self.trainable = False  # reaches the layers

    def pop(self) -> Layer:
        """Remove the layer on top of the stack, and return it.

        Raises:
            TypeError: there is none. An `Input` stays.

        >>> from batchdot.layers import Dense
        >>> model = Sequential([Dense(4, input_shape=(3,)), Dense(2)])
        >>> model.pop().units, model.output_shape
        (2, (None, 4))
        """
        if not self.layers:
            raise TypeError("There are no layers in the model.")
        self._refuse_rewired()
        layer: Layer
        layer, key = self._keyed_layers.pop()
        if all(key != other for _, other in self._keyed_layers):
            del self._modules[key]
        if self.built:
            node = _node_of(self.outputs[0])
            node.disconnect()
            self._set_structure(self._input_structure, node.args[0])
        return layer

    def build(self, input_shape: Any = None) -> None:
        """Build the layers for inputs of a shape.

        Args:
            input_shape: (B, ...), with None for unknown sizes; or a list or dict of shapes, if the first
                layer takes several inputs.

        Raises:
            ValueError: there are no layers; no shape is given; the model is built already, for another
                shape; a layer does not fit, or has several outputs.

        >>> from batchdot.layers import Dense
        >>> model = Sequential([Dense(2)])
        >>> model.build((None, 3))
        >>> model.input_shape, model.weights[0].shape
        ((None, 3), torch.Size([3, 2]))
        """
        if self.built:
            self._check_same_shape(input_shape)
            return
        if not self._keyed_layers:
            raise ValueError(
                f"Sequential model {self.name} cannot be built because it has no layers. "
                "Call `model.add(layer)`."
            )
        if input_shape is None:
            raise ValueError("You must provide an `input_shape` argument.")
        layers = [(self._current_layer(layer, key), key) for layer, key in self._keyed_layers]
        first, numbers = layers[0][0], count()
        inputs = map_shapes(lambda shape: _new_input(first, shape, first._dtype, next(numbers)), input_shape)
        output, nodes = inputs, []
        try:
            for layer, key in layers:
                module = self._modules[key]
                output = _call_for_one_output(layer, output, layer if module is None else module)
                nodes.append(_node_of(output))
        except BaseException:
            for node in reversed(nodes):
                node.disconnect()
            raise
        sources = [_layer_of_input(tensor) for tensor in flatten(inputs)]
        self._keyed_layers = [*zip(sources, register_layers(self, sources), strict=True), *layers]
        self._set_structure(inputs, output)

    def _current_layer(self, layer: Any, key: str) -> Any:
        """Return the layer that the model has under a key; for a torch module in its place, the one added."""
        module = self._modules[key]
        return module if isinstance(module, Layer) else layer

    @property
    def layers(self) -> list[Layer]:
        """The layers that were added, an `Input` left out, as in Keras."""
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the output shape for an input shape, or for a list of them if the first layer takes several.

        Raises:
            ValueError: a layer does not fit.
        """
        if self.built or not all(isinstance(layer, Layer) for layer in self._layers):
            return super().compute_output_shape(input_shape)
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the output, None where there is none."""
        self._build_once(inputs)
        return super().compute_mask(inputs, mask)

    def _prepare_inputs(self, x: Any) -> Any:
        if not self.built:
            x = self._convert_input(x)
            self._build_once(x)
        return super()._prepare_inputs(x)

    def get_config(self) -> dict[str, Any]:
        """Return the layers as tf.keras writes them, the input layer first if the input shape is known.

        Raises:
            NotImplementedError: a layer has no config.
        """
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        layers = self._layers
        if self.built and self._input_structure.__class__ is not KerasTensor:  # several inputs
            layers = self.layers
            config["build_input_shape"] = map_shapes(list, _shapes_of(self._input_structure))
        return config | {"layers": [serialize_layer(layer) for layer in layers]}

    @classmethod
    def from_config(cls, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """Make the model from what `get_config` returned, here or in any version of Keras.

        Args:
            config: a dictionary with ``layers``, and maybe ``name``, ``trainable`` and ``build_input_shape``;
                or the list of layers alone, which Keras wrote before version 2.2.3.
            custom_objects: classes and functions by the names that the config has for them.

        Raises:
            ValueError: another config, or an unknown layer.
        """
        if isinstance(config, list | tuple):
            config = {"layers": config}
        if not isinstance(config, dict) or not isinstance(config.get("layers"), list | tuple):
            raise ValueError(
                "A Sequential model configuration must be a dictionary containing the 'name' and 'layers' "
                f"keys, or the list of layers. Received: config={config!r}"
            )
        model = cls(name=config.get("name"))
        layers = [deserialize_layer(entry, custom_objects) for entry in config["layers"]]
        model._extend(map(recognize_automatic_name, layers))
        shape = config.get("build_input_shape")
        if shape and not model.built and model._keyed_layers:
            model.build(map_shapes(tuple, shape))
        if config.get("trainable") is False:
            model.trainable = False
        return model

    def __getattr__(self, name: str) -> Any:
        if name in ("inputs", "outputs"):
            raise AttributeError(f"Sequential model '{self.name}' has no defined {name} yet.")
        return super().__getattr__(name)

    def _register_graph(self, layers: list[Any]) -> None:
        """Do nothing: layers are registered when they are added."""

    def _refuse_rewired(self) -> None:
        if self.built and self._is_rewired():
            raise ValueError(
                f"A layer of model {self.name} was replaced, and the next one fits the graph only: make a "
                "new Sequential of its layers."
            )

    def _check_addition(self, layer: Any, known_layers: list[Any]) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(
                "The added layer must be an instance of class Layer. "
                f"Received: layer={layer} of type {type(layer)}."
            )
        if any(layer.name == other.name and layer is not other for other in known_layers):
            raise ValueError(
                "All layers added to a Sequential model should have unique names. "
                f'Name "{layer.name}" is already the name of a layer in this model. '
                "Update the `name` argument to pass a unique name."
            )
        if isinstance(layer, InputLayer) and known_layers:
            first = known_layers[0]
            raise ValueError(
                f"Sequential model '{self.name}' has already been configured to use input shape "
                f"{first.batch_input_shape}. You cannot add a different Input layer to it."
                if isinstance(first, InputLayer)
                else f"An Input is the first thing in a Sequential model, and {self.name} has layers already."
            )

    def _check_same_shape(self, input_shape: Any) -> None:
        own = _shapes_of(self._input_structure)
        sizes, own_sizes = flatten(input_shape), flatten(own)
        fits = len(sizes) == len(own_sizes) and all(
            size == other for size, other in zip(sizes, own_sizes, strict=True) if None not in (size, other)
        )
        if input_shape is not None and not fits:
            raise ValueError(
                f"Sequential model '{self.name}' has already been configured to use input shape {own}. "
                f"You cannot build it with input_shape {input_shape}"
            )


def _layer_of_input(value: Any) -> Any:
    """Return the layer behind an `Input`; another value as it is."""
    if is_keras_tensor(value) and value.node is not None and isinstance(value.node.layer, InputLayer):
        return value.node.layer
    return value


def _known_input(layer: Any) -> KerasTensor | None:
    """Return a tensor of the shape and dtype that a first layer takes, if it says so."""
    if isinstance(layer, Functional):
        if not layer.built:
            return _known_input(layer.layers[0]) if layer.layers else None
        return layer.inputs[0] if len(layer.inputs) == 1 else None
    return None if layer.batch_input_shape is None else KerasTensor(layer.batch_input_shape, layer._dtype)


def _new_input(layer: Any, shape: Any, dtype: Any, number: int = 0) -> KerasTensor:
    """Return a symbolic input for a first layer, with tf.keras's name; the number is that among several."""
    name = f"{layer.name}_input_{number}" if number else f"{layer.name}_input"
    return Input(batch_shape=tuple(shape), dtype=dtype, name=name)


def _call_for_one_output(layer: Any, inputs: Any, module: Any = None) -> KerasTensor:
    """Call a layer on symbolic inputs and return its only output; with a torch module, call that instead.

    Raises:
        ValueError: it has several.
    """
    if module is None or isinstance(module, Layer):
        output = layer(inputs)
    else:
        output = infer(module, inputs)
        Node(layer, (inputs,), {}, output)
    if not isinstance(output, KerasTensor):
        layer.inbound_nodes[-1].disconnect()
        raise ValueError(
            "All layers in a Sequential model should have a single output tensor. For multi-output "
            "layers, use the functional API."
        )
    return output


def _node_of(tensor: KerasTensor) -> Node:
    assert tensor.node is not None
    return tensor.node


def _shapes_of(structure: Any) -> Any:
    return map_structure(lambda tensor: tensor.shape, structure)

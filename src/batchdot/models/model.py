"""Model: a layer made of layers, with the methods that Keras's models share."""

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from batchdot.keras_names.lookup import check_compile_arguments, find
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.weights import weights_of
from batchdot.models.loading import load_weights
from batchdot.models.predict import predict_in_batches
from batchdot.models.serialization import model_from_graph_config, model_to_json
from batchdot.models.summary import print_summary
from batchdot.symbolic.tensor import Node


class Model(Layer):
    """A layer made of layers, and a torch.nn.Module.

    ``Model(inputs, outputs)`` returns a `Functional`, the model of the graph between symbolic tensors. A
    subclass either does the same by ``super().__init__(inputs, outputs)``, or defines ``call``.

    Args:
        inputs: a symbolic tensor, or a list, tuple or dict of them.
        outputs: the symbolic tensors computed from them, likewise.
        name: name of the model; by default the class name in snake case, made unique.
        **kwargs: as for every `Layer`.

    Raises:
        ValueError: an output does not depend on the inputs alone, or two layers have the same name.

    >>> import torch
    >>> from batchdot.layers import Dense, Dot
    >>> class Matcher(Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.tower, self.dot = Dense(8), Dot(1)
    ...     def call(self, inputs):
    ...         x, y = inputs
    ...         return self.dot([self.tower(x), self.tower(y)])
    >>> model = Matcher()
    >>> model([torch.ones(2, 3), torch.ones(2, 3)]).shape, model.count_params()
    (torch.Size([2, 1]), 32)

    Source: ``tf.keras.Model``.
    """

    _functional_class: ClassVar[Callable[[type["Model"]], type["Model"]]]
    """Maps a `Model` class to the class of its functional instances. Set by `batchdot.models.functional`."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "Model":
        """Make a `Functional` if ``Model`` itself is given inputs and outputs, as in Keras."""
        given = [kwargs.get(name) for name in ("inputs", "outputs", "input", "output")]
        if cls is Model and any(value is not None for value in (*args[:2], *given)):
            cls = Model._functional_class(cls)
        return super().__new__(cls)

    def __init__(
        self, inputs: Any = None, outputs: Any = None, name: str | None = None, **kwargs: Any
    ) -> None:
        inputs, outputs = kwargs.pop("input", inputs), kwargs.pop("output", outputs)  # as in Keras 1
        if inputs is not None or outputs is not None:
            # A subclass's `super().__init__(inputs, outputs)`: from here on the instance is a Functional too.
            object.__setattr__(self, "__class__", Model._functional_class(type(self)))
            Model._functional_class(Model).__init__(self, inputs, outputs, name, **kwargs)
            return
        super().__init__(name=name, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Compute the outputs from the inputs; a subclass without a graph defines this."""
        raise NotImplementedError(
            f"{type(self).__name__} has neither inputs and outputs nor a `call` of its own."
        )

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside, in the order they were assigned to attributes."""
        return [module for module in self.children() if isinstance(module, Layer)]

    @property
    def nodes(self) -> Sequence[Node]:
        """The calls of the model's own graph, in the order they run; none without a graph."""
        return []

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return the layer of a name, or the one at an index.

        Raises:
            ValueError: there is no such layer; or neither a name nor an index is given, or both are.
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

    @property
    def weights(self) -> list[Tensor]:
        """All weights, layer by layer."""
        own = [weight for weight in super().weights if any(weight is mine for mine in self._own_weights())]
        found = [weight for module in self._inner_modules() for weight in weights_of(module, "weights")]
        return list({id(weight): weight for weight in found + own}.values())

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = 0,
        steps: int | None = None,
        callbacks: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
    ) -> Any:
        """Return the outputs for all samples, computed in batches, as numpy arrays.

        The call does not train, as by ``training=False``, and computes no gradients. No module's mode
        changes, so that another thread may train the model; but that of compiled and scripted torch modules
        inside does for a while. The losses of the latest other call stay.

        Args:
            x: the inputs, of shape (B, ...): an array or tensor, or a list or dict of them; or an iterable of
                batches, such as a DataLoader or a generator, each ``x``, ``(x,)`` or ``(x, y)``.
            batch_size: samples to a batch, 32 by default. An iterable decides itself.
            verbose: 1 shows a progress bar on stderr.
            steps: how many batches to run, by default all.
            callbacks: none.
            max_queue_size: no effect; a DataLoader has what it is for, as for the next two.
            workers: no effect.
            use_multiprocessing: no effect.

        Returns:
            An array of shape (B, ...), or a list, tuple or dict of arrays as the model returns them.

        Raises:
            ValueError: the inputs do not fit the model, or differ in B; a ``batch_size`` below 1, or one for
                an iterable, or no batch.
            TypeError: there are callbacks.
        """
        if callbacks:
            raise TypeError(
                "predict calls no callbacks. Write `for batch in loader: output = model.predict(batch)`, "
                "with what they do in the loop."
            )
        return predict_in_batches(self, x, batch_size, verbose, steps)

    def _prepare_inputs(self, x: Any) -> Any:
        """Return the inputs of `predict` as tensors that the model can be called on."""
        return self._convert_input(x)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Load weights that any version of Keras saved: ``.weights.h5``, ``.h5`` or ``.keras``.

        Args:
            filepath: the file, of weights or of a whole model with the same layers.

        Raises:
            OSError: the file cannot be opened.
            ValueError: the model has no config.
            batchdot.porting.ModelFileError: the file holds no weights, or they do not fit the model.

        Source: ``keras.Model.load_weights``.
        """
        load_weights(self, filepath)

    def summary(self, line_length: int = 98, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print a table of the layers: type, output shape, number of weights, and their inputs' layers.

        Args:
            line_length: width of the table in characters.
            print_fn: called with each line; by default `print`.
        """
        print_summary(self, line_length, print if print_fn is None else print_fn)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile calls by torch.compile, with its arguments, as ``torch.nn.Module.compile`` does.

        Raises:
            TypeError: the arguments are Keras's, which belong to a training loop here.

        >>> Model().compile(optimizer="adam", loss="mse")
        Traceback (most recent call last):
        ...
        TypeError: batchdot has no Model.compile for an optimizer and a loss: ...
        """
        check_compile_arguments(args, kwargs)
        super().compile(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that torch.nn.Module keeps.

        Raises:
            AttributeError: there is none; for a method of Keras's models, it says what to write instead.
        """
        try:
            return super().__getattr__(name)
        except AttributeError:
            answer = None if hasattr(type(self), name) else find(f"Model.{name}")
            if answer is None:
                raise
        raise AttributeError(str(answer), name=name, obj=self)

    def extra_repr(self) -> str:
        """Return the name; torch prints the layers inside."""
        return f"name={self.name!r}"

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to make the model again; a subclass with `call` defines this.

        Raises:
            NotImplementedError: the model has no graph to write.
        """
        raise NotImplementedError(f"{type(self).__name__} defines `call`, and has to define `get_config`.")

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """Make the model from what `get_config` returned, here, in tf.keras or in Keras 3.

        Args:
            config: the config of a graph, which has ``layers``; else the arguments of the class.
            custom_objects: classes and functions by the names that the config has for them.

        Raises:
            ValueError: an unknown layer, or a config that contradicts itself.
        """
        if "layers" not in config:
            return cls(**config)
        return model_from_graph_config(cls, config, custom_objects)

    def to_json(self, **kwargs: Any) -> str:
        """Return the config as JSON in the form of tf.keras, for ``model_from_json`` there and here.

        Args:
            **kwargs: as for `json.dumps`.

        Raises:
            NotImplementedError: see `get_config`.
            ValueError: the graph holds a tensor, which a config cannot.
        """
        return model_to_json(self, **kwargs)

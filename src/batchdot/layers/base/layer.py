"""Layer: a torch.nn.Module with the manners of a Keras layer.

Here are its arguments, its config and what a subclass defines. The rest of its contract is large, so that
each part of it has a file: `_weights`, `_building`, `_losses`, `_connections`, `_calls`, and `_direct` for
calls that are nothing but `call`. What PyTorch owns stays PyTorch's: parameters, buffers, state_dict,
hooks, ``to``, ``train`` and ``eval``.
"""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch

from batchdot import activations, regularizers
from batchdot.config import float_dtype, floatx
from batchdot.convert import dtype_name, read_dtype
from batchdot.layers.base.call import Calls
from batchdot.layers.base.connectivity import Connections
from batchdot.layers.base.naming import unique_name
from batchdot.registry import custom_object_scope
from batchdot.symbolic.node import Node
from batchdot.symbolic.shape_inference import infer_call
from batchdot.symbolic.tensor import KerasTensor, map_structure

if TYPE_CHECKING:
    from typing import Self

_UNPRINTED = ("trainable", "dtype", "sparse", "ragged")

_IGNORED = ("dynamic", "implementation", "batch_size", "input_dim")
"""Keywords of Keras layers that mean nothing here, or are read with others."""

_UNSET = ("lora_rank", "lora_alpha", "quantization_config")
"""Keywords of Keras 3 that may be None: a weight here is what it is."""


class Layer(Connections, Calls):
    """Base of all layers.

    Args:
        name: name of the layer; by default the class name in snake case, made unique.
        trainable: whether its weights, if it has any, are to be trained.
        dtype: a torch dtype or its name. Weights have it, and floating inputs are cast to it. By
            default weights are `backend.floatx()`, torch tensors keep their dtype, and what is not a
            tensor becomes floatx.
        autocast: False keeps tensors as they are although a dtype is given.
        activity_regularizer: a name, config, or function of the output to a scalar that joins
            `losses`, divided by the batch size.
        input_shape: kept for the config, without the batch axis; a layer finds out by itself.
        batch_input_shape: the same with the batch axis.
        weights: arrays that the weights are set to when they come into being.

    Raises:
        TypeError: an argument of the wrong type, or one that no layer has.

    A subclass defines ``call``, and where it needs them ``build``, which makes the weights,
    ``compute_output_shape``, ``compute_mask`` and ``get_config``:

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight("factor", input_shape[-1:], initializer="ones")
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    >>> layer = Scale()
    >>> layer(torch.ones(2, 3)).shape, layer.count_params(), list(layer.state_dict())
    (torch.Size([2, 3]), 3, ['factor'])
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        activity_regularizer: Any = None,
        input_shape: Any = None,
        batch_input_shape: Any = None,
        weights: Any = None,
        **kwargs: Any,
    ) -> None:
        unknown = [k for k, v in kwargs.items() if k not in _IGNORED and not (k in _UNSET and v is None)]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no argument {', '.join(map(repr, unknown))}.")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"Expected `name` argument to be a string, but got: {name!r}")
        if not isinstance(trainable, bool):
            raise TypeError(f"Expected `trainable` argument to be a boolean, but got: {trainable!r}")
        self.__dict__["_name"] = unique_name(type(self).__name__) if name is None else name
        kind = float_dtype() if dtype is None else read_dtype(dtype)
        # Every base is a Module of its own; each initializes the one above it.
        Calls.__init__(self, trainable, kind)
        self.inbound_nodes: list[Node] = []
        self.outbound_nodes: list[Node] = []
        self.autocast = autocast and dtype is not None
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if input_shape is None and "input_dim" in kwargs:
            input_shape = (kwargs["input_dim"],)
        self.batch_input_shape = _batch_shape(input_shape, batch_input_shape, kwargs.get("batch_size"))
        self._initial_weights = weights
        self.built = False
        self.supports_masking = False
        self.input_spec: Any = None

    # What the layer is.

    @property
    def name(self) -> str:  # type: ignore[override]  # read-only, unlike the bases' annotation
        """The name of the layer."""
        return str(self._name)

    @property
    def dtype(self) -> str:
        """The name of the layer's dtype."""
        return dtype_name(self._dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to make the layer again; it survives JSON.

        The dictionary and what it holds are copies.
        """
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if self.batch_input_shape is not None:
            config["batch_input_shape"] = self.batch_input_shape
        # Every Keras config says floatx. Only with this key does it stand for a dtype that was given.
        if self.autocast and self.dtype == floatx():
            config["autocast"] = True
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Self":
        """Make a layer from what `get_config` returned, here or in Keras.

        Raises:
            TypeError: the config lacks an argument or has one that the layer does not.
        """
        config = deepcopy(config)
        dtype = config.get("dtype")
        meanings: Mapping[str, Any] = {}
        if isinstance(dtype, dict):  # a policy, which Keras 3 always writes
            meanings = activations.KERAS_3 if dtype.get("class_name") == "DTypePolicy" else {}
            dtype = config["dtype"] = dtype.get("config", {}).get("name")
        if "dtype" in config and (dtype is None or (dtype == floatx() and not config.get("autocast"))):
            del config["dtype"]
        with custom_object_scope(meanings):
            return cls(**config)

    # What a subclass defines.

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape, a tuple, or these shapes, a list of tuples."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output from the inputs: what a subclass is about."""
        raise NotImplementedError(f"{type(self).__name__} does not define `call`.")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the output: that of the input where the layer supports masking."""
        return mask if self.supports_masking else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output for the shape of the input, or a list of shapes.

        Unless a subclass knows better, `call` is run on tensors without storage.

        Raises:
            ValueError: the layer does not fit these shapes.
        """
        shapes = input_shape if _is_shape_list(input_shape) else [input_shape]
        tensors = [KerasTensor(tuple(shape), self._dtype) for shape in shapes]
        inputs = tensors if _is_shape_list(input_shape) else tensors[0]
        self._build_once(inputs)
        outputs, _ = infer_call(self, (inputs,), {}, None, ask=False)
        return map_structure(lambda tensor: tensor.shape, outputs)

    # As a torch.nn.Module.

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse to replace what is only read; take the careful way again where a call may change."""
        found = getattr(type(self), name, None)
        if isinstance(found, property) and found.fset is None:  # torch.nn.Module lets parameters pass
            raise AttributeError(
                f'Can\'t set the attribute "{name}", likely because it conflicts with an existing read-only '
                "@property of the object. Please choose a different name."
            )
        super().__setattr__(name, value)
        if name == "activity_regularizer":
            self.__dict__["_call_losses"] = []
        if name != "training":  # which `call` asks for itself
            self._take_care(name)

    def __getattr__(self, name: str) -> Any:
        """Find a weight; say why where a property has no answer.

        torch.nn.Module asks here after a property has raised AttributeError, and would report the
        property as missing.
        """
        parameters = self.__dict__.get("_parameters", ())
        if name in parameters:
            return parameters[name]
        try:
            return super().__getattr__(name)
        except AttributeError:
            found = inspect.getattr_static(type(self), name, None)
            if not isinstance(found, property) or found.fget is None:
                raise
        return found.fget(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the graph behind: a copy of a layer is not connected, and its calls are its own."""
        state = super().__getstate__()  # type: ignore[no-untyped-call]
        state.pop("_reasons", None)
        return state | {  # type: ignore[no-any-return]
            "inbound_nodes": [],
            "outbound_nodes": [],
            "_call_losses": [],  # of the latest call, with its gradients: no copy of these
            "_symbolic_losses": [],
            "_updates": [],
        }

    def extra_repr(self) -> str:
        """Return what torch prints between the brackets: the name, and the arguments that are short."""
        arguments = {key: value for key, value in self.get_config().items() if key not in _UNPRINTED}
        shown = {k: v for k, v in arguments.items() if v is not None and not isinstance(v, dict)}
        return ", ".join(f"{key}={value!r}" for key, value in shown.items())


def _is_shape_list(shape: Any) -> bool:
    return bool(shape) and all(isinstance(item, list | tuple | torch.Size) for item in shape)


def _batch_shape(input_shape: Any, batch_input_shape: Any, batch_size: Any) -> tuple[Any, ...] | None:
    if batch_input_shape is not None:
        return tuple(batch_input_shape)
    return None if input_shape is None else (batch_size, *input_shape)

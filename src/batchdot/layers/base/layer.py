"""Layer: a torch.nn.Module with the contract of a Keras layer.

This file has its arguments, its config and the methods for subclasses to define. The other parts of the
contract have a file each, and each builds on the one before: `state` (all attributes), `weight_keys`,
`weights`, `weight_creation`, `lazy` (building in the first call), `losses`, `symbolic_call`, `call`; and
`node_queries`. Parameters, buffers, state_dict, hooks, ``to``, ``train`` and ``eval`` are those of PyTorch.
"""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch

from batchdot import activations, regularizers
from batchdot._torch import is_tracing
from batchdot.config import floatx, weight_dtype
from batchdot.convert import dtype_name, dtype_or_floatx
from batchdot.layers.base.call import BUILDING, Calls, read_signature
from batchdot.layers.base.naming import unique_name
from batchdot.layers.base.node_queries import NodeQueries
from batchdot.registry import custom_object_scope

if TYPE_CHECKING:
    from typing import Self

_UNPRINTED = ("trainable", "dtype", "sparse", "ragged")

_IGNORED = ("dynamic", "implementation", "batch_size", "input_dim")
"""Keywords of Keras layers that have no effect by themselves."""

_UNSET = ("lora_rank", "lora_alpha", "quantization_config")
"""Keywords of Keras 3 that may only be None here."""


class Layer(Calls, NodeQueries):
    """Base of all layers.

    Args:
        name: name of the layer; by default the class name in snake case, made unique.
        trainable: whether its weights, if it has any, are to be trained.
        dtype: a torch dtype or its name. Weights have it, and floating inputs are cast to it. By
            default weights are `backend.floatx()`, torch tensors keep their dtype, and other inputs
            become floatx.
        autocast: False keeps floating inputs as they are although a dtype is given.
        activity_regularizer: a name, config, or function of the output to a scalar that joins
            `losses`, divided by the batch size.
        input_shape: kept for the config, without the batch axis; the layer does not need it.
        batch_input_shape: the same with the batch axis.
        weights: arrays that the weights are set to when they are made.

    Raises:
        TypeError: an argument of the wrong type, or one that no layer has.

    A subclass defines ``call``, and where needed ``build``, which makes the weights,
    ``compute_output_shape``, ``compute_mask`` and ``get_config``:

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight("factor", input_shape[-1:], initializer="ones")
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    >>> layer = Scale()
    >>> layer(torch.ones(2, 3)).shape, layer.count_params(), list(layer.state_dict())
    (torch.Size([2, 3]), 3, ['factor'])

    Source: ``tf.keras.layers.Layer``.
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
        """Make the layer; the class describes the arguments."""
        unknown = [k for k, v in kwargs.items() if k not in _IGNORED and not (k in _UNSET and v is None)]
        if unknown:
            raise TypeError(f"{type(self).__name__} has no argument {', '.join(map(repr, unknown))}.")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"Expected `name` argument to be a string, but got: {name!r}")
        if not isinstance(trainable, bool):
            raise TypeError(f"Expected `trainable` argument to be a boolean, but got: {trainable!r}")
        name = unique_name(type(self).__name__) if name is None else name
        dtype = weight_dtype(dtype)
        given_dtype = dtype_or_floatx(dtype)
        # torch.compile warns of a cache, which it traces through anyway.
        read = read_signature.__wrapped__ if is_tracing() else read_signature
        call_params, call_context_args = read(type(self).call)
        if input_shape is None and "input_dim" in kwargs:
            input_shape = (kwargs["input_dim"],)

        super().__init__()
        self.autocast = autocast and dtype is not None
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.batch_input_shape = _batch_shape(input_shape, batch_input_shape, kwargs.get("batch_size"))
        self.built = False
        self.supports_masking = False
        self.input_spec: Any = None
        self.inbound_nodes = []
        self.outbound_nodes = []
        self._name = name
        self._trainable = trainable
        self._placement = torch.tensor((), dtype=given_dtype)  # real in shape inference too
        self._given_dtype = given_dtype
        self._weight_infos = []
        self._declared = {}
        self._pending_state = {}
        self._initial_weights = weights
        self._built_at_init = False
        self._call_params = call_params
        self._call_context_args = call_context_args
        self._persistent_losses = []
        self._call_losses = []
        self._symbolic_losses = []
        self._updates = []
        self._watch_parameters()

    # What the layer is.

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
            dtype = config["dtype"] = weight_dtype(dtype)
        if "dtype" in config and (dtype is None or (dtype == floatx() and not config.get("autocast"))):
            del config["dtype"]
        with custom_object_scope(meanings):
            return cls(**config)

    # What a subclass defines.

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape, a tuple, or these shapes, a list of tuples.

        A layer without weights checks the shapes.
        """
        if self._built_at_init:
            self.compute_output_shape(input_shape)
            self.built = True

    def _build_at_init(self) -> None:
        """Declare, at the end of ``__init__``, that the layer has no weights. The name is Keras's.

        `built` becomes True with the first call, which has nothing else to build. In a subclass that
        defines `build` this has no effect.
        """
        self._built_at_init = type(self).build is Layer.build

    # As a torch.nn.Module.

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse to replace a read-only property; make the next call a full one."""
        found = getattr(type(self), name, None)
        if isinstance(found, property) and found.fset is None:  # torch.nn.Module lets a Parameter pass
            raise AttributeError(
                f'Can\'t set the attribute "{name}", likely because it conflicts with an existing read-only '
                "@property of the object. Please choose a different name."
            )
        super().__setattr__(name, value)
        if name == "activity_regularizer":
            self.__dict__["_call_losses"] = []
        if name != "training":  # a mode that each `call` reads
            self._disable_fast_call(name)
            for derived in self._derived:
                self.__dict__.pop(derived, None)

    def __getattr__(self, name: str) -> Any:
        """Return a weight, or another attribute that torch.nn.Module keeps.

        Python also calls this after a property has raised AttributeError, and torch.nn.Module would then
        report the property as missing. The property is run again, so that its own error is seen.
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
        """Leave out the graph and what is cached: a copy of a layer is not connected.

        It waits while another thread builds a layer, and copies what a build changes.
        """
        with BUILDING:
            state = super().__getstate__()
            state |= {
                name: dict(state[name]) for name in ("_parameters", "_buffers", "_modules", "_declared")
            }
        for name in ("_slow_path_triggers", *self._derived):
            state.pop(name, None)
        return state | {
            "inbound_nodes": [],
            "outbound_nodes": [],
            "_call_losses": [],  # of the latest call, with its gradients: no copy of these
            "_symbolic_losses": [],
            "_updates": [],
        }

    def extra_repr(self) -> str:
        """Return what torch prints between the brackets: the name, and the arguments that are short."""
        try:
            config = self.get_config()
        except (
            Exception
        ):  # of a wrapped module, or of a user's layer with a fault: printing works all the same
            config = {"name": self.name}
        arguments = {key: value for key, value in config.items() if key not in _UNPRINTED}
        shown = {k: v for k, v in arguments.items() if v is not None and not isinstance(v, dict)}
        return ", ".join(f"{key}={value!r}" for key, value in shown.items())


def _batch_shape(input_shape: Any, batch_input_shape: Any, batch_size: Any) -> tuple[Any, ...] | None:
    if batch_input_shape is not None:
        return tuple(batch_input_shape)
    return None if input_shape is None else (batch_size, *input_shape)

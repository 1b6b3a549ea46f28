"""Layer: a torch.nn.Module with the manners of a Keras layer.

Its contract is large, so that each part of it has a file: `_weights`, `_state`, `_losses`, `_connections`,
and `_direct` for calls that are nothing but `call`; what else happens in a call is here. What PyTorch owns
stays PyTorch's: parameters, buffers, state_dict, hooks, ``to``, ``train`` and ``eval``.
"""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from batchdot import activations, regularizers
from batchdot.conversion import as_tensor, read_dtype
from batchdot.defaults import float_dtype, floatx
from batchdot.graph.context import CONTEXT
from batchdot.graph.inference import infer_call, on_meta
from batchdot.graph.node import Node
from batchdot.graph.tensor import KerasTensor, flatten, is_keras_tensor, map_structure, symbolic_leaves
from batchdot.layers._connections import Connections
from batchdot.layers._direct import RESERVED, Direct, own_way
from batchdot.layers.naming import unique_name
from batchdot.registry import custom_object_scope

if TYPE_CHECKING:
    from typing_extensions import Self

_UNPRINTED = ("trainable", "dtype", "sparse", "ragged")

_IGNORED = ("dynamic", "implementation", "batch_size", "input_dim")
"""Keywords of Keras layers that mean nothing here, or are read with others."""

_UNSET = ("lora_rank", "lora_alpha", "quantization_config")
"""Keywords of Keras 3 that may be None: a weight here is what it is."""


class Layer(Connections, Direct):
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
        Direct.__init__(self, trainable, kind)
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
    def _dtype(self) -> torch.dtype:
        """The layer's dtype: what it was given, or what ``double()`` and the like have made of it."""
        return self._probe.dtype

    @property
    def dtype(self) -> str:
        """The name of the layer's dtype."""
        return str(self._dtype).removeprefix("torch.")

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

    # What happens in a call.

    @own_way
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer: on tensors `call`; on symbolic tensors, make a node."""
        if len(args) > 1 and self._call_takes & RESERVED:
            args, kwargs = self._name_reserved(args, kwargs)
        if symbolic_leaves([args, kwargs]):
            return self._call_symbolically(args, kwargs)
        return self._call_with_care(args, kwargs)

    def apply(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Call the layer on inputs, as in Keras; or a function on every module inside, as in PyTorch."""
        if callable(inputs) and not isinstance(inputs, Tensor):
            return super().apply(inputs)
        return self(inputs, *args, **kwargs)

    def _name_reserved(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call with those by name that follow the first that is reserved."""
        names = list(inspect.signature(self.call).parameters)[: len(args)]
        first = next((i for i, name in enumerate(names) if name in RESERVED), len(args))
        return args[:first], dict(zip(names[first:], args[first:], strict=False)) | kwargs

    def _call_with_care(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `call` on tensors the first time, and where there is more to do than that."""
        args = tuple([self._read_input(arg) for arg in args])
        kwargs = {key: self._read_input(value) for key, value in kwargs.items()}
        if args:
            self._build_once(args[0])
        training, mask = kwargs.pop("training", None), kwargs.pop("mask", None)
        if "training" in self._call_takes:
            given = training is not None or self._resolves_training
            kwargs["training"] = training if given else self.is_training(None)
        if "mask" in self._call_takes:
            kwargs["mask"] = mask
        unheard = training is not None and bool(self._modules)  # what layers inside are to be told
        plain = self._is_plain() and not CONTEXT.inferring and not unheard
        outputs = self.call(*args, **kwargs) if plain else self._call_in_context(args, kwargs, training)
        if outputs is None:
            raise ValueError(
                f"The `call` of layer {self.name} returned None: it should return a tensor, or several."
            )
        if plain:
            self._note_direct()
        return outputs

    def _call_in_context(self, args: tuple[Any, ...], kwargs: dict[str, Any], training: bool | None) -> Any:
        """Run `call` where calls inside, or losses, depend on this call being under way."""
        if not CONTEXT.calls:
            self._forget_call_losses()
        around = CONTEXT.training
        CONTEXT.training = around if training is None else bool(training)
        CONTEXT.calls.append(self)
        try:
            if CONTEXT.inferring:  # weights that have just been made are not where the inputs are
                with on_meta(self):
                    outputs = self.call(*args, **kwargs)
            else:
                outputs = self.call(*args, **kwargs)
        finally:
            CONTEXT.calls.pop()
            CONTEXT.training = around
        if self.activity_regularizer is not None and not CONTEXT.inferring:
            self._regularize_activity(outputs, args[0] if args else None)
        return outputs

    def _call_symbolically(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Build, infer what comes out, and keep the call as a node."""
        self._build_once(args[0] if args else symbolic_leaves(kwargs))
        masks = map_structure(
            lambda leaf: leaf.mask if is_keras_tensor(leaf) else None, args[0] if args else None
        )
        takes_mask = "mask" in self._call_takes and any(m is not None for m in flatten(masks))
        if kwargs.get("mask") is not None:
            takes_mask, masks = False, kwargs["mask"]
        outputs, mask = self._infer(args, kwargs, masks)
        outputs = map_structure(_distinct(symbolic_leaves([args, kwargs])), outputs)
        for tensor, its_mask in zip(symbolic_leaves(outputs), flatten(mask), strict=False):
            tensor.mask = its_mask
        node = Node(self, args, kwargs, outputs, takes_mask)
        if self.activity_regularizer is not None:
            self._regularize_activity(outputs, node.inputs)
        return outputs

    def _infer(self, args: tuple[Any, ...], kwargs: dict[str, Any], masks: Any) -> tuple[Any, Any]:
        """Return what comes out of a call on symbolic tensors, and the mask of that."""
        return infer_call(self, args, kwargs, masks)

    def is_training(self, training: bool | None) -> bool:
        """Return whether a call trains: what it was told, else the call around, else the module's mode."""
        if training is not None:
            return bool(training)
        return self.training if CONTEXT.training is None else CONTEXT.training

    def _build_once(self, inputs: Any) -> None:
        if self.built:
            return
        shapes = map_structure(lambda leaf: tuple(getattr(leaf, "shape", ())), inputs)
        with torch.inference_mode(False), self._all_or_nothing() as before:
            self._adopt_lists()
            known = list(self.children())
            self.build(list(shapes) if isinstance(shapes, tuple) and isinstance(inputs, tuple) else shapes)
            self._adopt_lists()
            self._take_in(known)
            self.built = True
            if self._initial_weights is not None:
                self.set_weights(self._initial_weights)
            self._load_pending(before)
        self._initial_weights = None

    def _adopt_lists(self) -> None:
        """Make lists and dicts of modules modules, as Keras does; torch would not find those inside."""
        for name, value in list(self.__dict__.items()):
            items = value.values() if isinstance(value, dict) else value
            if name == "_modules" or not isinstance(value, list | tuple | dict) or not value:
                continue
            if all(isinstance(item, torch.nn.Module) for item in items):
                kind: Any = torch.nn.ModuleDict if isinstance(value, dict) else torch.nn.ModuleList
                del self.__dict__[name]
                self._modules[name] = kind(value)

    def _read_input(self, value: Any) -> Any:
        """Return an input as the layer takes it: tensors, cast where the layer was given a dtype."""
        if isinstance(value, Tensor):
            return value.to(self._dtype) if self.autocast and value.is_floating_point() else value
        if isinstance(value, list | tuple) and any(
            isinstance(v, Tensor | np.ndarray) for v in flatten(value)
        ):
            return [self._read_input(item) for item in value]
        if isinstance(value, dict):
            return {key: self._read_input(item) for key, item in value.items()}
        if value is None or isinstance(value, bool | str):
            return value
        return as_tensor(value, self._probe.device, self._dtype)

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


def _distinct(inputs: list[KerasTensor]) -> Any:
    """Return a function that copies an output which is an input: each tensor comes from one node."""
    taken = {id(tensor) for tensor in inputs}

    def copy(leaf: Any) -> Any:
        return KerasTensor(leaf.shape, leaf.dtype, leaf.name) if id(leaf) in taken else leaf

    return copy

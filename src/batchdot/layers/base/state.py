"""The attributes of every layer, and default methods: the common base of all parts of `Layer`."""

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, overload

import torch
from torch import Tensor, nn

from batchdot._torch import is_tracing
from batchdot.layers.base.placeholder import WeightPlaceholder
from batchdot.layers.base.weight_info import WeightInfo
from batchdot.symbolic.tensor import Node

T = TypeVar("T")


class derived(Generic[T]):  # noqa: N801  # a decorator, as property
    """A property that is computed once, and again after an attribute of the layer was set.

    Unlike functools.cached_property it has no lock, which torch.compile could not trace.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute

    def __set_name__(self, owner: "type[LayerState]", name: str) -> None:
        self.name = name
        owner._derived = (*owner._derived, name)

    @overload
    def __get__(self, layer: None, owner: Any) -> "derived[T]": ...
    @overload
    def __get__(self, layer: "LayerState", owner: Any) -> T: ...
    def __get__(self, layer: Any, owner: Any) -> Any:
        if layer is None:
            return self
        value = self.compute(layer)
        if not is_tracing():  # a compiled call leaves the layer as it was
            layer.__dict__[self.name] = value
        return value


class LayerState(nn.Module):
    """The attributes of a layer, all set by `Layer.__init__`, and default methods for subclasses to override.

    Attributes:
        autocast: whether floating inputs are cast to the layer's dtype: one was given.
        activity_regularizer: a function of the output whose value joins `losses`, or None.
        batch_input_shape: the input shape from the config, or None.
        built: whether the weights exist.
        supports_masking: whether `compute_mask` computes a mask of the output.
        input_spec: requirements on the inputs; set and read by subclasses only.
        inbound_nodes: the symbolic calls of this layer.
        outbound_nodes: the symbolic calls on its outputs.
        _name: the name.
        _trainable: whether the weights are trained.
        _placement: an empty tensor that follows ``to`` and ``double``: device and dtype of weights to come.
        _given_dtype: the dtype at construction.
        _weight_infos: name, regularizer and constraint of each weight, in the order they were made.
        _pending_state: entries of a state_dict that was loaded before the weights existed.
        _initial_weights: the argument ``weights``, until the weights exist.
        _built_at_init: whether the layer has no weights, see `_build_at_init`. `built` becomes True with
            the first call or `build`, not at init.
        _call_params: the names of the parameters of `call`.
        _call_context_args: those of ``training`` and ``mask`` that a call must be given.
        _persistent_losses: losses added outside a call, each with the inputs it is conditional on, or None.
        _call_losses: losses of the latest call, likewise.
        _symbolic_losses: losses of symbolic calls, likewise.
        _updates: updates of symbolic calls, likewise.
        _declared: the placeholders of the weights that `declare_weight` named, until the weights exist.
        _declares_weights: whether `declare_weight` was called; torch.compile must not read the placeholders.
        _slow_path_triggers: containers, all empty while calls may take the fast path; see `call.py`. Set
            by a full call; until then, a tuple that is never empty.
    """

    autocast: bool
    activity_regularizer: Callable[[Tensor], Tensor] | None
    batch_input_shape: tuple[Any, ...] | None
    built: bool
    supports_masking: bool
    input_spec: Any
    inbound_nodes: list[Node]
    outbound_nodes: list[Node]

    _name: str
    _trainable: bool
    _placement: Tensor
    _given_dtype: torch.dtype
    _weight_infos: list[WeightInfo]
    _pending_state: dict[str, Tensor]
    _initial_weights: Any
    _built_at_init: bool
    _call_params: frozenset[str]
    _call_context_args: frozenset[str]
    _persistent_losses: list[tuple[Any, Any]]
    _call_losses: list[tuple[Any, Any]]
    _symbolic_losses: list[tuple[Any, Any]]
    _updates: list[tuple[Any, Any]]
    _declared: dict[str, WeightPlaceholder]
    _slow_path_triggers: tuple[Any, ...] = (True,)
    _declares_weights: bool = False

    _pure_call: ClassVar[bool] = False
    """Set in a class whose own `call` only computes a result: it adds no losses or updates and does not
    depend on the call around it. Calls may then take the fast path. Subclasses do not inherit it."""

    _resolves_training: ClassVar[bool] = False
    """Whether `call` itself resolves ``training=None``."""

    _derived: ClassVar[tuple[str, ...]] = ()
    """The names of the class's `derived` properties: deleted when an attribute is set, and in copies."""

    @property
    def name(self) -> str:
        """The name of the layer."""
        return str(self._name)

    @property
    def _dtype(self) -> torch.dtype:
        """The layer's dtype: the given one, or what ``double()`` and the like have made of it."""
        return self._placement.dtype

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape, a tuple, or these shapes, a list of tuples."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output from the inputs. Every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define `call`.")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the output: that of the input where the layer supports masking."""
        return mask if self.supports_masking else None

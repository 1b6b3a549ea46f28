"""Lazy building: the weights of a layer are made in its first call, as in torch's lazy modules.

Until then the layer has placeholders for the weights that it declares, and stores the device and dtype it was
moved to, and a state_dict that was loaded.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from batchdot._torch import compile_time_constant, is_tracing
from batchdot.layers.base.naming import unique_key
from batchdot.layers.base.placeholder import (
    UnknownParameters,
    empty,
    is_lazy,
    move,
    without_listing,
)
from batchdot.layers.base.weight_creation import WeightCreation
from batchdot.layers.base.weights import set_trainable
from batchdot.symbolic.shape_inference import as_input_shape


class LazyWeights(WeightCreation):
    """The part of `Layer` that builds it, and applies earlier moves and state to the new weights."""

    def _watch_parameters(self) -> None:
        """Let ``parameters()`` warn where `build` is a user's, whose weights the layer cannot know before."""
        if self._builds_weights_of_its_own():
            self._parameters = UnknownParameters(
                self._parameters,
                f"Layer {self.name!r} ({type(self).__name__}) makes its weights when it is built: they "
                "are not among these parameters: an optimizer made of them would not train them. Call the "
                "layer once first, or say in its `__init__` which weights `build` makes: "
                "self.declare_weight('kernel').",
            )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a layer that was copied or pickled."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if not self.built:
            self._watch_parameters()

    def _builds_weights_of_its_own(self) -> bool:
        return type(self).build.__module__.partition(".")[0] != __package__.partition(".")[0]

    def _build_once(self, inputs: Any) -> None:
        """Build the layer for these inputs, unless it is built; undo everything if that fails."""
        if self.built:
            return
        if self._built_at_init:
            if not is_tracing():  # a compiled call leaves the layer as it was
                self.built = True
            return
        if is_tracing():
            _prepare_building_in_python()
        # torch.compile is not to trace `build` where it makes weights. No tensor is looked at to tell.
        if self._declares_weights or self._modules or self._builds_weights_of_its_own():
            self._build_untraced(inputs)
        else:
            self._build_now(inputs)

    def _build_now(self, inputs: Any) -> None:
        with torch.inference_mode(False), without_listing(), self._rollback_on_error() as keys_before:
            given = self._take_given_weights()
            self._register_containers()
            children_before = list(self.children())
            listed = self._listed_parameters()
            self.build(as_input_shape(inputs))
            self._register_containers()
            self._sync_new_children(children_before)
            self.built = True
            if self._initial_weights is not None:
                self.set_weights(self._initial_weights)
            self._load_pending_state(keys_before)
            self._check_listed(listed)
            self._put_given_weights(given)
        self._initial_weights = None

    def _take_given_weights(self) -> dict[str, Any]:
        """Return the tensors that stand in for declared weights, and put the placeholders back.

        A parameter that was assigned before the first call is one, and what torch.func.functional_call has
        lent: it puts the placeholder back after the call, which must have become a weight by then.
        """
        own: dict[str, Any] = self._parameters
        given = {key: own[key] for key, placeholder in self._declared.items() if own[key] is not placeholder}
        own.update({key: self._declared[key] for key in given})
        return given

    def _put_given_weights(self, given: dict[str, Any]) -> None:
        own: dict[str, Any] = self._parameters
        for key, value in given.items():
            if value.shape != own[key].shape:
                raise ValueError(
                    f"Weight {key!r} of layer {self.name} was given as a tensor of shape "
                    f"{tuple(value.shape)}, and has to be of shape {tuple(own[key].shape)}."
                )
        own.update(given)
        self._declared = {}

    _build_untraced = _build_now

    def _listed_parameters(self) -> set[int] | None:
        """Return the ids of the parameters that were listed before the layer was built, if any were."""
        known = self._parameters
        if not isinstance(known, UnknownParameters):
            return None
        self._parameters = dict(known)
        if known.warns or not known.was_listed:
            return None
        with without_listing():
            return {id(parameter) for parameter in self.parameters()}

    def _check_listed(self, listed: set[int] | None) -> None:
        """Warn of trainable weights that ``parameters()`` did not give out; no weight is then untold.

        `declare_weight` silences the warning of `_watch_parameters`, but may not name all weights.
        """
        if listed is None:
            return
        with without_listing():
            named = list(self.named_parameters())
        missing = [name for name, weight in named if weight.requires_grad and id(weight) not in listed]
        if missing:
            warnings.warn(
                f"Layer {self.name!r} has made {', '.join(missing)} after its parameters() were listed: an "
                "optimizer made of that list does not train them. Make it after the first call, or declare "
                "the weights in `__init__`: self.declare_weight('kernel').",
                UserWarning,
                stacklevel=2,
            )

    def _register_containers(self) -> None:
        """Register lists and dicts of modules as modules, as Keras does; torch would not find those inside.

        A dict whose keys cannot be names of modules stays, and its modules are registered in addition.
        """
        for name, value in list(self.__dict__.items()):
            items = value.values() if isinstance(value, dict) else value
            if name == "_modules" or not isinstance(value, list | tuple | dict) or not value:
                continue
            if not all(isinstance(item, nn.Module) for item in items):
                continue
            if not isinstance(value, dict):
                del self.__dict__[name]
                self._modules[name] = nn.ModuleList(value)
                continue
            registered = self._modules.get(name)
            if isinstance(registered, nn.ModuleDict) and list(registered.values()) == list(value.values()):
                continue
            self._modules[name] = modules = _module_dict(value)
            if list(modules) == list(value):
                del self.__dict__[name]

    @contextmanager
    def _rollback_on_error(self) -> Iterator[set[str]]:
        """Undo what was built where building fails; yield the keys of the state before."""
        stores: list[dict[str, Any]] = [self._parameters, self._buffers, self._modules]
        before = [dict(store) for store in stores]
        infos, pending = list(self._weight_infos), dict(self._pending_state)
        declared = [(placeholder, placeholder.place) for placeholder in self._declared.values()]
        try:
            keys: set[str] = set()
            if pending:
                keys = {key for key, value in self.state_dict().items() if not is_lazy(value)} - set(pending)
            yield keys
        except BaseException:
            for placeholder, place in declared:
                if not is_lazy(placeholder):
                    empty(placeholder, place)
            for store, contents in zip(stores, before, strict=True):
                store.clear()
                store.update(contents)
            self._parameters = stores[0]
            self._weight_infos, self._pending_state, self.built = infos, pending, False
            raise

    def _sync_new_children(self, known: list[nn.Module]) -> None:
        """Apply the layer's device, dtype and `trainable` to the modules that `build` made."""
        dtype = None if self._dtype == self._given_dtype else self._dtype
        for module in self.children():
            if all(module is not other for other in known):
                module.to(device=self._placement.device, dtype=dtype)
                if not self._trainable:
                    set_trainable(module, False)

    def _load_pending_state(self, keys_before: set[str]) -> None:
        """Load the state_dict that was given before the weights existed.

        Raises:
            ValueError: it does not fit the weights made since the state had these keys.
        """
        if not self._pending_state:
            return
        given, self._pending_state = self._pending_state, {}
        own = self.state_dict()
        wrong = [
            f"{key} has shape {tuple(own[key].shape)}, not {tuple(value.shape)}"
            for key, value in given.items()
            if key in own and own[key].shape != value.shape
        ]
        wrong += [f"{key} is missing" for key in own if key not in given and key not in keys_before]
        if not wrong:
            wrong = [f"there is no {key}" for key in self.load_state_dict(given, strict=False)[1]]
        if wrong:
            raise ValueError(
                f"Layer {self.name} cannot take the state it was given before it was built: "
                f"{', '.join(wrong)}."
            )

    @contextmanager
    def _hidden_placeholders(self) -> Iterator[dict[str, nn.Parameter]]:
        """Hide the placeholders from torch's methods that work on values; yield them by their keys."""
        own: dict[str, Any] = self._parameters
        placeholders = {key: own[key] for key in own if own[key] is not None and is_lazy(own[key])}
        own.update(dict.fromkeys(placeholders))
        try:
            yield placeholders
        finally:
            own.update(placeholders)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._register_containers()
        with without_listing(), self._hidden_placeholders() as placeholders:
            result = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for placeholder in placeholders.values():
            old = placeholder.data
            move(placeholder, fn(torch.empty(0, dtype=old.dtype, device=old.device)))
        self._placement = fn(self._placement)
        self._pending_state = {key: fn(value) for key, value in self._pending_state.items()}
        return result

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, *lists: Any
    ) -> None:
        self._register_containers()
        if self.built:
            super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, *lists)
            return
        own: dict[str, Any] = self._parameters
        placeholders = {key for key in own if is_lazy(own[key])}
        known = {*self._parameters, *self._buffers, *self._modules} - placeholders
        for key in state_dict:
            rest = key.removeprefix(prefix)
            if key.startswith(prefix) and rest.split(".")[0] not in known and not is_lazy(state_dict[key]):
                self._pending_state[rest] = state_dict[key].detach().clone()
        if local_metadata.get("assign_to_params_buffers"):
            self._move_to_pending_state()
        missing = [prefix + key for key in placeholders if prefix + key not in state_dict] if strict else []
        lists[0].extend(missing)
        rest_of_state = {k: v for k, v in state_dict.items() if k.removeprefix(prefix) not in placeholders}
        with without_listing(), self._hidden_placeholders():
            super()._load_from_state_dict(rest_of_state, prefix, local_metadata, False, *lists)

    def _move_to_pending_state(self) -> None:
        """Have the weights made where the loaded ones are, as ``load_state_dict(assign=True)`` asks."""
        floating = [value for value in self._pending_state.values() if value.is_floating_point()]
        if floating:
            self._placement = floating[0].new_empty(0)
            for key, value in self._pending_state.items():
                if key in self._declared:
                    move(self._declared[key], value.new_empty(0))

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self._register_containers()
        quiet = without_listing() if self._pending_state else nullcontext()
        with quiet, self._hidden_placeholders() as placeholders:
            super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update({prefix + key: value for key, value in placeholders.items()})
        for key, value in self._pending_state.items():
            destination[prefix + key] = value

    def named_modules(self, *args: Any, **kwargs: Any) -> Any:
        """Return the modules inside, as torch does; also those in lists and dicts."""
        self._register_containers()
        return super().named_modules(*args, **kwargs)

    def named_children(self) -> Any:
        """Return the modules directly inside, as `named_modules` has them."""
        self._register_containers()
        return super().named_children()

    def _replicate_for_data_parallel(self) -> Any:
        """Return a shallow copy for another device, which calls its own modules and weights."""
        if not self.built and (self._parameters or self._builds_weights_of_its_own()):
            raise RuntimeError(
                f"Layer {self.name} has no weights yet to copy to other devices: call it once first."
            )
        replica = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        for name in ("_slow_path_triggers", *self._derived):
            replica.__dict__.pop(name, None)  # they speak of the original
        return replica


@compile_time_constant
def _prepare_building_in_python() -> bool:
    """Take building out of what torch.compile traces; only then, as the import takes a second."""
    if LazyWeights._build_untraced is LazyWeights._build_now:
        LazyWeights._build_untraced = torch.compiler.disable(  # type: ignore[no-untyped-call]
            LazyWeights._build_now
        )
    return True


def _module_dict(modules: dict[Any, nn.Module]) -> nn.ModuleDict:
    """Return modules under their keys, changed where torch does not take a key as a name."""
    result = nn.ModuleDict()
    for key, module in modules.items():
        result[unique_key(str(key) or "_", lambda name: hasattr(result, name))] = module
    return result

"""Lazy building: the weights of a layer are made in its first call, as in torch's lazy modules.

Until then the layer stores the device and dtype it was moved to, and a state_dict that was loaded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from batchdot._torch import is_tracing
from batchdot.layers.base.naming import unique_key
from batchdot.layers.base.weights import Weights, set_trainable
from batchdot.symbolic.shape_inference import as_input_shape


class LazyWeights(Weights):
    """The part of `Layer` that builds it, and applies earlier moves and state to the new weights."""

    def _build_once(self, inputs: Any) -> None:
        """Build the layer for these inputs, unless it is built; undo everything if that fails."""
        if self.built:
            return
        if self._built_at_init:
            if not is_tracing():  # a compiled call leaves the layer as it was
                self.built = True
            return
        with torch.inference_mode(False), self._rollback_on_error() as keys_before:
            self._register_containers()
            children_before = list(self.children())
            self.build(as_input_shape(inputs))
            self._register_containers()
            self._sync_new_children(children_before)
            self.built = True
            if self._initial_weights is not None:
                self.set_weights(self._initial_weights)
            self._load_pending_state(keys_before)
        self._initial_weights = None

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
        try:
            yield set(self.state_dict()) - set(pending)
        except BaseException:
            for store, contents in zip(stores, before, strict=True):
                store.clear()
                store.update(contents)
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

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        result = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._placement = fn(self._placement)
        self._pending_state = {key: fn(value) for key, value in self._pending_state.items()}
        return result

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, *lists: Any
    ) -> None:
        if not self.built:
            known = (*self._parameters, *self._buffers, *self._modules)
            for key in state_dict:
                rest = key.removeprefix(prefix)
                if key.startswith(prefix) and rest.split(".")[0] not in known:
                    self._pending_state[rest] = state_dict[key].detach().clone()
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict and self.built, *lists)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for key, value in self._pending_state.items():
            destination[prefix + key] = value


def _module_dict(modules: dict[Any, nn.Module]) -> nn.ModuleDict:
    """Return modules under their keys, changed where torch does not take a key as a name."""
    result = nn.ModuleDict()
    for key, module in modules.items():
        result[unique_key(str(key) or "_", lambda name: hasattr(result, name))] = module
    return result

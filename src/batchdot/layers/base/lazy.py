"""The members of a layer that speak of its being built.

Its weights come into being with the first call. Until then it does what torch's lazy modules do: it
remembers where it was moved to, keeps a state that was loaded, and gives that back when it is saved.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from batchdot.layers.base.weights import Weights, set_trainable
from batchdot.symbolic.tree import map_structure


class Building(Weights):
    """How a layer comes by its weights, and what was done to it before."""

    build: Callable[[Any], None]
    _initial_weights: Any

    def __init__(self, trainable: bool, dtype: torch.dtype) -> None:
        super().__init__(trainable, dtype)
        self._pending_state: dict[str, Tensor] = {}

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        result = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._placement = fn(self._placement)
        self._pending_state = {key: fn(value) for key, value in self._pending_state.items()}
        return result

    def _build_once(self, inputs: Any) -> None:
        if self.built:
            return
        shapes = map_structure(lambda leaf: tuple(getattr(leaf, "shape", ())), inputs)
        with torch.inference_mode(False), self._rollback_on_error() as before:
            self._register_containers()
            known = list(self.children())
            self.build(list(shapes) if isinstance(shapes, tuple) and isinstance(inputs, tuple) else shapes)
            self._register_containers()
            self._sync_new_children(known)
            self.built = True
            if self._initial_weights is not None:
                self.set_weights(self._initial_weights)
            self._load_pending_state(before)
        self._initial_weights = None

    def _register_containers(self) -> None:
        """Make lists and dicts of modules modules, as Keras does; torch would not find those inside."""
        for name, value in list(self.__dict__.items()):
            items = value.values() if isinstance(value, dict) else value
            if name == "_modules" or not isinstance(value, list | tuple | dict) or not value:
                continue
            if all(isinstance(item, nn.Module) for item in items):
                kind: Any = nn.ModuleDict if isinstance(value, dict) else nn.ModuleList
                del self.__dict__[name]
                self._modules[name] = kind(value)

    @contextmanager
    def _rollback_on_error(self) -> Iterator[set[str]]:
        """Undo what was built where building fails; give the keys of the state before."""
        stores: list[dict[str, Any]] = [self._parameters, self._buffers, self._modules]
        before = [dict(store) for store in stores]
        records, pending = list(self._weight_infos), dict(self._pending_state)
        try:
            yield set(self.state_dict()) - set(pending)
        except BaseException:
            for store, contents in zip(stores, before, strict=True):
                store.clear()
                store.update(contents)
            self._weight_infos, self._pending_state, self.built = records, pending, False
            raise

    def _sync_new_children(self, known: list[nn.Module]) -> None:
        """Do to the modules that `build` made what was done to the layer before: move them, freeze them."""
        kind = None if self._dtype == self._given_dtype else self._dtype
        for module in self.children():
            if all(module is not other for other in known):
                module.to(device=self._placement.device, dtype=kind)
                if not self._trainable:
                    set_trainable(module, False)

    def _load_pending_state(self, before: set[str]) -> None:
        """Load what `load_state_dict` brought before the layer knew its sizes.

        Raises:
            ValueError: it does not fit what has been built since the state had the keys ``before``.
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
        wrong += [f"{key} is missing" for key in own if key not in given and key not in before]
        if not wrong:
            wrong = [f"there is no {key}" for key in self.load_state_dict(given, strict=False)[1]]
        if wrong:
            raise ValueError(
                f"Layer {self.name} cannot take the state it was given before it was built: "
                f"{', '.join(wrong)}."
            )

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

"""The keys under which a layer stores its weights, in ``state_dict`` and as attributes.

A weight has the key of its name, until it is assigned to an attribute: then it has that of the attribute, as
in PyTorch.
"""

from typing import Any

from torch import Tensor

from batchdot.layers.base.naming import unique_key
from batchdot.layers.base.placeholder import WeightPlaceholder, fill
from batchdot.layers.base.state import LayerState
from batchdot.layers.base.weight_info import WeightInfo


class WeightKeys(LayerState):
    """The part of `Layer` that gives each weight its key."""

    def _stored(self, key: str) -> Tensor | None:
        """Return the parameter or buffer of a key; None if torch computes the weight from others now.

        `torch.nn.utils.parametrize`, ``prune``, ``weight_norm`` and ``spectral_norm`` do.
        """
        parameter = self._parameters.get(key)
        return self._buffers.get(key) if parameter is None else parameter

    def _key_of_new_weight(self, name: str) -> str:
        """Return the key for a weight: that of its placeholder, else one that is not taken."""
        return name if isinstance(self._parameters.get(name), WeightPlaceholder) else self._unique_key(name)

    def _unique_key(self, name: str) -> str:
        return unique_key(name.split(":")[0].replace("/", "_") or "weight", self._is_taken)

    def _is_taken(self, name: str) -> bool:
        """Whether the layer has an attribute of this name, which a weight may not replace."""
        stores = (self.__dict__, self._parameters, self._buffers, self._modules)
        return any(name in store for store in stores) or hasattr(type(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Move a weight that is assigned to an attribute to the key of that name."""
        infos: list[WeightInfo] = self.__dict__.get("_weight_infos", [])
        if infos and "." not in name:
            self._free_attribute(name, value)
            for info in infos:
                if isinstance(value, Tensor) and self._stored(info.key) is value:
                    if self._move_to_attribute(info, name, value):
                        return
                    break
        super().__setattr__(name, value)

    def _free_attribute(self, name: str, value: Any) -> None:
        """Give another key to a weight whose key is the name of an attribute about to be set.

        A tensor that is not a weight of this layer replaces the weight instead, as in PyTorch.
        """
        infos = [info for info in self._weight_infos if info.key == name and not info.is_attribute]
        for info in infos:
            weight = self._stored(name)
            mine = any(self._stored(other.key) is value for other in self._weight_infos)
            if weight is None or weight is value or (isinstance(value, Tensor) and not mine):
                continue
            info.key = self._unique_key(name)
            store: dict[str, Any] = self._parameters if name in self._parameters else self._buffers
            store[info.key] = store.pop(name)

    def _move_to_attribute(self, info: WeightInfo, name: str, value: Tensor) -> bool:
        """Give a weight the key ``name``, unless it is an attribute already. Return True if it is now set."""
        declared = self._parameters.get(name)
        if isinstance(declared, WeightPlaceholder) and info.key in self._parameters:
            del self._parameters[info.key]
            fill(declared, value.detach())
            info.key, info.is_attribute = name, True
            return True
        is_buffer = info.key in self._buffers
        if info.key != name and not info.is_attribute:
            self._parameters.pop(info.key, None)
            self._buffers.pop(info.key, None)
            info.key = name
        info.is_attribute = True
        if is_buffer:
            self.__dict__.pop(name, None)
            self._buffers[name] = value
        return is_buffer

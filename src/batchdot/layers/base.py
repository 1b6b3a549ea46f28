"""Layer: a torch.nn.Module with the manners of a Keras layer.

A layer keeps what the user said, its config, and asks the contraction for everything about shapes.
"""

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from batchdot.conversion import as_tensor
from batchdot.graph.tensor import is_keras_tensor
from batchdot.layers.naming import unique_name

if TYPE_CHECKING:
    from typing_extensions import Self


class Layer(nn.Module):
    """Base of all layers.

    Args:
        name: name of the layer; by default the class name in snake case, made unique.
        trainable: whether its weights, if it has any, are to be trained.
        dtype: a torch dtype or its name. Floating inputs are cast to it. By default torch tensors
            keep their dtype, and what is not a tensor becomes float32.
        autocast: False keeps tensors as they are although a dtype is given.

    Raises:
        TypeError: an argument of the wrong type, or one that no layer has.

    A subclass defines ``call``, ``compute_output_shape`` and ``get_config``:

    >>> class Double(Layer):
    ...     def call(self, inputs):
    ...         return 2 * inputs
    >>> Double()(torch.ones(2))
    tensor([2., 2.])
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: torch.dtype | str | None = None,
        autocast: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if kwargs:
            unknown = ", ".join(map(repr, kwargs))
            raise TypeError(f"{type(self).__name__} has no argument {unknown}.")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"Expected `name` argument to be a string, but got: {name!r}")
        if not isinstance(trainable, bool):
            raise TypeError(f"Expected `trainable` argument to be a boolean, but got: {trainable!r}")
        self._dtype = torch.float32 if dtype is None else _read_dtype(dtype)
        self.autocast = autocast and dtype is not None
        self._name = unique_name(type(self).__name__) if name is None else name
        self.trainable = trainable
        self.built = False

    @property
    def name(self) -> str:
        """The name of the layer."""
        return self._name

    @property
    def dtype(self) -> str:
        """The name of the layer's dtype."""
        return str(self._dtype).removeprefix("torch.")

    def build(self, input_shape: Any) -> None:
        """Check that the layer fits inputs of these shapes."""
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Compute the output from the inputs: what a subclass is about."""
        raise NotImplementedError(f"{type(self).__name__} does not define `call`.")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run `call`."""
        return self.call(*args, **kwargs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the output: none."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to make the layer again; it survives JSON.

        The dictionary and what it holds are copies.
        """
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype}
        # Every Keras config says float32. Only with this key does it stand for a dtype that was given.
        if self.autocast and self._dtype == torch.float32:
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
        if isinstance(dtype, dict):  # Keras 3 writes a policy
            dtype = config["dtype"] = dtype.get("config", {}).get("name")
        if dtype == "float32" and not config.get("autocast"):
            del config["dtype"]
        return cls(**config)

    def extra_repr(self) -> str:
        """Return what torch prints between the brackets: the config."""
        config = self.get_config()
        return ", ".join(
            f"{key}={value!r}" for key, value in config.items() if key not in ("trainable", "dtype")
        )

    def read(self, value: Any) -> Any:
        """Return an input as the layer takes it: a tensor, cast where the layer was given a dtype."""
        if not isinstance(value, Tensor):
            return value if is_keras_tensor(value) else as_tensor(value, float_dtype=self._dtype)
        if self.autocast and value.is_floating_point():
            return value.to(self._dtype)
        return value


def _read_dtype(dtype: torch.dtype | str) -> torch.dtype:
    found = dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype), None)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"Expected `dtype` argument to be a torch.dtype or its name, but got: {dtype!r}")
    return found

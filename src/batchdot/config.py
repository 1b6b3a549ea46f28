"""Global defaults: `floatx`, the float dtype, `epsilon`, Keras's fuzz factor, and `image_data_format`."""

import math
import warnings
from typing import Any

import torch

__all__ = [
    "epsilon",
    "float_dtype",
    "floatx",
    "image_data_format",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "weight_dtype",
]

_FLOATS = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
_settings: dict[str, float | str] = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
}


def floatx() -> str:
    """Return the name of the default dtype of layers, variables and constants.

    >>> floatx()
    'float32'

    Source: ``tf.keras.backend.floatx``.
    """
    return str(_settings["floatx"])


def float_dtype() -> torch.dtype:
    """Return `floatx` as torch's dtype.

    >>> float_dtype()
    torch.float32
    """
    return _FLOATS[floatx()]


def weight_dtype(policy: Any) -> Any:
    """Return the dtype of weights for a dtype policy of Keras: a config, a name, or an object that has one.

    The mixed policies have weights of float32. Their lower dtype of computation is not taken over, with a
    warning: in PyTorch a call chooses it, not a layer.

    >>> weight_dtype({"class_name": "DTypePolicy", "config": {"name": "float64"}})
    'float64'
    """
    if isinstance(policy, dict):
        policy = policy.get("config", {}).get("name")
    name = getattr(policy, "name", policy)
    if not isinstance(name, str) or not name.startswith("mixed_"):
        return name if type(policy).__name__.endswith("Policy") else policy
    lower = name.removeprefix("mixed_")
    warnings.warn(
        f"The policy {name!r} is read as float32. For its lower precision call the model under "
        f"`torch.autocast(device, torch.{lower})`.",
        UserWarning,
        stacklevel=3,
    )
    return None


def set_floatx(value: str) -> None:
    """Set `floatx` for objects that are created from now on.

    Raises:
        ValueError: not one of float16, bfloat16, float32 and float64.

    >>> set_floatx("int8")
    Traceback (most recent call last):
    ...
    ValueError: Unknown `floatx` value: 'int8'. Expected one of ['bfloat16', 'float16', 'float32', 'float64']

    Source: ``tf.keras.backend.set_floatx``.
    """
    if value not in _FLOATS:
        raise ValueError(f"Unknown `floatx` value: {value!r}. Expected one of {sorted(_FLOATS)}")
    _settings["floatx"] = value


def epsilon() -> float:
    """Return the fuzz factor that constraints add to a norm before they divide by it.

    The lower bound on the norm in a normalized dot product is an argument of `batch_dot` instead.

    >>> epsilon()
    1e-07

    Source: ``tf.keras.backend.epsilon``.
    """
    return float(_settings["epsilon"])


def set_epsilon(value: float) -> None:
    """Set `epsilon`.

    Raises:
        ValueError: not a positive finite number.

    >>> set_epsilon(-1)
    Traceback (most recent call last):
    ...
    ValueError: `epsilon` should be a positive finite number. Received: -1

    Source: ``tf.keras.backend.set_epsilon``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"`epsilon` should be a positive finite number. Received: {value!r}")
    _settings["epsilon"] = float(value)


def image_data_format() -> str:
    """Return where images have their channels by default: ``channels_last`` or ``channels_first``.

    >>> image_data_format()
    'channels_last'

    Source: ``tf.keras.backend.image_data_format``.
    """
    return str(_settings["image_data_format"])


def set_image_data_format(data_format: str) -> None:
    """Set `image_data_format`.

    Raises:
        ValueError: neither ``channels_last`` nor ``channels_first``.

    >>> set_image_data_format("channels")
    Traceback (most recent call last):
    ...
    ValueError: Unknown data_format: 'channels'. Expected one of ['channels_first', 'channels_last']

    Source: ``tf.keras.backend.set_image_data_format``.
    """
    expected = ["channels_first", "channels_last"]
    if data_format not in expected:
        raise ValueError(f"Unknown data_format: {data_format!r}. Expected one of {expected}")
    _settings["image_data_format"] = data_format


def __dir__() -> list[str]:
    return sorted(__all__)

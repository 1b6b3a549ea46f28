"""The keys of a model's layers in ``state_dict``, of this version and of 0.1.0."""

import warnings
from collections.abc import Sequence
from typing import Any

from batchdot.layers.base.layer import Layer
from batchdot.layers.base.naming import state_keys
from batchdot.layers.base.placeholder import without_listing


def register_layers(model: Layer, layers: Sequence[Any]) -> list[str]:
    """Register layers as submodules of a model, and return their keys, in the order of the layers.

    The keys are those of `state_keys`. None is the name of an attribute of the model: torch finds submodules
    by ``getattr`` as well (``torch.func.functional_call``, ``torch.export``,
    ``get_submodule``). A layer that is a submodule already keeps its key.

    >>> from batchdot.layers import Activation
    >>> model = Layer()
    >>> register_layers(model, [Activation("relu", name=name) for name in ("a.b", "a_b", "forward", None)])
    ['a_b_1', 'a_b', 'forward_1', 'activation']
    """
    keys: dict[Any, str] = {module: key for key, module in model._modules.items() if module is not None}
    new = [layer for layer in dict.fromkeys(layers) if layer not in keys]
    keys |= zip(new, state_keys([layer._name for layer in new], model._is_taken), strict=True)
    for layer in dict.fromkeys(layers):  # torch prints and iterates in this order
        model._modules.pop(keys[layer], None)
        model._modules[keys[layer]] = layer
    return [keys[layer] for layer in layers]


def rename_saved_keys(
    model: Layer, keys: Sequence[str], state: dict[str, Any], prefix: str, has_version: bool
) -> None:
    """Rename, in a state that is about to be loaded, layers with the names that version 0.1.0 gave them.

    These depended on what was built before, so the order of the layers decides, and a warning says how. A
    state whose keys fit stays as it is, and so does one that takes more than new names.

    Args:
        model: the model that the state is loaded into.
        keys: the keys of its layers, in order.
        state: the state of a model that holds this one, changed in place.
        prefix: of this model in it.
        has_version: whether torch kept the version with the state. If not, keys that fit stay.
    """
    modules = {key: module for key in keys if (module := model._modules.get(key)) is not None}
    with without_listing():
        own = {key: set(module.state_dict()) for key, module in modules.items()}
    own = {key: inner for key, inner in own.items() if inner or not getattr(modules[key], "built", True)}
    given: dict[str, list[str]] = {}
    for saved in state:
        first, dot, rest = saved.removeprefix(prefix).partition(".")
        if saved.startswith(prefix) and dot and (first in own or first not in model._modules):
            given.setdefault(first, []).append(rest)
    pairs = list(zip(given, own, strict=False))
    fits = list(given) == list(own) or (not has_version and set(given) <= set(own))
    if fits or len(given) != len(own) or any(own[new] and own[new] != set(given[old]) for old, new in pairs):
        return
    values = {old: {rest: state.pop(f"{prefix}{old}.{rest}") for rest in given[old]} for old in given}
    for old, new in pairs:
        state.update({f"{prefix}{new}.{rest}": value for rest, value in values[old].items()})
    if renamed := ", ".join(f"{old} as {new}" for old, new in pairs if old != new):
        warnings.warn(
            f"This state of model {model.name} has the keys of batchdot 0.1.0, numbered by what was built "
            f"before. It is loaded by the order of the layers: {renamed}. Save it again to have the keys of "
            "today.",
            UserWarning,
            stacklevel=3,
        )

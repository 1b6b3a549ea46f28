"""Placeholders of weights that a layer makes when it is built, as torch's lazy modules have them.

An optimizer that was given a placeholder trains the weight: `fill` turns the same object into it.
"""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter, is_lazy

from batchdot._torch import is_lowering


class WeightPlaceholder(UninitializedParameter):
    """A parameter without a shape, which the first call of its layer turns into a weight.

    It has a dtype, a device and ``requires_grad``. Optimizers, ``to``, ``state_dict``, copies and pickle take
    it; what needs the values raises an error that says to call the layer once first.
    """

    place: str = "of a layer"
    """The weight and its layer, for errors."""

    def __new__(
        cls,
        requires_grad: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        place: str = "of a layer",
    ) -> "WeightPlaceholder":
        """Return a placeholder for the weight that ``place`` names."""
        made: Any = super().__new__(cls, requires_grad, device, dtype)
        made.place = place
        return made  # type: ignore[no-any-return]

    def requires_grad_(self, requires_grad: bool = True) -> "WeightPlaceholder":
        """Set whether the weight will be trained."""
        self.requires_grad = requires_grad
        return self

    @property
    def shape(self) -> Any:  # type: ignore[override]
        """A placeholder has no shape.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(self._needs_call())

    @property
    def ndim(self) -> int:  # type: ignore[override]
        """A placeholder has no rank; torch's would say 1, and rules for biases would take kernels.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(self._needs_call())

    def size(self, *dim: Any) -> Any:
        """A placeholder has no sizes.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(self._needs_call())

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse what needs values."""
        try:
            return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        except ValueError as error:
            leaves = [leaf for arg in args for leaf in (arg if isinstance(arg, list | tuple) else (arg,))]
            place = next((leaf for leaf in leaves if isinstance(leaf, cls)), None)
            if place is None:
                raise
            raise ValueError(place._needs_call()) from error

    def _needs_call(self) -> str:
        return f"The weight {self.place} does not exist yet: call it once first."

    def __deepcopy__(self, memo: dict[int, Any]) -> "WeightPlaceholder":
        if id(self) not in memo:
            memo[id(self)] = WeightPlaceholder(*self._arguments())
        return memo[id(self)]  # type: ignore[no-any-return]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return WeightPlaceholder, self._arguments()

    def _arguments(self) -> tuple[bool, torch.device, torch.dtype, str]:
        return self.requires_grad, self.data.device, self.data.dtype, self.place


# So that `torch.load` reads the state of a model that was saved before its first call.
torch.serialization.add_safe_globals([WeightPlaceholder])


def move(placeholder: Any, like: Tensor) -> None:
    """Give a placeholder the device and dtype of a tensor; it stays the same object."""
    try:
        placeholder.data = like
    except RuntimeError:  # to or from the meta device
        fresh = type(placeholder)(placeholder.requires_grad, device=like.device, dtype=like.dtype)
        fresh.__dict__.update(placeholder.__dict__)
        torch.utils.swap_tensors(placeholder, fresh)  # type: ignore[no-untyped-call]


def fill(placeholder: Tensor, value: Tensor) -> nn.Parameter:
    """Turn a placeholder into a parameter of this value, as the same object."""
    if placeholder.device == value.device:
        placeholder.data = value
        placeholder.__class__ = nn.Parameter
    else:  # made by a call whose shape is inferred, on the meta device
        parameter = nn.Parameter(value, requires_grad=placeholder.requires_grad)
        torch.utils.swap_tensors(placeholder, parameter)  # type: ignore[no-untyped-call]
    assert isinstance(placeholder, nn.Parameter)
    return placeholder


def empty(parameter: Any, place: str) -> None:
    """Turn a parameter back into a placeholder."""
    parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)
    parameter.__class__ = WeightPlaceholder
    parameter.place = place


class _Internal(threading.local):
    active = False


_INTERNAL = _Internal()


@contextmanager
def without_listing() -> Iterator[None]:
    """Let this library and torch read the parameters of layers without giving them to the user."""
    before, _INTERNAL.active = _INTERNAL.active, True
    try:
        yield
    finally:
        _INTERNAL.active = before


class UnknownParameters(dict[str, Any]):
    """The parameters of a layer that cannot know them before it is built: listing them warns, once.

    A copy of it is a plain dict, which an unbuilt layer that is copied replaces.

    Args:
        parameters: those that are there.
        text: the warning.
    """

    def __init__(self, parameters: dict[str, Any], text: str) -> None:
        super().__init__(parameters)
        self.text = text
        self.warns = not parameters
        self.was_listed = False

    def items(self) -> Any:
        """Return the parameters that are there, for `nn.Module.parameters`, which reads them by this."""
        if not _INTERNAL.active and not is_lowering():
            if self.warns and not self.was_listed:
                warnings.warn(self.text, UserWarning, stacklevel=2)
            self.was_listed = True
        return super().items()

    def __setitem__(self, key: str, value: Any) -> None:
        """Take a weight; of more that `build` makes, the first call will tell."""
        self.warns = False
        super().__setitem__(key, value)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return dict, (dict(self),)


__all__ = ["UnknownParameters", "WeightPlaceholder", "empty", "fill", "is_lazy", "move", "without_listing"]

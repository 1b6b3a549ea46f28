"""`MetaMode`: torch functions on meta tensors beside real ones, for shape inference.

A meta tensor has a shape, a dtype and no values. torch refuses to mix it with real tensors, such as weights
and constants that a function closes over. While this mode is active, a function that is given a meta tensor
gets its real tensors as meta tensors too; nobody's weights are replaced. Functions of real tensors alone
compute real values, so a constant may be read. What would change something outside does not run on it: random
functions make meta tensors, and a function in place leaves its tensor as it was.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from batchdot.symbolic.call_context import CONTEXT
from batchdot.symbolic.tree import flatten, map_structure

META = torch.device("meta")

_READS = {
    *("item", "tolist", "numpy", "__array__", "__dlpack__", "equal", "allclose", "is_nonzero"),
    *("__bool__", "__int__", "__float__", "__complex__", "__index__", "__contains__"),
}
"""Functions that return values of a tensor to Python."""

_MAKERS = {
    *("zeros", "ones", "empty", "full", "arange", "range", "linspace", "logspace", "eye"),
    *("rand", "randn", "randint", "randperm", "normal", "tril_indices", "triu_indices"),
    *("empty_strided", "empty_permuted", "bartlett_window", "blackman_window", "hamming_window"),
    *("hann_window", "kaiser_window"),
}
"""Functions that make a tensor of sizes alone. Those that make one of data, as torch.tensor, stay real."""

_IN_PLACE = {
    *("__setitem__", "__set__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__idiv__"),
    *("__ifloordiv__", "__imod__", "__ipow__", "__iand__", "__ior__", "__ixor__", "__ilshift__"),
    "__irshift__",
}
"""Functions in place whose names do not end with an underscore."""

_SHARING = {"from_numpy", "as_tensor", "asarray", "frombuffer", "from_dlpack"}
"""Functions of data whose result may share its memory."""

_AUTOCAST_DEVICES = ("cpu", "cuda")

_RANDOM: dict[str, bool] = {}
"""What `_is_random` has found. torch.compile, which runs this mode too, warns of functools.lru_cache."""

_MOVES = {"cpu", "cuda", "xpu", "pin_memory"}
_INDEXED = {"__getitem__", "__setitem__"}


class ValuesNeededError(RuntimeError):
    """A function needs values, and a meta tensor has none."""


class MetaMode(TorchFunctionMode):
    """Run torch functions on meta tensors beside real ones.

    Args:
        sample: whether the run is one on real tensors, so that new tensors are real as well.

    Attributes:
        unknown: tensors whose values a function in place would have changed, by the address of their storage.
        own: tensors made in this run, likewise: a function in place may change these.
        saw_autocast: whether a function ran under autocast, which has no effect on meta tensors.
        needed_values: the function that needed values, if one did. The code around it may have caught the
            error and gone on, where on real tensors it would not have.
    """

    def __init__(self, sample: bool = False) -> None:
        super().__init__()
        self.sample = sample
        # The tensors are kept, or others would get their addresses.
        self.unknown: dict[int, Tensor] = {}
        self.own: dict[int, Tensor] = {}
        self.saw_autocast = False
        self.needed_values: str | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run a torch function, on meta tensors if it is given one."""
        kwargs = kwargs or {}
        name: str = getattr(func, "__name__", "")
        if not CONTEXT.in_shape_inference or name == "__get__":
            return func(*args, **kwargs)
        tensors = _tensors([args, kwargs])
        in_place = _is_in_place(name, kwargs)
        if self._has_values(name, tensors) and not (in_place and not self._may_change(tensors)):
            result = func(*args, **kwargs)
            if name not in _SHARING:
                self._note_new(_tensors(result), tensors)
            return result
        if name in _READS:
            self.needed_values = name
            raise ValuesNeededError(name)
        if in_place:
            self._note_changed(
                _tensors(kwargs["out"] if kwargs.get("out") is not None else [*args, *tensors][0])
            )
        return self._run_on_meta(func, name, args, kwargs)

    def _run_on_meta(self, func: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
        if name in _MOVES:
            return _to_meta(args[0])
        self.saw_autocast |= any(map(torch.is_autocast_enabled, _AUTOCAST_DEVICES))
        args, kwargs = _meta_arguments(name, args, kwargs)
        try:
            return func(*args, **kwargs)
        except (RuntimeError, TypeError) as error:  # NotImplementedError is a RuntimeError
            if "meta" in str(error).lower():
                self.needed_values = name
                raise ValuesNeededError(name) from error
            raise

    def _has_values(self, name: str, tensors: list[Tensor]) -> bool:
        """Whether a function can be computed, and has the same value each time."""
        if _is_random(name) or (name in _MAKERS and not tensors and not self.sample):
            return False
        return not any(tensor.is_meta or _address(tensor) in self.unknown for tensor in tensors)

    def _may_change(self, tensors: list[Tensor]) -> bool:
        return all(_address(tensor) in self.own for tensor in tensors[:1])

    def _note_new(self, results: list[Tensor], arguments: list[Tensor]) -> None:
        known = {_address(tensor) for tensor in arguments}
        self.own.update({_address(tensor): tensor for tensor in results if _address(tensor) not in known})

    def _note_changed(self, targets: list[Tensor]) -> None:
        self.unknown.update({_address(tensor): tensor for tensor in targets if not tensor.is_meta})


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in flatten(value) if isinstance(leaf, Tensor)]


def _meta_arguments(name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments of a function with every tensor and device on meta."""
    if name in _INDEXED:  # an index may be real; a mask that is has a known number of True
        return (_to_meta(args[0]), args[1], *map(_to_meta, args[2:])), kwargs
    args, kwargs = map_structure(_to_meta, args), map_structure(_to_meta, kwargs)
    if name == "to":
        args = (args[0], *[arg for arg in args[1:] if not _is_device(arg)])
        kwargs = {key: value for key, value in kwargs.items() if key != "device"}
    elif name in _MAKERS or "device" in kwargs:
        kwargs = kwargs | {"device": META}
    if "generator" in kwargs:
        kwargs = kwargs | {"generator": None}
    return args, kwargs


def _to_meta(leaf: Any) -> Any:
    return leaf.to(META) if isinstance(leaf, Tensor) and not leaf.is_meta else leaf


def _is_device(value: Any) -> bool:
    return isinstance(value, str | torch.device) or value.__class__ is int


def _is_in_place(name: str, kwargs: dict[str, Any]) -> bool:
    if name in _IN_PLACE or kwargs.get("out") is not None or kwargs.get("inplace"):
        return True
    return name.endswith("_") and not name.endswith("__")


def _is_random(name: str) -> bool:
    """Whether a function draws random numbers: its operator of this name is tagged so."""
    found = _RANDOM.get(name)
    if found is None:
        found = _RANDOM[name] = _draws_random_numbers(name)
    return found


def _draws_random_numbers(name: str) -> bool:
    packet: Any = getattr(torch.ops.aten, name, None) if name else None
    overloads = packet.overloads() if hasattr(packet, "overloads") else ()
    return any(torch.Tag.nondeterministic_seeded in getattr(packet, each).tags for each in overloads)


def _address(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, ValueError):  # a layout without storage, or a parameter that has none yet
        return id(tensor)

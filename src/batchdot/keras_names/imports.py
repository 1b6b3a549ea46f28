"""Import statements for names of Keras that are not here, such as ``from batchdot.layers import LSTM``."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from batchdot.keras_names.earlier import PLACES
from batchdot.keras_names.lookup import all_answers, find, find_member, module_attribute, modules_not_here


class StandIn(ModuleType):
    """A module of Keras that is not here: its attributes are those of another module, or their answers."""

    def __getattr__(self, name: str) -> object:
        """Return what Keras's name means here.

        Raises:
            AttributeError: nothing; it says what to write instead.
        """
        place = _place(self.__name__)
        if place in PLACES and not name.startswith("_"):
            return getattr(import_module(f"batchdot.{PLACES[place]}".rstrip(".")), name)
        return module_attribute(self.__name__, name)

    def __dir__(self) -> list[str]:
        """Return the public names that are there."""
        return [name for name in vars(self)["__all__"] if hasattr(self, name)]

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: Keras 1 had a function ``layers.merge``, and Keras 2 a module.

        Raises:
            TypeError: always.
        """
        raise TypeError(str(find(_place(self.__name__)) or f"module {self.__name__!r} is not callable"))


class KerasImports(MetaPathFinder, Loader):
    """Finder that gives modules of Keras a `StandIn`, and raises the answers to other names of Keras.

    Python asks it last, for a module that no other finder has found. It is needed because Python replaces
    the AttributeError that a module raises during ``from ... import`` by one that has only the name.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a `StandIn`; None for a name that is not Keras's.

        Raises:
            ImportError: the name is Keras's and no module; it says what to write instead.
        """
        if not fullname.startswith("batchdot."):
            return None
        name = _place(fullname)
        if name in PLACES or name in modules_not_here():
            return ModuleSpec(fullname, self, is_package=True)
        place, _, last = name.rpartition(".")
        answer = find_member(PLACES.get(place, place), last)
        if answer is not None:
            raise ImportError(str(answer), name=fullname)
        return None

    def create_module(self, spec: ModuleSpec) -> StandIn:
        """Return an empty module."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Set the docstring, and the names of ``import *``, the first of which raises its answer."""
        place = _place(module.__name__)
        if place in PLACES:
            original = import_module(f"batchdot.{PLACES[place]}".rstrip("."))
            module.__doc__ = f"Keras's earlier name of {original.__name__}."
            module.__dict__["__all__"] = list(original.__all__)
        else:
            names = [name.split(".") for name in all_answers() if name.startswith(f"{place}.")]
            module.__doc__ = str(find(place))
            module.__dict__["__all__"] = sorted({parts[place.count(".") + 1] for parts in names})

    @classmethod
    def install(cls) -> None:
        """Let Python ask, once."""
        if not any(type(finder).__name__ == cls.__name__ for finder in sys.meta_path):
            sys.meta_path.append(cls())


def _place(module: str) -> str:
    """Return the name of a module within the package: Keras's name of it.

    >>> _place("batchdot.layers.merge")
    'layers.merge'
    """
    return module.partition(".")[2]

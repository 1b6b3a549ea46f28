"""Find the answer to a name, and raise it where Python looks names up."""

import sys
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from importlib.abc import MetaPathFinder

from batchdot.keras_names.answer import Answer


@cache
def all_answers() -> dict[str, Answer]:
    """Return all answers by their names."""
    from batchdot.keras_names.backend import BACKEND
    from batchdot.keras_names.layers import LAYERS
    from batchdot.keras_names.models import MODELS
    from batchdot.keras_names.modules import MODULES
    from batchdot.keras_names.training import TRAINING

    return {answer.name: answer for answer in (*LAYERS, *BACKEND, *MODELS, *TRAINING, *MODULES)}


def find(name: str) -> Answer | None:
    """Return the answer to a name with its place, or None.

    >>> find("layers.LSTM").why
    'PyTorch has the module'
    """
    return None if name.rpartition(".")[2].startswith("_") else all_answers().get(name)


def attribute_error(module: str, name: str) -> AttributeError:
    """Return the error for a name that a module of batchdot does not have.

    >>> attribute_error("batchdot.layers", "Lstm")
    AttributeError("module 'batchdot.layers' has no attribute 'Lstm'")
    """
    place = module.removeprefix("batchdot").removeprefix(".")
    answer = find(f"{place}.{name}".removeprefix("."))
    if answer is None and not name.startswith("_"):
        answer = find(place)  # of `ops`, which is another package here
    text = f"module {module!r} has no attribute {name!r}" if answer is None else str(answer)
    return AttributeError(text, name=name)


def check_compile_arguments(args: Collection[object], kwargs: Iterable[str]) -> None:
    """Refuse arguments of Keras's ``Model.compile``, which torch.compile does not take.

    Raises:
        TypeError: there is one.

    >>> check_compile_arguments((), {"fullgraph": True})
    """
    from batchdot.keras_names.models import COMPILE, COMPILE_ARGUMENTS

    if args or not COMPILE_ARGUMENTS.isdisjoint(kwargs):  # torch.compile takes keywords only
        raise TypeError(str(COMPILE))


class KerasImports(MetaPathFinder):
    """Answers ``from batchdot.layers import LSTM`` and ``import batchdot.optimizers``.

    Python asks it last, for a module that no other finder has found. Of an AttributeError that a module
    raises during ``from ... import``, Python shows no more than the name.
    """

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> None:
        """Raise the answer to a name of Keras.

        Raises:
            ImportError: there is one.
        """
        if fullname.startswith("batchdot."):
            answer = find(fullname.removeprefix("batchdot."))
            if answer is not None:
                raise ImportError(str(answer), name=fullname)

    @classmethod
    def install(cls) -> None:
        """Let Python ask, once."""
        if not any(type(finder).__name__ == cls.__name__ for finder in sys.meta_path):
            sys.meta_path.append(cls())

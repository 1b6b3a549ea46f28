"""Find the answer to a name, and the errors that say it."""

from collections.abc import Collection, Iterable
from functools import cache
from importlib import import_module

from batchdot.keras_names.answer import Answer


@cache
def all_answers() -> dict[str, Answer]:
    """Return all answers by their names."""
    from batchdot.keras_names.backend import BACKEND
    from batchdot.keras_names.earlier import EARLIER
    from batchdot.keras_names.layers import LAYERS
    from batchdot.keras_names.models import MODELS
    from batchdot.keras_names.modules import MODULES
    from batchdot.keras_names.training import TRAINING

    return {answer.name: answer for answer in (*EARLIER, *LAYERS, *BACKEND, *MODELS, *TRAINING, *MODULES)}


def find(name: str) -> Answer | None:
    """Return the answer to a name with its place, or None.

    >>> find("layers.LSTM").why
    'PyTorch has the module'
    """
    return None if name.rpartition(".")[2].startswith("_") else all_answers().get(name)


def find_member(place: str, name: str) -> Answer | None:
    """Return the answer to a name in a module of Keras, or else to that module, or None.

    >>> find_member("utils", "to_categorical").instead
    'Write `numpy.eye(num_classes)[y]`.'
    >>> find_member("ops", "sum").name
    'ops'
    """
    if name.startswith("_"):
        return None
    return find(f"{place}.{name}".removeprefix(".")) or find(place)


@cache
def modules_not_here() -> frozenset[str]:
    """Return the modules of Keras that are not here and whose members have answers.

    >>> sorted(modules_not_here())[:3]
    ['applications', 'callbacks', 'datasets']
    """
    return frozenset(all_answers()).intersection(name.rpartition(".")[0] for name in all_answers())


def module_attribute(module: str, name: str) -> object:
    """Return the stand-in for a module of Keras, as an attribute of a module of batchdot (PEP 562).

    Raises:
        AttributeError: there is none; it says what to write instead.

    >>> module_attribute("batchdot.layers", "Lstm")
    Traceback (most recent call last):
    ...
    AttributeError: module 'batchdot.layers' has no attribute 'Lstm'
    """
    from batchdot.keras_names.earlier import PLACES

    place = module.removeprefix("batchdot").removeprefix(".")
    wanted = f"{place}.{name}".removeprefix(".")
    if wanted in PLACES or wanted in modules_not_here():
        return import_module(f"batchdot.{wanted}")
    answer = find_member(place, name)
    text = f"module {module!r} has no attribute {name!r}" if answer is None else str(answer)
    raise AttributeError(text, name=name)


def check_compile_arguments(args: Collection[object], kwargs: Iterable[str]) -> None:
    """Refuse arguments of Keras's ``Model.compile``, which torch.compile does not take.

    Raises:
        TypeError: there is one.

    >>> check_compile_arguments((), {"fullgraph": True})
    """
    from batchdot.keras_names.models import COMPILE, COMPILE_ARGUMENTS

    if args or not COMPILE_ARGUMENTS.isdisjoint(kwargs):  # torch.compile takes keywords only
        raise TypeError(str(COMPILE))

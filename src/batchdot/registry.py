"""Registry: objects of one kind by name, alias or config, and their configs.

Initializers, regularizers, constraints, activations and layers are each a registry of their own. A config
is read in every form that Keras has written: ``{"class_name": ..., "config": ...}``, the same with
``module`` and ``registered_name``, a plain name. Nothing is imported because a config says so.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])

_custom_objects: ContextVar[Mapping[str, Any]] = ContextVar("custom_objects")


@contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any]) -> Iterator[None]:
    """Let every registry find these by their names too, before its own, while the context lasts.

    >>> with custom_object_scope({"double": lambda x: 2 * x}):
    ...     double = Registry("activation", "keras.activations").get("double")
    >>> double(4)
    8

    Source: ``tf.keras.utils.custom_object_scope``.
    """
    token = _custom_objects.set({**_custom_objects.get({}), **custom_objects})
    try:
        yield
    finally:
        _custom_objects.reset(token)


class Configurable:
    """An object whose config is the arguments it was made with, kept under their own names."""

    _arguments: ClassVar[tuple[str, ...]] = ()

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs to make the object again."""
        return {name: getattr(self, name) for name in self._arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Self":
        """Make the object from what `get_config` returned, here or in Keras."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._arguments)
        return f"{type(self).__name__}({arguments})"


class Registry(Generic[T]):
    """The objects of one kind: classes, whose instances are made by name, and functions.

    Args:
        kind: what one of them is called in a message.
        module: the Keras module that configs name.

    >>> colors = Registry[Any]("color", "keras.colors")
    >>> @colors.register("azure")
    ... class DarkBlue(Configurable):
    ...     def __call__(self): ...
    >>> [colors.get(name) for name in ("DarkBlue", "dark_blue", "azure", DarkBlue)]
    [DarkBlue(), DarkBlue(), DarkBlue(), DarkBlue()]
    >>> colors.serialize(DarkBlue())
    {'module': 'keras.colors', 'class_name': 'DarkBlue', 'config': {}, 'registered_name': None}
    >>> colors.get("dark_blu")
    Traceback (most recent call last):
    ...
    ValueError: Unknown color 'dark_blu', did you mean 'dark_blue'? Known are: DarkBlue.
    """

    def __init__(self, kind: str, module: str) -> None:
        self.kind = kind
        self.module = module
        self._entries: dict[str, Any] = {}
        self._names: list[str] = []

    def register(self, *aliases: str) -> Callable[[C], C]:
        """Return a decorator that adds a class or function: by name, by snake case name, by aliases."""

        def add(entry: C) -> C:
            name = entry.__name__
            self._names.append(name)
            for alias in (name, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(), *aliases):
                self._entries[alias] = entry
            return entry

        return add

    def add(self, name: str, entry: T) -> None:
        """Add something that is returned as it is."""
        self._names.append(name)
        self._entries[name] = entry

    def items(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the names and aliases, and what they stand for."""
        return iter(self._entries.items())

    def get_class(self, name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """Return the class or function of a name: of ``custom_objects``, of the scope, of this registry.

        A name that Keras registered for a package, ``"package>Name"``, is also found as ``"Name"``; one
        that tf.keras 1.x wrote, ``"NameV2"``, also as ``"Name"``.

        Raises:
            ValueError: there is none.
        """
        places = (custom_objects or {}, _custom_objects.get({}), self._entries)
        for candidate in (name, name.rpartition(">")[2], name.removesuffix("V2")):
            for place in places:
                if candidate in place:
                    return place[candidate]
        close = get_close_matches(name, [known for place in places for known in place], n=1)
        hint = f", did you mean {close[0]!r}?" if close else "."
        raise ValueError(f"Unknown {self.kind} {name!r}{hint} Known are: {', '.join(sorted(self._names))}.")

    def get(self, identifier: Any, custom_objects: Mapping[str, Any] | None = None) -> T | None:
        """Return the object that an identifier means.

        Args:
            identifier: None, for which None is returned; a name or a config, as in `deserialize`; a
                class, of which an instance is made; anything callable, which is returned as it is.
            custom_objects: more names, which go before the registered ones.

        Raises:
            ValueError: an unknown name, a malformed config, or something else altogether.
            TypeError: a config whose arguments do not fit.
        """
        if identifier is None or isinstance(identifier, str | dict):
            return self.deserialize(identifier, custom_objects)
        if isinstance(identifier, type):
            identifier = identifier()
        if not callable(identifier):
            raise ValueError(
                f"Could not interpret {self.kind} identifier: {identifier!r}. "
                "Expected a name, a config, a class or a callable."
            )
        return identifier  # type: ignore[no-any-return]

    def deserialize(self, config: Any, custom_objects: Mapping[str, Any] | None = None) -> T | None:
        """Return the object that a config describes, in any form that Keras has written.

        Args:
            config: None, for which None is returned; a name; or a dictionary of ``class_name`` and
                ``config``. ``module`` is not read.
            custom_objects: more names, which go before the registered ones, inside the config too.

        Raises:
            ValueError: an unknown name or a malformed config.
            TypeError: arguments that do not fit.
        """
        if config is None:
            return None
        name, arguments = (config, {}) if isinstance(config, str) else self._read(config)
        entry = self.get_class(name, custom_objects)
        if not isinstance(entry, type):
            if arguments:
                raise ValueError(f"The {self.kind} {name!r} takes no config. Received: {arguments!r}")
            return entry  # type: ignore[no-any-return]
        with custom_object_scope(custom_objects or {}):
            try:
                make = getattr(entry, "from_config", None)
                return make(dict(arguments)) if make else entry(**arguments)  # type: ignore[no-any-return]
            except TypeError as error:
                if str(error).startswith("Cannot make the "):
                    raise  # of an object inside, which says enough
                raise TypeError(f"Cannot make the {self.kind} {name!r} of {arguments!r}: {error}") from error

    def serialize(self, entry: Any) -> Any:
        """Return the config of an object, in the form that tf_keras 2.21 writes and reads.

        Returns:
            None for None; the name of a registered function; otherwise a dictionary. A function that is
            not registered is written by its ``__name__``, and a class by its, to be read back with
            ``custom_objects``; a function that shares a registered name, by its module and name.

        Raises:
            TypeError: the object has neither a ``__name__`` nor a ``get_config``.
        """
        if entry is None:
            return None
        name = getattr(entry, "__name__", None)
        if name is not None:
            known = self._entries.get(name)
            if known is entry:
                return name
            config = name if known is None else f"{entry.__module__}.{name}"
            return _config("builtins", "function", config, "function")
        if not hasattr(entry, "get_config"):
            raise TypeError(f"The {self.kind} {entry!r} cannot be written as a config: it has no get_config.")
        cls, config = type(entry), entry.get_config()
        if self._entries.get(cls.__name__) is cls:
            return _config(self.module, cls.__name__, config, None)
        module = None if cls.__module__ == "__main__" else cls.__module__
        return _config(module, cls.__name__, config, cls.__name__)

    def _read(self, config: Any) -> tuple[str, dict[str, Any]]:
        """Return the name and the arguments that a dictionary holds."""
        if isinstance(config, dict):
            name, arguments = config.get("class_name"), config.get("config") or {}
            if name == "function":  # a function is its name, and has no arguments
                name, arguments = arguments, {}
            elif isinstance(config.get("registered_name"), str):
                name = config["registered_name"]
            if isinstance(name, str) and isinstance(arguments, dict):
                return name, arguments
        raise ValueError(
            f"The config of a thing of kind {self.kind!r} is a dictionary of `class_name` and `config`. "
            f"Received: {config!r}"
        )


def _config(module: str | None, class_name: str, config: Any, registered_name: str | None) -> dict[str, Any]:
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered_name,
    }

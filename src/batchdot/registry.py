"""Registries of objects that are found by name, alias or Keras config, and serialized to configs.

Initializers, regularizers, constraints, activations and layers have a registry each. A config is accepted in
every form that Keras has written: ``{"class_name": ..., "config": ...}``, the same with ``module`` and
``registered_name``, or a name alone. No module is imported because a config names it.
"""

import re
from collections.abc import Callable, ItemsView, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar, cast

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])

Config: TypeAlias = dict[str, Any]
"""A config of Keras: names of arguments and their values, as in JSON."""

CustomObjects: TypeAlias = Mapping[str, Callable[..., object]]
"""Classes and functions of a user, by name."""

Identifier: TypeAlias = str | Config | Callable[..., object] | None
"""What `Registry.get` accepts: a name, a config, a class, a callable or None."""

HOOKS: dict[str, Callable[..., Any]] = {}
"""Functions of higher packages by name. `batchdot` fills it, so that no package imports one above it."""

_custom_objects: ContextVar[CustomObjects] = ContextVar("custom_objects")


@contextmanager
def custom_object_scope(custom_objects: CustomObjects) -> Iterator[None]:
    """Make objects known by name to every registry while the context lasts, before its own entries.

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
    """Base of classes whose config is their arguments, stored as attributes of the same names."""

    _arguments: ClassVar[tuple[str, ...]] = ()

    def get_config(self) -> Config:
        """Return the arguments by name, for `from_config`."""
        return {name: getattr(self, name) for name in self._arguments}

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Create an object from what `get_config` returned, here or in Keras."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._arguments)
        return f"{type(self).__name__}({arguments})"


class Registry(Generic[T]):
    """Classes and functions of one category, by name.

    Args:
        category: the word for one of them in error messages.
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

    def __init__(self, category: str, module: str) -> None:
        self.category = category
        self.module = module
        self._entries: dict[str, Any] = {}
        self._names: list[str] = []

    def register(self, *aliases: str) -> Callable[[C], C]:
        """Return a decorator that adds a class or function under its name, in snake case and aliases."""

        def add(entry: C) -> C:
            name = entry.__name__
            self._names.append(name)
            for alias in (name, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(), *aliases):
                self._entries[alias] = entry
            return entry

        return add

    def add(self, name: str, entry: T) -> None:
        """Add an object that is returned as it is."""
        self._names.append(name)
        self._entries[name] = entry

    def items(self) -> ItemsView[str, Any]:
        """Return all entries with their names; an entry has one for each alias."""
        return self._entries.items()

    def get_class(self, name: str, custom_objects: CustomObjects | None = None) -> Any:
        """Look up a class or function in ``custom_objects``, the enclosing scopes and this registry.

        ``"package>Name"``, as Keras registers names of packages, is also found as ``"Name"``, and so is
        ``"NameV2"`` of tf.keras 1.x.

        Raises:
            ValueError: the name is unknown.
        """
        places = (custom_objects or {}, _custom_objects.get({}), self._entries)
        for candidate in (name, name.rpartition(">")[2], name.removesuffix("V2")):
            for place in places:
                if candidate in place:
                    return place[candidate]
        close = get_close_matches(name, [known for place in places for known in place], n=1)
        hint = f", did you mean {close[0]!r}?" if close else "."
        raise ValueError(
            f"Unknown {self.category} {name!r}{hint} Known are: {', '.join(sorted(self._names))}."
        )

    def get(self, identifier: Identifier, custom_objects: CustomObjects | None = None) -> T | None:
        """Return the object for an identifier.

        Args:
            identifier: None, for which None is returned; a name or a config, as in `deserialize`; a
                class, which is instantiated; or a callable, which is returned as it is.
            custom_objects: further names, which take precedence over registered ones.

        Raises:
            ValueError: an unknown name, a malformed config or an unsupported identifier.
            TypeError: the arguments in a config do not match the signature.

        >>> from batchdot import constraints, initializers
        >>> constraints.get("unit_norm"), initializers.get(initializers.Zeros), constraints.get(None)
        (UnitNorm(axis=0), Zeros(), None)
        """
        if identifier is None or isinstance(identifier, str | dict):
            return self.deserialize(identifier, custom_objects)
        if isinstance(identifier, type):
            identifier = identifier()
        if not callable(identifier):
            raise ValueError(
                f"Could not interpret {self.category} identifier: {identifier!r}. "
                "Expected a name, a config, a class or a callable."
            )
        return cast(T, identifier)

    def deserialize(
        self, config: str | Config | None, custom_objects: CustomObjects | None = None
    ) -> T | None:
        """Create the object for a config, in any form that Keras has written.

        Args:
            config: None, for which None is returned; a name; or a dictionary of ``class_name`` and
                ``config``. ``module`` is ignored.
            custom_objects: further names, which take precedence over registered ones, also inside the
                config.

        Raises:
            ValueError: an unknown name or a malformed config.
            TypeError: the arguments do not match the signature.

        >>> from batchdot import regularizers
        >>> regularizers.deserialize({"class_name": "L2", "config": {"l2": 0.5}})
        L2(l2=0.5)
        """
        if config is None:
            return None
        name, arguments = (config, {}) if isinstance(config, str) else self._parse_config(config)
        entry = self.get_class(name, custom_objects)
        if not isinstance(entry, type):
            if arguments:
                raise ValueError(f"The {self.category} {name!r} takes no config. Received: {arguments!r}")
            return cast(T, entry)
        with custom_object_scope(custom_objects or {}):
            try:
                make = getattr(entry, "from_config", None)
                return cast(T, make(dict(arguments)) if make else entry(**arguments))
            except TypeError as error:
                if str(error).startswith("Cannot make the "):
                    raise  # raised for an object inside this one
                raise TypeError(
                    f"Cannot make the {self.category} {name!r} of {arguments!r}: {error}"
                ) from error

    def serialize(self, object: object) -> str | Config | None:
        """Return the config of an object, in the form of tf_keras 2.21.

        Returns:
            None for None; the name of a registered function; otherwise a dictionary. A function or class
            that is not registered is represented by its ``__name__``, for `deserialize` with
            ``custom_objects``; a function whose name belongs to another entry, by its module and name.

        Raises:
            TypeError: the object has neither a ``__name__`` nor a ``get_config``.

        >>> from batchdot import activations, constraints
        >>> activations.serialize(activations.tanh)
        'tanh'
        >>> constraints.serialize(constraints.NonNeg())["class_name"]
        'NonNeg'
        """
        if object is None:
            return None
        name: str | None = getattr(object, "__name__", None)
        if name is not None:
            known = self._entries.get(name)
            if known is object:
                return name
            config = name if known is None else f"{object.__module__}.{name}"
            return _config("builtins", "function", config, "function")
        if not hasattr(object, "get_config"):
            raise TypeError(f"The {self.category} {object!r} cannot be serialized: it has no get_config.")
        cls, config = type(object), object.get_config()
        if self._entries.get(cls.__name__) is cls:
            return _config(self.module, cls.__name__, config, None)
        module = None if cls.__module__ == "__main__" else cls.__module__
        return _config(module, cls.__name__, config, cls.__name__)

    def _parse_config(self, config: object) -> tuple[str, Config]:
        """Return the name and the arguments in a dictionary."""
        if isinstance(config, dict):
            name, arguments = config.get("class_name"), config.get("config") or {}
            if name == "function":  # the config of a function is its name
                name, arguments = arguments, {}
            elif isinstance(config.get("registered_name"), str):
                name = config["registered_name"]
            if isinstance(name, str) and isinstance(arguments, dict):
                return name, arguments
        raise ValueError(
            f"The config for the {self.category} should be a dictionary of `class_name` and `config`. "
            f"Received: {config!r}"
        )


def _config(module: str | None, class_name: str, config: object, registered_name: str | None) -> Config:
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered_name,
    }

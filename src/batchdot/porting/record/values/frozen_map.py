"""FrozenMap: a dict that cannot be changed, of which configs and arguments in a record are made."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, Generic, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


def escaped(text: object) -> str:
    """Return text without control characters, which a name in a file may have."""
    shown = str(text)
    return shown if shown.isprintable() else ascii(shown)[1:-1]


class FrozenMap(Mapping[K, V], Generic[K, V]):
    """A dict that cannot be changed, and can be hashed and pickled.

    >>> FrozenMap({"units": 3})["units"]
    3
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        object.__setattr__(self, "_items", dict(items or {}))

    def __getitem__(self, key: K) -> V:
        return self._items[key]  # type: ignore[attr-defined, no-any-return]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)  # type: ignore[attr-defined]

    # Those of `Mapping` are right, and slower.

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: V | T) -> V | T: ...
    def get(self, key: K, default: V | T | None = None) -> V | T | None:
        """Return a value, or the default where there is none."""
        return self._items.get(key, default)  # type: ignore[attr-defined, no-any-return]

    def __contains__(self, key: object) -> bool:
        return key in self._items  # type: ignore[attr-defined]

    def items(self) -> ItemsView[K, V]:
        """Return the pairs of keys and values."""
        return self._items.items()  # type: ignore[attr-defined, no-any-return]

    def values(self) -> ValuesView[V]:
        """Return the values."""
        return self._items.values()  # type: ignore[attr-defined, no-any-return]

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a record cannot be changed")

    def __reduce__(self) -> tuple[object, ...]:
        return (FrozenMap, (dict(self),))

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{escaped(key)}: {value!r}" for key, value in self.items()) + "}"


EMPTY: FrozenMap[str, Any] = FrozenMap()
"""No items."""

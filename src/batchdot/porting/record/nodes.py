"""Parse the calls of a layer (``inbound_nodes``) as each version of Keras writes them.

Keras 1 and 2 write ``[layer, node, tensor, kwargs]``; Keras 3 writes ``{"args": ..., "kwargs": ...}``
with tensors as objects. Numbers of nodes are still those of the file here; `batchdot.porting.record.graph`
counts them from 0.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record.item import Item
from batchdot.porting.record.values import Blob, EllipsisIndex, FrozenMap, Slice, TensorRef, Value, refs_in

MAX_NODE = 1_000_000


@dataclass
class Node:
    """One call.

    Attributes:
        args: positional arguments.
        kwargs: keyword arguments; a key that is there with None was passed as None.
        item: where the call stands in the file.
    """

    args: tuple[Value, ...]
    kwargs: dict[str, Value] = field(default_factory=dict)
    item: Item | None = None

    def refs(self) -> list[TensorRef]:
        """Return the tensors that go in."""
        return refs_in((self.args, *self.kwargs.values()))


def parse_node(item: Item, names: Collection[str], flat: bool = False) -> Node:
    """Return one item of ``inbound_nodes``.

    Args:
        item: the item.
        names: names of the layers of the model, which tell tensors from other lists.
        flat: whether the layer is a function of TensorFlow, whose only argument is not in a list.

    Raises:
        ModelFileError: it is no call.
    """
    if isinstance(item.value, dict) and "args" in item.value:
        kwargs = (
            {key: _keras3(value) for key, value in item.get("kwargs").members()} if item.has("kwargs") else {}
        )
        return Node(tuple(_keras3(part) for part in item.get("args").items()), kwargs, item)
    kwargs = {}
    value = _keras2(item, names, kwargs)
    if isinstance(value, tuple) and not flat:
        value = value[0] if len(value) == 1 else value
    return Node((value,), kwargs, item)


def is_ref(item: Item) -> bool:
    """Whether a value has the form of a tensor of Keras 1 or 2."""
    value = item.value
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and all(isinstance(part, int) and not isinstance(part, bool) for part in value[1:3])
    )


def parse_ref(item: Item) -> TensorRef:
    """Return a tensor of Keras 1 or 2, or an input or output of a model.

    Raises:
        ModelFileError: it is none.
    """
    if not is_ref(item):
        raise item.wrong("[layer, node, tensor]")
    return TensorRef(item.at(0).name(), item.at(1).integer(0, MAX_NODE), item.at(2).integer(0, MAX_NODE))


def _keras2(item: Item, names: Collection[str], kwargs: dict[str, Value]) -> Value:
    value = item.value
    if isinstance(value, list) and len(value) == 4 and value[0] == "_CONSTANT_VALUE":
        _keywords(item.at(3), names, kwargs)
        return _constant(item.at(2), names)
    if is_ref(item):
        if len(item.sequence()) == 4:
            _keywords(item.at(3), names, kwargs)
        return parse_ref(item)
    if isinstance(value, list):
        return tuple(_keras2(part, names, kwargs) for part in item.items())
    if isinstance(value, dict):
        return FrozenMap({key: _keras2(part, names, kwargs) for key, part in item.sorted_members()})
    raise item.wrong("a call of a layer")


def _keywords(item: Item, names: Collection[str], kwargs: dict[str, Value]) -> None:
    """Take the keyword arguments of a call, which every tensor of it repeats."""
    if item.value is None:
        return
    for key, part in item.members():
        kwargs.setdefault(key, _constant(part, names))


def _constant(item: Item, names: Collection[str]) -> Value:
    """Return a keyword argument, in which a list that begins with a layer's name is a tensor."""
    value = item.value
    if is_ref(item) and item.at(0).text() in names:
        return parse_ref(item)
    if isinstance(value, list):
        if len(value) == 4 and value[0] == "_CONSTANT_VALUE":
            return _constant(item.at(2), names)
        return tuple(_constant(part, names) for part in item.items())
    if isinstance(value, dict):
        if value.get("class_name") == "__ellipsis__" or value.get("type") == "ellipsis":
            return EllipsisIndex()
        if set(value) == {"start", "stop", "step"}:
            return Slice(*(_constant(item.get(key), names) for key in ("start", "stop", "step")))
        if value.get("class_name") == "TypeSpec" or "tensor" in value:
            return Blob("a value of TensorFlow")
        return FrozenMap({key: _constant(part, names) for key, part in item.members()})
    return value


def _keras3(item: Item) -> Value:
    value = item.value
    if isinstance(value, list):
        if not any(isinstance(part, (list, dict)) for part in value):
            return tuple(value)  # type: ignore[arg-type]
        return tuple(_keras3(part) for part in item.items())
    if not isinstance(value, dict):
        return value
    kind = value.get("class_name")
    if kind == "__keras_tensor__":
        return parse_ref(item.get("config").get("keras_history"))
    if kind == "__slice__":
        config = item.get("config")
        return Slice(*(_keras3(config.get(key)) for key in ("start", "stop", "step")))
    if kind == "__ellipsis__":
        return EllipsisIndex()
    if kind in ("__numpy__", "__tensor__", "__array__"):
        return _keras3(item.get("config").get("value"))
    if kind == "__bytes__":
        return Blob("bytes")
    if kind == "__lambda__":
        return Blob("code")
    if isinstance(kind, str) and "config" in value:
        if kind == "slice":
            return Slice(*(_keras3(part) for part in item.get("config").items()))
        return Blob(f"an object of class {quote(kind)}")
    return FrozenMap({key: _keras3(part) for key, part in item.sorted_members()})


def keras3_shapes(item: Item, found: dict[TensorRef, tuple[int | None, ...]]) -> None:
    """Collect the shapes that Keras 3 writes beside every tensor."""
    if isinstance(item.value, list):
        for part in item.items():
            keras3_shapes(part, found)
    elif isinstance(item.value, dict):
        if item.value.get("class_name") == "__keras_tensor__":
            config = item.get("config")
            shape = config.get("shape")
            if isinstance(shape.value, list):
                found[parse_ref(config.get("keras_history"))] = shape.shape()
            return
        for _, part in item.members():
            keras3_shapes(part, found)


def refused(node: Node, why: str, allowed: str = "") -> ModelFileError:
    """Return the error that a call cannot be what it says."""
    return ModelFileError(why, allowed, place=node.item.place if node.item is not None else "")

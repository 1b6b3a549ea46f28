"""Operations of Keras 3 among the layers of a config."""

from typing import Any

from batchdot.arrays.operations import operation_name
from batchdot.layers.core.function import FunctionLayer
from batchdot.symbolic.tensor import KerasTensor, Node, symbolic_tensors
from batchdot.symbolic.tree import flatten

MODULE = "keras.src.ops."
"""How the module of an operation begins; layers of the same class names are in ``keras.layers``."""


class OperationCalls:
    """An entry of a config that is no layer: each of its calls becomes a `FunctionLayer`.

    Args:
        entry: the entry, whose ``config`` has the arguments that are the same in every call.

    Raises:
        ValueError: the operation is unknown.
    """

    built = False

    def __init__(self, entry: dict[str, Any]) -> None:
        arguments = dict(entry.get("config") or {})
        self.name = entry.get("name") or arguments.get("name")
        function = operation_name(str(entry.get("class_name")))
        if function is None:
            raise ValueError(
                f"Unknown operation of Keras 3 in layer {self.name!r}: {entry.get('class_name')!r}. "
                "Write it with functions of torch, and make the model by code."
            )
        self.function = function
        self.arguments = {key: value for key, value in arguments.items() if key not in ("name", "trainable")}
        self.inbound_nodes: list[Node] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function on symbolic tensors, and keep the node."""
        name = f"{self.name}_{len(self.inbound_nodes)}" if self.inbound_nodes else self.name
        outputs = FunctionLayer.call_on(self.function, args, self.arguments | kwargs, name)
        first: KerasTensor = symbolic_tensors(flatten(outputs))[0]
        assert first.node is not None
        self.inbound_nodes.append(first.node)
        return outputs


def is_operation(entry: Any) -> bool:
    """Return whether an entry of a config is an operation of Keras 3.

    >>> is_operation({"module": "keras.src.ops.numpy", "class_name": "Multiply"})
    True
    """
    return isinstance(entry, dict) and str(entry.get("module")).startswith(MODULE)

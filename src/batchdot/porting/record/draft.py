"""Draft: a model while it is read, before its calls are numbered and put in order."""

from dataclasses import dataclass, field

from batchdot.porting.archive.limits import MAX_CALLS, MAX_LAYERS
from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record.item import Item
from batchdot.porting.record.nodes import Node
from batchdot.porting.record.values import LayerRecord, Shape, TensorRef


class Budget:
    """Counts layers and calls over all models that stand in each other."""

    def __init__(self) -> None:
        self._layers = MAX_LAYERS
        self._calls = MAX_CALLS

    def layer(self, item: Item) -> None:
        """Count a layer.

        Raises:
            ModelFileError: there are more than a file may have.
        """
        self._layers -= 1
        if self._layers < 0:
            raise ModelFileError("more layers", f"{MAX_LAYERS:,}", place=item.place)

    def call(self, item: Item) -> None:
        """Count a call, likewise."""
        self._calls -= 1
        if self._calls < 0:
            raise ModelFileError("more calls of layers", f"{MAX_CALLS:,}", place=item.place)


@dataclass
class Draft:
    """A model while it is read.

    Attributes:
        budget: counts what is added.
        layers: by name, in the file's order.
        nodes: the calls of each layer, as the file numbers them.
        shapes: shapes that the file tells, by tensor as the file numbers it.
        notes: what a reader of the record should know.
    """

    budget: Budget
    layers: dict[str, LayerRecord] = field(default_factory=dict)
    nodes: dict[str, list[Node]] = field(default_factory=dict)
    shapes: dict[TensorRef, Shape] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_layer(self, layer: LayerRecord, entry: Item) -> None:
        """Add a layer that no call has used yet.

        Raises:
            ModelFileError: another has its name, or there are too many.
        """
        if layer.name in self.layers:
            raise ModelFileError(f"two layers called {quote(layer.name)}", place=entry.place)
        self.budget.layer(entry)
        self.layers[layer.name] = layer
        self.nodes[layer.name] = []

    def add_call(self, layer: str, node: Node, item: Item) -> None:
        """Add a call of a layer.

        Raises:
            ModelFileError: there are too many.
        """
        self.budget.call(item)
        self.nodes[layer].append(node)

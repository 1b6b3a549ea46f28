"""Explain the Dot calls of a saved model from their shapes."""

from dataclasses import dataclass

from batchdot.porting.record import Call, LayerRecord, ModelRecord
from batchdot.porting.record.classes.merging import dot_contraction
from batchdot.porting.record.values import Shape


@dataclass(frozen=True)
class DotCall:
    """One call of a Dot layer.

    Attributes:
        layer: name of the layer, behind the names of the models that it is in.
        shapes: shapes of the two inputs.
        axes: the axes that are summed over, one of each input.
        cosine: whether the vectors are normalized first.
        einsum: the equation; "" where shapes are not known. B shared, I and J free, K summed over.
        output: shape of the result.
        words: what it is, in a sentence.
    """

    layer: str
    shapes: tuple[Shape, ...]
    axes: object
    cosine: bool
    einsum: str
    output: Shape
    words: str


def dot_calls(model: ModelRecord, prefix: str = "") -> list[DotCall]:
    """Return every call of a Dot layer, those in nested models too."""
    layers = {layer.name: layer for layer in model.layers}
    found = []
    for call in model.calls:
        layer = layers[call.layer]
        if layer.is_a("Dot"):
            found.append(_explained(prefix + layer.name, layer, call))
    for layer in model.layers:
        if layer.model is not None:
            found += dot_calls(layer.model, f"{prefix}{layer.name}/")
    return found


def _explained(name: str, layer: LayerRecord, call: Call) -> DotCall:
    config = layer.config
    cosine = bool(config["normalize"]) or config["mode"] != "dot"
    einsum, words = "", "its inputs' shapes are not known"
    try:
        contraction = dot_contraction(config, call.input_shapes)
    except (ValueError, IndexError) as error:
        contraction, words = None, f"its inputs do not fit: {error}"
    if contraction is not None:
        try:
            einsum = contraction.einsum
            words = _words(einsum, cosine)
        except ValueError:  # there are 52 letters
            words = "it has too many axes for an equation"
    if config["mode"] != "dot":
        words += ", as Keras 1 defines it"
    return DotCall(name, call.input_shapes, config["axes"], cosine, einsum, call.output_shapes[0], words)


PATTERNS = {
    "bk,bk->b": ("dot product of each pair of rows", "cosine of each pair of rows"),
    "bik,bjk->bij": ("dot product of every row with every row", "cosine of every row with every row"),
    "bik,bkj->bij": ("matrix product", "cosine of every row with every column"),
    "bki,bkj->bij": ("matrix product with the first transposed", "cosine of every column with every column"),
    "bik,bk->bi": ("matrix times vector", "cosine of every row with a vector"),
    "bki,bk->bi": ("sum of rows, weighted", "cosine of every column with a vector"),
    "bk,bik->bi": ("matrix times vector", "cosine of a vector with every row"),
}


def _words(einsum: str, cosine: bool) -> str:
    return PATTERNS.get(
        einsum.replace("j", "i") if einsum.count("i") == 0 else einsum, ("contraction", "cosine")
    )[cosine]

"""Concatenate: join several tensors along an axis."""

from typing import Any

import torch
from torch import Tensor

from batchdot.errors import AxisError
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.validation import check_axis
from batchdot.layers.merging.base import LISTS, Merge
from batchdot.types import Shape


@LAYERS.register()
class Concatenate(Merge):
    """Layer that concatenates a list of tensors.

    Args:
        axis: the axis to join along; negative ones count from the end. Sizes may differ along it.
        **kwargs: as for every `Layer`.

    Call it on a list of tensors of one rank, of shapes (B, ...), that are equal but for that axis. The
    output has the promoted dtype.

    Raises:
        TypeError: `axis` is not an integer; a keyword that no layer has.
        ValueError: no list of tensors, or shapes that do not fit.
        AxisError: there is no such axis.

    >>> Concatenate()([torch.ones(2, 3), torch.ones(2, 1)]).shape
    torch.Size([2, 4])

    Source: ``tf.keras.layers.Concatenate``.
    """

    _pure_call = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = check_axis("Concatenate", axis)

    def call(self, inputs: Any) -> Tensor:
        """Return the concatenated tensor."""
        if not isinstance(inputs, LISTS):
            self._check_shapes(getattr(inputs, "shape", inputs))
        try:
            return torch.cat(inputs, self.axis)
        except (RuntimeError, IndexError):
            self.compute_output_shape([tuple(x.shape) for x in inputs])
            raise

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the concatenated masks, all True for an input without one; None if no input has one."""
        masks = self._check_masks(inputs, mask)
        if all(m is None for m in masks):
            return None
        whole = [_as_input(m, x) for m, x in zip(masks, inputs, strict=True)]
        return torch.cat(whole, self.axis).all(-1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for a list of shapes, whose unknown sizes are None.

        Raises:
            ValueError: the shapes do not fit.
            AxisError: there is no such axis.

        >>> Concatenate(axis=1).compute_output_shape([(None, 4, 3), (5, 6, None)])
        (5, 10, 3)
        """
        shapes = self._check_shapes(input_shape)
        rank, axis = len(shapes[0]), self.axis
        if any(len(shape) != rank for shape in shapes):
            raise self._shape_error(shapes)
        if not -rank <= axis < rank:
            raise AxisError(f"Layer {self.name} has no axis {axis} to concatenate along: shapes {shapes}")
        sizes: list[int | None] = []
        for index in range(rank):
            known = [size for size in (shape[index] for shape in shapes) if size is not None]
            if index == axis % rank:
                sizes.append(sum(known) if len(known) == len(shapes) else None)
            elif any(size != known[0] for size in known):
                raise self._shape_error(shapes)
            else:
                sizes.append(known[0] if known else None)
        return tuple(sizes)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        return super().get_config() | {"axis": self.axis}

    def _known_sizes(self, shapes: list[Shape]) -> Shape:
        sizes = list(self.compute_output_shape(shapes))
        sizes[self.axis] = None
        return tuple(sizes)

    def _shape_error(self, shapes: list[Shape]) -> ValueError:
        return ValueError(
            "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis. "
            f"Layer {self.name} received: input_shape={shapes}"
        )


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """Functional form of `Concatenate`: make the layer and call it.

    >>> concatenate([torch.ones(2), torch.zeros(1)], axis=0)
    tensor([1., 1., 0.])

    Source: ``tf.keras.layers.concatenate``.
    """
    return Concatenate(axis=axis, **kwargs)(inputs)


def _as_input(mask: Any, x: Tensor) -> Tensor:
    """Return a mask in the shape of its input."""
    if mask is None:
        return torch.ones_like(x, dtype=torch.bool)
    while mask.dim() < x.dim():
        mask = mask.unsqueeze(-1)
    expanded: Tensor = mask.expand(x.shape)
    return expanded

"""Embedding: look up a row of a table for each id."""

from typing import Any

import torch
from torch import Tensor

from batchdot import constraints, initializers, regularizers
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.registry import LAYERS
from batchdot.layers.base.validation import check_bool, check_positive_int
from batchdot.types import Shape


@LAYERS.register()
class Embedding(Layer):
    """Layer that turns ids into rows of a table.

    Args:
        input_dim: the number of ids, which are 0 to ``input_dim - 1``.
        output_dim: size of a row.
        embeddings_initializer: a name, config or function of (shape, dtype) for the table.
        embeddings_regularizer: a name, config or function of the table to a scalar that joins `losses`.
        activity_regularizer: the same for the output; its value is divided by the batch size.
        embeddings_constraint: a name, config or function of the table to the table that replaces it in
            `apply_constraints`.
        mask_zero: whether the id 0 is padding; its mask is False.
        input_length: size of the axis of ids, or the sizes of several; symbolic calls check it.
        sparse: only False is allowed; the output is dense.
        **kwargs: as for every `Layer`.

    Call it on ids of any shape (B, ...), integers, or floats, which are truncated. The output has shape
    (B, ..., output_dim) and the dtype of the table, whose shape is (input_dim, output_dim).

    Raises:
        ValueError: a size that is not a positive integer; ids that do not have `input_length`.
        IndexError: an id out of range, on the CPU; on other devices torch raises its own error, or none.
        TypeError: a keyword that no layer has.

    >>> layer = Embedding(3, 2, embeddings_initializer="ones", mask_zero=True)
    >>> ids = torch.tensor([[2, 0]])
    >>> layer(ids).shape, layer.compute_mask(ids)
    (torch.Size([1, 2, 2]), tensor([[ True, False]]))

    Source: ``tf.keras.layers.Embedding``.
    """

    _pure_call = True

    def __init__(
        self,
        input_dim: Any,
        output_dim: Any,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        activity_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        input_length: Any = None,
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        if "input_shape" not in kwargs:
            kwargs["input_shape"] = (input_length or None,)
        # Ids must not be cast to the dtype of the table: float16 has no 2049.
        super().__init__(activity_regularizer=activity_regularizer, **kwargs | {"autocast": False})
        if sparse:
            raise ValueError(f"Embedding returns dense tensors. Received: sparse={sparse!r}")
        self.input_dim = check_positive_int("Embedding", "input_dim", input_dim)
        self.output_dim = check_positive_int("Embedding", "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = check_bool("Embedding", "mask_zero", mask_zero)
        self.supports_masking = self.mask_zero
        self.input_length = tuple(input_length) if isinstance(input_length, list) else input_length
        self.declare_weight("embeddings")

    def build(self, input_shape: Any = None) -> None:
        """Make the table."""
        self.embeddings = self.add_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Return the rows of the ids."""
        if inputs.dtype is not torch.int64 and inputs.dtype is not torch.int32:
            inputs = inputs.to(torch.int64)
        own: dict[str, Any] = self._parameters  # a method to read it would be ten guards under torch.compile
        embeddings = own.get("embeddings")
        if embeddings is None:  # parametrized or pruned: still an attribute
            embeddings = self.embeddings
        try:
            return torch.embedding(embeddings, inputs)
        except IndexError:
            raise IndexError(self._describe_bad_ids(inputs)) from None

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return where the ids are not 0; None without `mask_zero`."""
        return inputs != 0 if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output for the shape of the ids.

        Raises:
            ValueError: the shape does not have `input_length`.

        >>> Embedding(10, 2, input_length=4).compute_output_shape((None, None))
        (None, 4, 2)
        """
        shape = tuple(input_shape)
        if self.input_length is None:
            return (*shape, self.output_dim)
        lengths = self.input_length if isinstance(self.input_length, tuple) else (self.input_length,)
        pairs = list(zip(lengths, shape[1:], strict=False))
        if len(lengths) != len(shape) - 1 or any(a != b for a, b in pairs if None not in (a, b)):
            raise ValueError(
                f'Layer {self.name}: "input_length" is {self.input_length}, '
                f"but received input has shape {shape}"
            )
        return (*shape[:1], *[b if a is None else a for a, b in pairs], self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        config = super().get_config()
        config.pop("activity_regularizer", None)  # it comes later in the config, as in Keras
        return config | {
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
            "input_length": self.input_length,
        }

    def _describe_bad_ids(self, ids: Tensor) -> str:
        outside = ids[(ids < 0) | (ids >= self.input_dim)]
        return (
            f"Layer {self.name} has rows for ids 0 to {self.input_dim - 1}. Received: id {int(outside[0])}"
            if outside.numel()
            else f"Layer {self.name} cannot look up ids of shape {tuple(ids.shape)}."
        )

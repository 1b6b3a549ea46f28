"""Input: a symbolic tensor that a graph of layer calls starts from."""

from typing import Any

from batchdot.config import weight_dtype
from batchdot.layers.base.layer import Layer
from batchdot.layers.base.naming import unique_name
from batchdot.layers.base.registry import LAYERS
from batchdot.symbolic.tensor import KerasTensor, Node


@LAYERS.register()
class InputLayer(Layer):
    """The layer that makes the symbolic tensor of an `Input`; called on a tensor, it returns it.

    Args:
        input_shape: shape of the input without the batch axis; unknown sizes are None.
        batch_size: size of the batch axis, None where unknown.
        dtype: dtype of the input, `backend.floatx()` by default.
        name: name of the layer; by default ``input_1``, ``input_2``, ...
        batch_input_shape: the shape with the batch axis, instead of ``input_shape``. ``batch_shape``
            is Keras 3's name for it.
        batch_shape: see batch_input_shape.
        sparse: only False is allowed, as for ``ragged`` and ``optional``.
        ragged: see sparse.
        optional: see sparse.

    Raises:
        ValueError: no shape, or one that is not of sizes; ``sparse``, ``ragged`` or ``optional`` is true.

    >>> layer = InputLayer((3,), name="words")
    >>> layer.output.shape, layer.output.dtype
    ((None, 3), torch.float32)

    Source: ``tf.keras.layers.InputLayer``.
    """

    _pure_call = True

    def __init__(
        self,
        input_shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        name: str | None = None,
        batch_input_shape: Any = None,
        batch_shape: Any = None,
        sparse: bool | None = False,
        ragged: bool | None = False,
        optional: bool = False,
        trainable: bool = True,
    ) -> None:
        shape = batch_input_shape if batch_shape is None else batch_shape
        if shape is None:
            if input_shape is None:
                raise ValueError("An Input needs a shape; without the batch axis, as in Input(shape=(32,)).")
            shape = (batch_size, *_as_sizes(input_shape))
        shape = _as_sizes(shape)
        if sparse or ragged or optional:
            raise ValueError(
                "An Input is dense and always given: sparse, ragged and optional are not supported."
            )
        # As in tf.keras, inputs are numbered from 1.
        super().__init__(name=_input_name() if name is None else name, dtype=dtype, trainable=trainable)
        self.batch_input_shape = shape
        self.built = True
        Node(self, (), {}, KerasTensor(shape, self._dtype, name=self.name))

    def call(self, inputs: Any) -> Any:
        """Return the inputs."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Return the shape, dtype and name of the input."""
        return {
            "batch_input_shape": self.batch_input_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "InputLayer":
        """Make the layer from a config of tf.keras, Keras 3 or this library."""
        config = dict(config)
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = weight_dtype(config["dtype"])
        return cls(**config)


def Input(  # noqa: N802  # Keras's name
    shape: Any = None,
    batch_size: int | None = None,
    name: str | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    tensor: Any = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    **kwargs: Any,
) -> KerasTensor:
    """Return a symbolic tensor to start a graph from.

    Args:
        shape: the shape without the batch axis: a tuple of sizes, None where unknown.
        batch_size: size of the batch axis, None where unknown.
        name: name of its layer; by default ``input_1``, ``input_2``, ...
        dtype: dtype of the input, `backend.floatx()` by default.
        sparse: only False or None is allowed, as for ``ragged``.
        tensor: a symbolic tensor to return as it is.
        ragged: see sparse.
        batch_shape: the shape with the batch axis, instead of ``shape``.
        **kwargs: ``batch_input_shape``, the older name of ``batch_shape``.

    Raises:
        ValueError: no shape, or one that is not of sizes; ``sparse``, ``ragged`` or ``optional`` is true.
        TypeError: another keyword.

    >>> Input(shape=(3,)).shape, Input(shape=(None, 3), batch_size=2, dtype="int64").dtype
    ((None, 3), torch.int64)

    Source: ``tf.keras.Input``.
    """
    if tensor is not None:
        if not isinstance(tensor, KerasTensor):
            raise ValueError("Input(tensor=...) takes a symbolic tensor.")
        return tensor
    older = kwargs.pop("batch_input_shape", None)
    if kwargs:
        raise TypeError(f"Input has no argument {', '.join(map(repr, kwargs))}.")
    layer = InputLayer(
        input_shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        name=name,
        batch_shape=older if batch_shape is None else batch_shape,
        sparse=sparse,
        ragged=ragged,
    )
    (output,) = layer.inbound_nodes[0].outputs
    return output


def _as_sizes(shape: Any) -> tuple[int | None, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(size is not None and (not isinstance(size, int) or size < 0) for size in sizes):
        raise ValueError(f"The shape of an Input holds sizes, None where unknown. Received: {shape!r}")
    return sizes


def _input_name() -> str:
    name = unique_name("Input")
    return unique_name("Input") if name == "input" else name

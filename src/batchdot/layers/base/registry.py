"""The registry of layer classes by name, and conversion of layers to and from configs."""

from typing import Any, cast

from batchdot.registry import Registry

LAYERS: Registry[Any] = Registry("layer", "keras.layers")
"""The layers that a config may name."""


def serialize_layer(layer: Any) -> dict[str, Any]:
    """Return the config of a layer with its class name, as Keras writes it.

    >>> from batchdot import layers
    >>> layers.serialize(layers.Flatten(name="flat"))["class_name"]
    'Flatten'

    Source: ``tf.keras.layers.serialize``.
    """
    form = type(layer).__dict__.get("_config_form")
    if form is not None:  # a model, whose config names another module than those of layers
        return {**form, "config": layer.get_config()}
    return cast(dict[str, Any], LAYERS.serialize(layer))


def deserialize_layer(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """Make a layer from its config with class name.

    Raises:
        ValueError: an unknown class, or a config that does not fit it.
        TypeError: an argument that the layer does not have.

    >>> from batchdot import layers
    >>> layers.deserialize({"class_name": "Dot", "config": {"axes": 1, "normalize": True}}).normalize
    True

    Source: ``tf.keras.layers.deserialize``.
    """
    if isinstance(config, dict) and isinstance(config.get("config"), list):
        config = config | {"config": {"layers": config["config"]}}  # a Sequential of Keras before 2.2.3
    try:
        return LAYERS.deserialize(config, custom_objects)
    except ValueError as error:
        arguments = config.get("config") if isinstance(config, dict) else None
        if not isinstance(arguments, dict) or "layers" in arguments or str(error).startswith("Unknown layer"):
            raise  # the text names the layer
        what = f"layer {arguments.get('name')!r} ({config['class_name']})"
        raise type(error)(f"Cannot make {what}: {error}") from error

"""Parse the dtype or dtype policy in a layer's config."""

from batchdot.porting.record.item import Item

QUANTIZED = "_from_"
"""What stands in Keras's names of policies between the quantized dtype and that of the other numbers."""


def quantization(dtype: str | None) -> str:
    """Return what a layer of a dtype policy is quantized to, "" where it is not.

    >>> quantization("int8_from_float32"), quantization("mixed_float16")
    ('int8', '')
    """
    mode, found, _ = (dtype or "").partition(QUANTIZED)
    return mode if found else ""


def dtype_name(item: Item) -> str | None:
    """Return the name of a dtype or policy, None where the config names none.

    >>> dtype_name(Item({"class_name": "Policy", "config": {"name": "mixed_float16"}}))
    'mixed_float16'
    """
    if item.value is None:
        return None
    if isinstance(item.value, str):
        return _known(item)
    if isinstance(item.value, dict) and isinstance(item.value.get("config"), dict):
        config = item.get("config")
        if config.has("mode") and config.has("source_name"):
            mode = config.get("mode").name().partition("/")[0]
            return f"{_known(Item(mode, 'mode', config))}{QUANTIZED}{_known(config.get('source_name'))}"
        if config.has("policy_map"):
            return _of_parts(config)
        name = config.get("name")
        return None if name.value is None else _known(name)
    raise item.wrong("the name of a dtype, or a policy")


def _of_parts(config: Item) -> str | None:
    """Return the policy of a layer whose parts have policies: that of a quantized part if there is one."""
    parts = [dtype_name(part) for _, part in config.get("policy_map").members()]
    quantized = next((name for name in parts if quantization(name)), None)
    return quantized or dtype_name(config.get("default_policy"))


def _known(item: Item) -> str:
    name = item.name()
    if not name.isascii() or not name.replace("_", "a").isalnum() or len(name) > 40:
        raise item.wrong("the name of a dtype")
    return {"infer": "float32", "_infer": "float32", "half": "float16"}.get(name, name)

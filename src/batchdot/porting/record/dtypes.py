"""Parse the dtype or dtype policy in a layer's config."""

from batchdot.porting.record.item import Item


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
        name = item.get("config").get("name")
        return None if name.value is None else _known(name)
    raise item.wrong("the name of a dtype, or a policy")


def _known(item: Item) -> str:
    name = item.name()
    if not name.isascii() or not name.replace("_", "a").isalnum() or len(name) > 40:
        raise item.wrong("the name of a dtype")
    return {"infer": "float32", "_infer": "float32", "half": "float16"}.get(name, name)

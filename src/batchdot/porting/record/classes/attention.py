"""Specifications of the layers in Keras's folder ``attention``."""

from collections.abc import Mapping

from batchdot.porting.record import fields
from batchdot.porting.record.classes.spec import USE_BIAS, Config, Slot, Spec, trained, whole
from batchdot.porting.record.fields import Field
from batchdot.porting.record.values import Shape, Value


def _attention(config: Config) -> tuple[Slot, ...]:
    slots = [Slot("scale", ())] if config["use_scale"] else []
    if config["score_mode"] == "concat":
        slots.append(Slot("concat_score_weight", ()))
    return tuple(slots)


def _attention_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    query, value = (shapes[0], shapes[1]) if len(shapes) > 1 else (None, None)
    if not query or not value:
        return (None,)
    return ((*query[:-1], value[-1]),)


def _additive(config: Config) -> tuple[Slot, ...]:
    return (Slot("scale", ("in",)),) if config["use_scale"] else ()


PROJECTIONS = ("query", "key", "value")


def _heads(config: Config) -> tuple[Slot, ...]:
    heads, key = whole(config, "num_heads"), whole(config, "key_dim")
    value = config["value_dim"] if isinstance(config["value_dim"], int) else key
    sizes = {"query": (heads, key), "key": (heads, key), "value": (heads, value)}
    return _projections(config, sizes, (heads, value))


def _groups(config: Config) -> tuple[Slot, ...]:
    size = whole(config, "head_dim")
    queries, pairs = whole(config, "num_query_heads"), whole(config, "num_key_value_heads")
    sizes = {"query": (queries, size), "key": (pairs, size), "value": (pairs, size)}
    return _projections(config, sizes, (queries, size))


def _projections(
    config: Config, sizes: Mapping[str, tuple[int, int]], out: tuple[int, int]
) -> tuple[Slot, ...]:
    slots = []
    for name in PROJECTIONS:
        owner = (f"_{name}_dense", f"{name}_dense")
        slots.append(Slot(f"{name}.kernel", (name, *sizes[name]), owner, suffixes=("kernel",)))
        if config["use_bias"]:
            slots.append(Slot(f"{name}.bias", sizes[name], owner, suffixes=("bias",)))
    owner = ("_output_dense", "output_dense")
    declared = config.get("output_shape")
    last = _sizes(declared) if isinstance(declared, tuple) else ("query",)
    slots.append(Slot("output.kernel", (*out, *last), owner, suffixes=("kernel",)))
    if config["use_bias"]:
        slots.append(Slot("output.bias", last, owner, suffixes=("bias",)))
    return tuple(slots)


def _sizes(declared: tuple[Value, ...]) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in declared)


def _symbols(config: Config, shapes: tuple[Shape, ...]) -> Mapping[str, int | None]:
    query, value, key = (*shapes, None, None, None)[:3]
    found = {"query": query, "value": value, "key": key or value}
    return {name: shape[-1] if shape else None for name, shape in found.items()}


def _heads_shape(config: Config, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    query = shapes[0] if shapes else None
    if not query:
        return (None,)
    declared = config.get("output_shape")
    if isinstance(declared, tuple):
        return ((*query[:-1], *_sizes(declared)),)
    return (query,)


DROPOUT = Field(fields.number, 0.0)
TRAINED = trained("kernel", "bias")

SPECS = (
    Spec(
        "Attention",
        {
            "use_scale": Field(fields.flag, False),
            "score_mode": Field(fields.choice("dot", "concat"), "dot"),
            "dropout": DROPOUT,
            "causal": Field(fields.flag, False),
        },
        slots=_attention,
        infer=_attention_shape,
        mask="attention",
    ),
    Spec(
        "AdditiveAttention",
        {"use_scale": Field(fields.flag, True), "dropout": DROPOUT, "causal": Field(fields.flag, False)},
        slots=_additive,
        infer=_attention_shape,
        mask="attention",
    ),
    Spec(
        "MultiHeadAttention",
        {
            "num_heads": Field(fields.positive),
            "key_dim": Field(fields.positive),
            "value_dim": Field(fields.optional(fields.positive), None),
            "dropout": DROPOUT,
            "use_bias": USE_BIAS,
            "output_shape": Field(fields.optional(fields.shape), None),
            "attention_axes": Field(fields.optional(fields.axes), None),
            **TRAINED,
        },
        slots=_heads,
        infer=_heads_shape,
        symbols=_symbols,
        drops=frozenset(
            {"query_shape", "key_shape", "value_shape", "softmax_robust_masking", "flash_attention"}
        ),
        mask="heads",
    ),
    Spec(
        "GroupedQueryAttention",
        {
            "head_dim": Field(fields.positive),
            "num_query_heads": Field(fields.positive),
            "num_key_value_heads": Field(fields.positive),
            "dropout": DROPOUT,
            "use_bias": USE_BIAS,
            **TRAINED,
        },
        slots=_groups,
        infer=_heads_shape,
        symbols=_symbols,
        old=("GroupQueryAttention",),
        drops=frozenset({"flash_attention"}),
        mask="heads",
    ),
)

"""Translations of Keras's folder ``attention``: softmax(scores) @ value, of one head or several."""

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from batchdot.porting.program import Value
from batchdot.porting.program.expressions import literal
from batchdot.porting.translation.layer import Layer, RefusedError
from batchdot.porting.translation.registry import Forward, Result, translates
from batchdot.porting.translation.site import Site

if TYPE_CHECKING:
    from numpy.typing import NDArray


@translates("Attention")
def attention(layer: Layer) -> Forward:
    """The softmax of scores, times the value.

    F.scaled_dot_product_attention computes the same, but of three axes ONNX does not take it, and PyTorch has
    no faster kernel for it.
    """
    scale = layer.parameter(layer.array("scale"), (), "scale") if layer.has("scale") else ""
    factor = ""
    if layer.text("score_mode") == "concat":
        factor = layer.parameter(layer.array("concat_score_weight"), (), "weight")

    def forward(site: Site) -> Result:
        query, _, key = _inputs(site)
        if factor:
            total = _sum(query, key)
            inside = f"{scale} * ({total})" if scale else total
            return _weighted(layer, site, f"{factor} * torch.tanh({inside}).sum(-1)")
        return _weighted(layer, site, f"({query} * {scale}) @ {key}.mT" if scale else f"{query} @ {key}.mT")

    return forward


@translates("AdditiveAttention")
def additive_attention(layer: Layer) -> Forward:
    """Scores that are sums over tanh(query + key), weighted by a learned scale."""
    scale = layer.parameter(layer.array("scale"), layer.shape("scale"), "scale") if layer.has("scale") else ""

    def forward(site: Site) -> Result:
        query, _, key = _inputs(site)
        squashed = f"torch.tanh({_sum(query, key)})"
        return _weighted(layer, site, f"{squashed} @ {scale}" if scale else f"{squashed}.sum(-1)")

    return forward


def _sum(query: Value, key: Value) -> str:
    """Return the sums of each step of a query and each step of a key: (B, T, S, K)."""
    return f"{query}.unsqueeze(-2) + {key}.unsqueeze(-3)"


def _inputs(site: Site) -> tuple[Value, Value, Value]:
    """Return query, value and key of a call that has them in this order, the key perhaps left out."""
    values = site.xs
    if len(values) not in (2, 3):
        raise RefusedError(f"it is called with {len(values)} tensors")
    query, value, *key = values
    return query, value, key[0] if key else value


def _weighted(layer: Layer, site: Site, scores: str) -> Result:
    """Return the weighted sum over the value, and the weights if they are asked for."""
    query, value, key = _inputs(site)
    mask, is_causal = _allowed(layer, site)
    if is_causal and not mask:
        mask = f"causal_mask({query}, {key})"
    if mask:
        named = site.named(scores, "scores")
        scores = f"{named} + mask_bias({mask}, {named})"
    weights = site.named(f"torch.softmax({scores}, dim=-1)", "weights")
    dropout = _dropout(layer, site)
    if dropout != "0":
        weights = site.named(f"F.dropout({weights}, {dropout}, self.training)", "weights")
    made = _where_query_counts(site, f"{weights} @ {value}")
    return (made, weights) if site.arguments.get("return_attention_scores") is True else made


def _allowed(layer: Layer, site: Site) -> tuple[str, bool]:
    """Return the mask that hides steps of the value, "" for none, and whether later steps are hidden.

    Where both hide some, the mask does it all.
    """
    query, value, _ = _inputs(site)
    is_causal = layer.flag("causal") or site.arguments.get("use_causal_mask") is True
    mask = site.mask("value")
    if mask is None:
        return "", is_causal
    causal = f" & causal_mask({query}, {value})" if is_causal else ""
    return f"{mask}.unsqueeze(-2){causal}", False


def _where_query_counts(site: Site, attended: str) -> str:
    """Return zeros in the place of steps that the mask of the query excludes."""
    mask = site.mask("query")
    return attended if mask is None else f"{site.named(attended, 'steps')} * {mask}.unsqueeze(-1)"


def _dropout(layer: Layer, site: Site) -> str:
    training = site.arguments.get("training", layer.training)
    rate = layer.number("dropout")
    if rate and training is True:
        raise RefusedError("it is called with training=True")
    return "0" if training is False else literal(rate)


PROJECTIONS = ("query", "key", "value")


@translates("MultiHeadAttention", restriction="masks only over one axis")
def multi_head_attention(layer: Layer) -> Forward:
    """nn.MultiheadAttention where the heads share out the features of the query and there is no mask."""
    if _is_torchs(layer):
        return _torchs(layer)
    return _heads(layer, layer.integer("num_heads"), 1)


@translates("GroupedQueryAttention")
def grouped_query_attention(layer: Layer) -> Forward:
    """A small class, in which several heads share a key and a value."""
    heads = layer.integer("num_query_heads")
    return _heads(layer, heads, heads // layer.integer("num_key_value_heads"))


def _is_torchs(layer: Layer) -> bool:
    """Whether nn.MultiheadAttention means the same.

    Its features are as many as those of all heads together; a step that a mask hides from everything is NaN.
    """
    size, heads, key = layer.shape("query.kernel")
    rank = len(layer.input_shape or (None,) * 3)
    features = heads * key == size
    same = layer.shape("value.kernel")[1:] == (heads, key) and layer.shape("output.kernel")[2:] == (size,)
    return features and same and rank == 3 and not layer.is_masked and _axes(layer, 3) == (1,)


def _torchs(layer: Layer) -> Forward:
    size, heads, _ = layer.shape("query.kernel")
    key, value = layer.shape("key.kernel")[0], layer.shape("value.kernel")[0]
    arguments = [str(size), str(heads)]
    if layer.number("dropout"):
        arguments.append(f"dropout={literal(layer.number('dropout'))}")
    if not layer.flag("use_bias"):
        arguments.append("bias=False")
    if (key, value) != (size, size):
        arguments += [f"kdim={key}", f"vdim={value}"]
    kernels = [f"{name}.kernel" for name in PROJECTIONS]
    if (key, value) == (size, size):
        state = {"in_proj_weight": layer.array(*kernels, convert=_stacked)}
    else:
        state = {f"{name[0]}_proj_weight": layer.array(f"{name}.kernel", convert=_in) for name in PROJECTIONS}
    state["out_proj.weight"] = layer.array("output.kernel", convert=_out)
    if layer.flag("use_bias"):
        biases = [f"{name}.bias" for name in PROJECTIONS]
        state["in_proj_bias"] = layer.array(*biases, convert=lambda *parts: np.concatenate(parts).reshape(-1))
        state["out_proj.bias"] = layer.array("output.bias")
    module = layer.module(f"nn.MultiheadAttention({', '.join(arguments)}, batch_first=True)", state)

    def forward(site: Site) -> Result:
        query, key, value = _query_key_value(site)
        mask, is_causal = _heads_mask(site, query, value)
        arguments = f"{query}, {key}, {value}"
        if mask or is_causal:
            hidden = site.named(f"~{mask or f'causal_mask({query}, {value})'}", "hidden")
            arguments += f", attn_mask={hidden}"
        if site.arguments.get("return_attention_scores") is True:
            call = f"{module}({arguments}, average_attn_weights=False)"
            return _pair(site, call, "scores")
        return _pair(site, f"{module}({arguments}, need_weights=False)", "weights")[0]

    return forward


def _heads(layer: Layer, heads: int, sharing: int) -> Forward:
    """Return what writes calls of the class of the helpers."""
    out = layer.shape("output.kernel")[2:]
    bias = "" if layer.flag("use_bias") else ", bias=False"
    inputs = [layer.shape(f"{name}.kernel") for name in PROJECTIONS]
    sizes = [(shape[0], prod(shape[1:])) for shape in inputs]
    sizes.append((prod(layer.shape("output.kernel")[:2]), prod(out)))
    arguments = [str(heads), *(f"nn.Linear({rows}, {columns}{bias})" for rows, columns in sizes)]
    if sharing > 1:
        arguments.append(f"sharing={sharing}")
    if layer.number("dropout"):
        arguments.append(f"dropout={literal(layer.number('dropout'))}")
    state = {f"{name}.weight": layer.array(f"{name}.kernel", convert=_in) for name in PROJECTIONS}
    state["output.weight"] = layer.array("output.kernel", convert=_out)
    if layer.flag("use_bias"):
        names = (*PROJECTIONS, "output")
        state |= {f"{name}.bias": layer.array(f"{name}.bias", convert=np.ravel) for name in names}
    scores = len(layer.output_shapes) == 2
    name = "MultiHeadAttentionWithScores" if scores else "MultiHeadAttention"
    module = layer.module(f"{name}({', '.join(arguments)})", state)

    def forward(site: Site) -> Result:
        query, key, value = _query_key_value(site)
        mask, is_causal = _heads_mask(site, query, value)
        if (query.rank or 3) > 3:
            if mask or is_causal or scores:
                raise RefusedError(f"it has masks or scores over inputs with {query.rank} axes")
            axes = _axes(layer, query.rank or 3)
            parts = [_with_steps_last(each, axes) for each in (query, key, value)]
            return _with_steps_back(f"{module}({', '.join(parts)})", query, axes)
        more = f", {mask}" if mask else ", is_causal=True" if is_causal else ""
        if mask and "zeroes_masked" in site.arguments:
            more += ", zero_hidden=True"
        call = f"{module}({query}, {key}, {value}{more})"
        if scores:
            pair = _pair(site, call, "scores")
            return pair if site.arguments.get("return_attention_scores") is True else pair[0]
        return f"{call}.unflatten(-1, {literal(out)})" if len(out) > 1 else call

    return forward


def _pair(site: Site, call: str, second: str) -> tuple[str, str]:
    """Write a statement with two results; return their names."""
    names = site.unpack(call, ("", second))
    return str(names[0]), str(names[1])


def _query_key_value(site: Site) -> tuple[Value, Value, Value]:
    query, value = site.last(site.value("query")), site.last(site.value("value"))
    return query, site.last(site.value("key")) if site.values("key") else value, value


def _heads_mask(site: Site, query: Value, value: Value) -> tuple[str, bool]:
    """Return the mask (B, T, S) of a call, "" for none, and whether later steps are hidden."""
    parts = []
    for key, axis in (("query", -1), ("value", -2), ("key", -2)):
        mask = site.mask(key)
        if mask is not None:
            parts.append(f"{mask}.unsqueeze({axis})")
    for given in site.values("attention_mask"):
        if given.rank not in (None, 2, 3):
            raise RefusedError(f"its attention_mask has {given.rank} axes")
        parts.append(f"{given}" if given.kind == "bool" else f"{given}.bool()")
    is_causal = site.arguments.get("use_causal_mask") is True
    if parts and is_causal:
        parts.append(f"causal_mask({query}, {value})")
    return " & ".join(dict.fromkeys(parts)), is_causal and not parts


def _axes(layer: Layer, rank: int) -> tuple[int, ...]:
    """Return the axes over which a layer attends, counted from the front."""
    if layer.config.get("attention_axes", (1,)) is None:
        return tuple(range(1, rank - 1))
    given = layer.integers("attention_axes") if "attention_axes" in layer.config else (1,)
    return tuple(sorted(axis % rank for axis in given))


def _with_steps_last(value: Value, axes: tuple[int, ...]) -> str:
    """Return a tensor with the axes of attention as one, in front of the last."""
    text, rank = str(value), value.rank or 3
    places = tuple(range(rank - 1 - len(axes), rank - 1))
    if axes != places:
        text += f".movedim({literal(axes)}, {literal(places)})"
    return f"{text}.flatten({-1 - len(axes)}, -2)" if len(axes) > 1 else text


def _with_steps_back(text: str, query: Value, axes: tuple[int, ...]) -> str:
    """Return the result with the axes of attention where the query has them."""
    rank = query.rank or 3
    places = tuple(range(rank - 1 - len(axes), rank - 1))
    if len(axes) > 1:
        text += f".unflatten(-2, ({', '.join(f'{query}.shape[{axis}]' for axis in axes)}))"
    return text if axes == places else f"{text}.movedim({literal(places)}, {literal(axes)})"


def _in(kernel: "NDArray[Any]") -> "NDArray[Any]":
    """Return the kernel (I, H, K) of a projection to heads as the weight of a Linear."""
    return kernel.reshape(kernel.shape[0], -1).T


def _out(kernel: "NDArray[Any]") -> "NDArray[Any]":
    """Return the kernel (H, V, O) of the projection of heads as the weight of a Linear."""
    return kernel.reshape(kernel.shape[0] * kernel.shape[1], -1).T


def _stacked(*kernels: "NDArray[Any]") -> "NDArray[Any]":
    return np.concatenate([_in(kernel) for kernel in kernels])

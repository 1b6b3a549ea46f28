"""What does not come over with a model, in sentences, each with the line of PyTorch that replaces it."""

from collections.abc import Iterator, Mapping

from batchdot.porting.errors import quote
from batchdot.porting.program import ModelClass
from batchdot.porting.program.expressions import literal
from batchdot.porting.record import LayerRecord, ModelRecord, Penalty
from batchdot.porting.record.item import shortest

OPTIMIZERS = {
    "Adam": "torch.optim.Adam(model.parameters(), lr={lr}, eps={epsilon})",
    "AdamW": "torch.optim.AdamW(model.parameters(), lr={lr}, eps={epsilon})",
    "SGD": "torch.optim.SGD(model.parameters(), lr={lr}, momentum={momentum})",
    "RMSprop": "torch.optim.RMSprop(model.parameters(), lr={lr}, alpha={rho}, eps={epsilon})",
    "Adagrad": "torch.optim.Adagrad(model.parameters(), lr={lr}, eps={epsilon})",
}
DEFAULTS: Mapping[str, object] = {"epsilon": 1e-7, "momentum": 0.0, "rho": 0.9, "lr": 0.001}

CONSTRAINTS = {
    "NonNeg": "weight.clamp_(min=0)",
    "NonNegative": "weight.clamp_(min=0)",
    "MaxNorm": "weight.renorm_(2, 0, {max_value})",
    "UnitNorm": "weight.div_(weight.norm(dim=1, keepdim=True))",
}
"""What to do after each step, to a weight of nn.Linear, whose rows are the columns of Keras's kernel."""


def notes_on(record: ModelRecord, model: ModelClass) -> Iterator[str]:
    """Yield what the reader of a ported model should know.

    Args:
        record: the saved model.
        model: the class that it became.
    """
    keys = {key for key, _ in model.arrays()}
    dtypes = {layer.dtype for layer in record.all_layers() if layer.dtype}
    for policy in sorted(dtype for dtype in dtypes if dtype.startswith("mixed_")):
        half = policy.removeprefix("mixed_")
        yield (
            f"The model computed in {half} (policy {policy}); here it computes in float32. "
            f'`with torch.autocast("cuda", dtype=torch.{half}):` computes in {half} again.'
        )
    if any("nn.LSTM" in text or "nn.GRU" in text or "nn.RNN" in text for text in _expressions(model)):
        yield "torch.compile breaks the graph at nn.LSTM, nn.GRU and nn.RNN: leave out fullgraph=True."
    for layer in record.all_layers():
        yield from _penalties(layer, keys)
    yield from _optimizer(record)


def _expressions(model: ModelClass) -> Iterator[str]:
    for submodule in model.submodules:
        yield submodule.expression
        if submodule.child is not None:
            yield from _expressions(submodule.child)


def _penalties(layer: LayerRecord, keys: set[str]) -> Iterator[str]:
    """Yield what regularizers and constraints a layer had."""
    name = quote(layer.name)[1:-1]
    for key, value in layer.config.items():
        if not isinstance(value, Penalty):
            continue
        role, _, kind = key.rpartition("_")
        weight = f"model.{layer.name}.{'bias' if role == 'bias' else 'weight'}"
        weight = weight if weight.removeprefix("model.") in keys else "weight"
        numbers = ", ".join(f"{part}={literal(number)}" for part, number in value.parameters.items())
        text = f"{name}: {key} {value.name}({numbers}) does not come over"
        line = _loss(value, weight) if kind == "regularizer" and role != "activity" else ""
        if kind == "constraint" and value.name in CONSTRAINTS:
            line = "with torch.no_grad(): " + CONSTRAINTS[value.name].replace("weight", weight).format(
                **{
                    part: literal(number)
                    for part, number in ({"max_value": 2.0} | dict(value.parameters)).items()
                }
            )
        when = "after each step" if kind == "constraint" else "for training"
        yield f"{text}; {when}: {line}" if line else f"{text}."
    if layer.config.get("recurrent_dropout"):
        yield f"{name}: recurrent_dropout does not come over; PyTorch has none within its recurrent layers."


def _loss(penalty: Penalty, weight: str) -> str:
    terms = []
    for key, method in (("l1", "abs"), ("l2", "square")):
        factor = penalty.parameters.get(key)
        if isinstance(factor, int | float) and factor:
            terms.append(f"{literal(float(factor))} * {weight}.{method}().sum()")
    return f"loss = loss + {' + '.join(terms)}" if terms else ""


def _optimizer(record: ModelRecord) -> Iterator[str]:
    """Yield which optimizer trained the model."""
    optimizer = record.training.get("optimizer_config") or record.training.get("optimizer")
    if not isinstance(optimizer, Mapping):
        return
    name, config = optimizer.get("class_name"), optimizer.get("config")
    if not isinstance(name, str) or not isinstance(config, Mapping):
        return
    name = quote(name)[1:-1]
    rate = config.get("learning_rate", config.get("lr"))
    numbers = {**DEFAULTS, **{key: shortest(each) for key, each in config.items() if isinstance(each, float)}}
    numbers["lr"] = shortest(rate) if isinstance(rate, float) else DEFAULTS["lr"]
    line = OPTIMIZERS.get(name, "").format(**{key: literal(numbers[key]) for key in DEFAULTS})
    yield f"The optimizer, {name}, does not come over" + (
        f"; for training: optimizer = {line}" if line else "."
    )

"""The order in which Keras 3 runs the calls of a model: by their distance from the outputs.

It matters where a call changes what a later one sees. Formulas: ``map_graph`` in keras/src/ops/function.py.
"""

from batchdot.porting.record.values import Call, ModelRecord

Key = tuple[str, int]


def in_run_order(model: ModelRecord) -> list[Call]:
    """Return the calls of a model in the order in which Keras 3 runs them, last those that no output needs.

    >>> from batchdot.porting.record.values import FrozenMap, TensorRef
    >>> x, y = (Call(name, arguments=FrozenMap({"inputs": TensorRef("i")})) for name in "xy")
    >>> outputs = TensorRef("x"), TensorRef("y")
    >>> model = ModelRecord("m", "functional", (), (Call("i"), x, y), (TensorRef("i"),), outputs)
    >>> [call.layer for call in in_run_order(model)]
    ['i', 'y', 'x']
    """
    calls = {(call.layer, call.number): call for call in model.calls}
    depths: dict[Key, int] = {}
    of_layer: dict[str, int] = {}
    for key in reversed(_from_outputs(model, calls)):
        depth = max(depths.get(key, 0), of_layer.get(key[0], 0))
        depths[key] = of_layer[key[0]] = depth
        for before in _before(calls[key]):
            depths[before] = max(depth + 1, depths.get(before, 0))
    ordered = sorted(depths, key=lambda key: -depths[key])
    return [calls[key] for key in dict.fromkeys([*ordered, *calls])]


def _before(call: Call) -> list[Key]:
    return [(ref.layer, ref.call) for ref in call.tensors()]


def _from_outputs(model: ModelRecord, calls: dict[Key, Call]) -> list[Key]:
    """Return the calls as a walk from the outputs leaves them: each behind those that make its inputs."""
    done: dict[Key, None] = {}
    for ref in model.output_refs:
        waiting = [((ref.layer, ref.call), False)]
        while waiting:
            key, is_left = waiting.pop()
            if is_left:
                done[key] = None
            elif key not in done:
                waiting.append((key, True))
                waiting += [(before, False) for before in reversed(_before(calls[key]))]
    return list(done)

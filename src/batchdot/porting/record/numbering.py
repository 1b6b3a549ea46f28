"""Number the calls of a graph from 0, and put them in an order in which they can run."""

import heapq
from collections.abc import Iterable, Mapping

from batchdot.porting.errors import ModelFileError, quote
from batchdot.porting.record.draft import Draft
from batchdot.porting.record.era import Era
from batchdot.porting.record.values import Call, FrozenMap, TensorRef, Value


def bases(draft: Draft, era: Era, refs: Iterable[TensorRef], place: str) -> dict[str, int]:
    """Return the number that the file gives the first call of a layer, for those where it is not 0.

    A nested model has a hidden node of its own up to Keras 2, so that its first call is number 1.
    """
    used: dict[str, set[int]] = {name: set() for name in draft.layers}
    for ref in refs:
        used[ref.layer].add(ref.call)
    found = {}
    for name, numbers in used.items():
        layer = draft.layers[name]
        calls = max(len(draft.nodes[name]), 1 if layer.is_a("InputLayer") else 0)
        likely = 1 if layer.model is not None and not era.is_keras3 else 0
        fits = [
            base for base in (likely, 1 - likely) if all(base <= number < base + calls for number in numbers)
        ]
        if not fits:
            raise ModelFileError(f"a call of {quote(name)} that is not there", place=place)
        if fits[0] == 1 and layer.model is None:
            raise ModelFileError(f"a call of {quote(name)} that is not there", place=place)
        if fits[0]:
            found[name] = fits[0]
    return found


def renumber_ref(ref: TensorRef, base: Mapping[str, int]) -> TensorRef:
    """Return a tensor with its call counted from 0."""
    number = base.get(ref.layer, 0)
    return TensorRef(ref.layer, ref.call - number, ref.output) if number else ref


def renumber(value: Value, base: Mapping[str, int]) -> Value:
    """Return a value with the calls of its tensors counted from 0."""
    if not base:
        return value
    if isinstance(value, TensorRef):
        return renumber_ref(value, base)
    if isinstance(value, tuple):
        return tuple(renumber(item, base) for item in value)
    if isinstance(value, FrozenMap):
        return FrozenMap({key: renumber(item, base) for key, item in value.items()})
    return value


def ordered(calls: Mapping[tuple[str, int], Call], place: str) -> tuple[Call, ...]:
    """Return calls so that each follows those that make its inputs (Kahn's algorithm, by the file's order).

    Raises:
        ModelFileError: they form a cycle.
    """
    waiting = {key: {(ref.layer, ref.call) for ref in call.tensors()} for key, call in calls.items()}
    users: dict[tuple[str, int], list[tuple[str, int]]] = {key: [] for key in calls}
    for key, needs in waiting.items():
        for need in needs:
            if need not in calls:
                raise ModelFileError(f"a call of {quote(need[0])} that is not there", place=place)
            users[need].append(key)
    rank = {key: position for position, key in enumerate(calls)}
    ready = [(rank[key], key) for key, needs in waiting.items() if not needs]
    heapq.heapify(ready)
    order = []
    while ready:
        _, key = heapq.heappop(ready)
        order.append(calls[key])
        for user in users[key]:
            waiting[user].discard(key)
            if not waiting[user]:
                heapq.heappush(ready, (rank[user], user))
    if len(order) != len(calls):
        stuck = next(key for key in calls if waiting[key])
        raise ModelFileError(f"a graph with a cycle through {quote(stuck[0])}", place=place)
    return tuple(order)

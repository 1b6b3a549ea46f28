"""Straight: the calls of a graph as one Python function, for runs that are nothing but these calls.

A loop over calls costs a model of small layers more than their arithmetic: it looks up layers, arguments
and results by number. Here they are local variables of a function, as a person would have written it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor


def write_function(
    calls: Sequence[tuple[Any, Any]],
    ranks: Sequence[int],
    outputs: Sequence[int],
    resume: Callable[[int, dict[str, Any]], list[Any]],
) -> Callable[[Any], list[Any] | None]:
    """Return the calls as a function of the inputs, a tensor or the list of several.

    The function returns the list of outputs; or None, before the first call, where the inputs are not of
    class Tensor and the right ranks, so that there is more to do. What a call returns that is not of class
    Tensor, it leaves to ``resume``, with the index of the call and the values so far: ``v0``, ``v1`` ...

    Args:
        calls: for each the layer, and the number of the value, or list of numbers, that it is called on.
        ranks: those of the inputs.
        outputs: the numbers of the values to return.
        resume: returns the outputs where a call has returned something else than a tensor.

    >>> class Double:
    ...     def call(self, x):
    ...         return x + x
    >>> import torch
    >>> write_function([(Double(), 0)], [1], [1], lambda index, values: [])(torch.ones(2))
    [tensor([2., 2.])]
    """
    names = {f"layer{index}": layer for index, (layer, _) in enumerate(calls)}
    names |= {"Tensor": Tensor, "resume": resume}
    count = len(ranks)
    if count == 1:
        lines = ["v0 = inputs"]
    else:
        lines = [f"if inputs.__class__ is not list or len(inputs) != {count}: return None"]
        lines += [", ".join([f"v{number}" for number in range(count)]) + " = inputs"]
    for number, rank in enumerate(ranks):
        lines += [f"if v{number}.__class__ is not Tensor or v{number}.ndim != {rank}: return None"]
    for index, (_, numbers) in enumerate(calls):
        single = numbers.__class__ is int
        argument = f"v{numbers}" if single else f"[{', '.join([f'v{number}' for number in numbers])}]"
        result = f"v{count + index}"
        lines += [f"{result} = layer{index}.call({argument})"]
        lines += [f"if {result}.__class__ is not Tensor: return resume({index}, locals())"]
    lines += [f"return [{', '.join([f'v{number}' for number in outputs])}]"]
    source = "\n    ".join(["def straight(inputs):", *lines])
    exec(compile(source, "<the calls of a model>", "exec"), names)
    function: Callable[[Any], list[Any] | None] = names["straight"]
    return function

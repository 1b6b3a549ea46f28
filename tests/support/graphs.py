"""What torch.compile makes of a function: its graphs, counted."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd


class Counter:
    """A backend that counts graphs."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.graphs += 1
        return graph.forward


def count_graphs(function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]) -> int:
    """Return how many graphs calls of a compiled function take, all of which give what they give eagerly."""
    torch.compiler.reset()
    counter = Counter()
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=counter)
    for arguments in calls:
        torch.testing.assert_close(compiled(*arguments), function(*arguments))
    return counter.graphs


def count_guards(function: Callable[..., Any], *arguments: Any) -> int:
    """Return how many questions are asked at each call of a compiled function, torch's own among them."""
    torch.compiler.reset()
    asked: list[Any] = []

    def keep(guards: list[Any]) -> list[bool]:
        asked[:] = guards
        return [True] * len(guards)

    options = {"guard_filter_fn": keep}
    torch.compile(function, fullgraph=True, dynamic=True, backend="eager", options=options)(*arguments)
    return len(asked)


def operators_of(
    function: Callable[..., Any], *arguments: Any, dynamic: bool = False
) -> tuple[Any, set[str]]:
    """Return what a compiled function returns, and the operators it is compiled to.

    Those of its gradients are added when these are taken, or before that if the sizes are ``dynamic``.
    """
    torch.compiler.reset()
    names: set[str] = set()

    def compiler(graph: Any, _: Any) -> Any:
        names.update(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return make_boxed_func(graph.forward)

    backend = aot_autograd(fw_compiler=compiler)
    return torch.compile(function, fullgraph=True, dynamic=dynamic, backend=backend)(*arguments), names

"""The invariant of torch's tools: ``parameters()`` are the tensors that a call's gradient reaches."""

from typing import Any

from torch import Tensor, nn

from batchdot import Layer


def leaves(output: Tensor) -> set[Tensor]:
    """Return the leaves of the autograd graph of a result."""
    found: set[Tensor] = set()
    waiting, seen = [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(node.variable)
        waiting += [parent for parent, _ in node.next_functions]
    return found


def check(model: Any, x: Tensor) -> None:
    """Check the invariant, and that what Keras lists are the same tensors."""
    for _ in range(2):  # the second call may take the fast path
        output = model(x)
        assert leaves(output) == {p for p in model.parameters() if p.requires_grad}
    if isinstance(model, Layer):
        assert {*model.parameters()} == {w for w in model.weights if isinstance(w, nn.Parameter)}
        assert [w.shape for w in model.weights] == [value.shape for value in model.get_weights()]
        model.set_weights([value * 2 for value in model.get_weights()])
        assert all(isinstance(loss, Tensor) for loss in model.losses)

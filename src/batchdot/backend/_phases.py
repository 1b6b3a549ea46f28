"""keras.backend functions that choose between training and inference, and K.function."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from batchdot.arrays.elementwise import where
from batchdot.backend._values import get_value
from batchdot.convert import as_tensor
from batchdot.layers.core.training_phase import TrainingPhase
from batchdot.models import Model
from batchdot.symbolic.call_context import CONTEXT, current_phase
from batchdot.symbolic.functions import symbolic
from batchdot.symbolic.tensor import symbolic_tensors
from batchdot.symbolic.tree import map_structure


def learning_phase() -> int:
    """Return 1 in a call that trains, and 0 in one that does not.

    Raises:
        LearningPhaseError: outside the call of a layer, unless `set_learning_phase` was called.

    >>> with learning_phase_scope(1):
    ...     learning_phase()
    1
    """
    return int(current_phase())


def set_learning_phase(value: int | bool) -> None:
    """Let the calls of layers in this thread train (1) or not (0), whatever the mode of their modules.

    Raises:
        ValueError: the value is neither 0 nor 1.

    >>> set_learning_phase(2)
    Traceback (most recent call last):
    ...
    ValueError: Expected learning phase to be 0 or 1. Received: 2
    """
    if value not in (0, 1):
        raise ValueError(f"Expected learning phase to be 0 or 1. Received: {value!r}")
    CONTEXT.training = bool(value)


@contextmanager
def learning_phase_scope(value: int | bool) -> Iterator[None]:
    """Apply `set_learning_phase` while the context lasts.

    >>> from batchdot.layers import Dropout
    >>> with learning_phase_scope(0):
    ...     Dropout(0.5)(torch.ones(3))
    tensor([1., 1., 1.])
    """
    with CONTEXT.set(training=None):
        set_learning_phase(value)
        yield


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """Return x in a call that trains, and alt in one that does not.

    Args:
        x: a tensor, a symbolic tensor, or a function without arguments that returns one.
        alt: likewise.
        training: what decides; by default the call of the layer around this one.

    Raises:
        LearningPhaseError: ``training`` is None, and no call decides.

    >>> in_train_phase(torch.ones(1), torch.zeros(1), training=True)
    tensor([1.])
    """
    if isinstance(training, Tensor):
        return switch(training, x, alt)
    if training is not None:
        return _evaluated(x if training else alt)
    values = [_evaluated(value) for value in (x, alt)] if _is_symbolic(x) or _is_symbolic(alt) else None
    if values is not None:
        return TrainingPhase()(values)
    return _evaluated(x if current_phase() else alt)


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """Return x in a call that does not train, and alt in one that does; see `in_train_phase`.

    >>> in_test_phase(torch.ones(1), torch.zeros(1), training=True)
    tensor([0.])
    """
    return in_train_phase(alt, x, training)


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """Return one tensor where a condition is not 0, and another elsewhere.

    Args:
        condition: a tensor of the shape of the others, or of their first axes; without axes, it chooses one
            of them as a whole.
        then_expression: a tensor, or a function without arguments that returns one.
        else_expression: likewise.

    Raises:
        ValueError: the condition has more axes than the tensors.

    >>> switch(torch.tensor([True, False]), torch.ones(2), torch.zeros(2))
    tensor([1., 0.])
    """
    expressions = then_expression, else_expression
    if not symbolic_tensors([condition]) and as_tensor(condition).ndim == 0:
        return _evaluated(expressions[0 if condition else 1])
    return _select(condition, *map(_evaluated, expressions))


@symbolic
def _select(condition: Any, x: Any, y: Any) -> Tensor:
    condition, x = as_tensor(condition), as_tensor(x)
    if condition.ndim > x.ndim:
        raise ValueError(
            f"The condition of switch has at most the axes of its expressions. "
            f"Received: condition.shape={tuple(condition.shape)}, expression.shape={tuple(x.shape)}."
        )
    chosen: Tensor = where(condition.reshape(condition.shape + (1,) * (x.ndim - condition.ndim)), x, y)
    return chosen


def function(
    inputs: Any, outputs: Any, updates: Sequence[Any] | None = None, name: str | None = None, **kwargs: Any
) -> Callable[[Any], Any]:
    """Return a function of arrays that computes symbolic outputs from symbolic inputs, as numpy arrays.

    Its calls do not train. For gradients, call ``Model(inputs, outputs)``.

    Args:
        inputs: a symbolic tensor, or a list of them.
        outputs: a symbolic tensor, or a list of them.
        updates: has to be empty.
        name: name of the model that is made.
        **kwargs: has to be empty.

    Raises:
        ValueError: ``updates`` or ``kwargs``.

    >>> import numpy as np
    >>> from batchdot import Input
    >>> x = Input((2,))
    >>> function([x], [x * 2, x + 1])([np.array([[1.0, 2.0]])])
    [array([[2., 4.]], dtype=float32), array([[2., 3.]], dtype=float32)]
    """
    if updates or kwargs:
        raise ValueError("K.function takes no updates and no arguments of a TensorFlow session.")
    model = Model(inputs, outputs, name=name)

    def run(values: Any) -> Any:
        with torch.no_grad():
            results = model(values, training=False)
        return map_structure(get_value, results)

    return run


def name_scope(name: str) -> AbstractContextManager[None]:
    """Return a context that does nothing: PyTorch has no scopes of names.

    >>> with name_scope("tower"):
    ...     pass
    """
    return nullcontext()


def _evaluated(value: Any) -> Any:
    return value() if callable(value) and not isinstance(value, Tensor) else value


def _is_symbolic(value: Any) -> bool:
    return bool(symbolic_tensors(_evaluated(value)))

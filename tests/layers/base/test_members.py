"""The Layer contract: a row for every member of the reference document, in every state of a layer.

A state is what has happened to the layer: never called; called once on symbolic tensors; called twice, on
the same shapes or on different ones; called on real tensors. A row says what the member answers in each.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from batchdot import Dot, Input, Layer, NotConnectedError
from batchdot.layers.base.naming import clear_names
from batchdot.symbolic.tensor import KerasTensor

MEMBERS = [
    "activity_regularizer",
    "dtype",
    "inbound_nodes",
    "input",
    "input_mask",
    "input_shape",
    "losses",
    "name",
    "non_trainable_variables",
    "non_trainable_weights",
    "outbound_nodes",
    "output",
    "output_mask",
    "output_shape",
    "trainable_variables",
    "trainable_weights",
    "updates",
    "variables",
    "weights",
    "__call__",
    "__init__",
    "add_loss",
    "add_update",
    "add_variable",
    "add_weight",
    "apply",
    "build",
    "call",
    "compute_mask",
    "compute_output_shape",
    "count_params",
    "from_config",
    "get_config",
    "get_input_at",
    "get_input_mask_at",
    "get_input_shape_at",
    "get_losses_for",
    "get_output_at",
    "get_output_mask_at",
    "get_output_shape_at",
    "get_updates_for",
    "get_weights",
    "set_weights",
]
"""The members that the reference document lists."""

BESIDE = ["trainable", "supports_masking", "built", "input_spec", "axes", "normalize", "forward"]
"""What the contract names beside them."""

READ_ONLY = [
    "dtype",
    "input",
    "input_mask",
    "input_shape",
    "losses",
    "name",
    "non_trainable_variables",
    "non_trainable_weights",
    "output",
    "output_mask",
    "output_shape",
    "trainable_variables",
    "trainable_weights",
    "updates",
    "variables",
    "weights",
]


@dataclass
class State:
    """A layer, and the symbolic inputs and outputs of its calls; where there are none, fresh inputs."""

    layer: Any
    inputs: list[Any]
    outputs: list[Any]

    @property
    def x(self) -> Any:
        return self.inputs[0][0]


@dataclass(frozen=True)
class Raises:
    """What a member that does not answer says."""

    type: type[BaseException]
    text: str


def make_state(state: str, style: str) -> State:
    """Make a `Dot` and call it, ``layer([x, y])`` or ``layer(x, y)``."""
    clear_names()
    layer = Dot(1)
    small, large = [(3,), (3,)], [(4, 2), (4, 5)]
    shapes = {"never": [], "once": [small], "same": [small, small], "different": [small, large], "real": []}
    inputs: list[Any] = [[Input(shape) for shape in pair] for pair in shapes[state]]
    outputs = [layer(list(pair)) if style == "list" else layer(*pair) for pair in inputs]
    if state == "real":
        pairs = [[ones(2, 3), ones(2, 3)], [ones(7, 3), ones(7, 3)]]
        outputs = [layer(pair) if style == "list" else layer(*pair) for pair in pairs]
    return State(layer, inputs or [[Input((3,)), Input((3,))]], outputs)


def ones(*sizes: int) -> Tensor:
    return torch.ones(sizes)


class Row:
    """A member and what it answers in each state; a state that is not named answers as ``every``.

    An answer is a value, a `Raises`, or a function of the state.
    """

    def __init__(self, member: str, ask: Callable[[State], Any], every: Any = None, **answers: Any) -> None:
        self.member = member
        self.ask = ask
        self.answers = {state: answers.get(state, every) for state in STATES}
        assert set(answers) <= set(STATES)


STATES = ("never", "once", "same", "different", "real")


def twice(**answers: Any) -> dict[str, Any]:
    """Answer alike for two calls on the same shapes and on different ones."""
    (answer,) = answers.values()
    return {"same": answer, "different": answer}


def unconnected(what: str) -> dict[str, Any]:
    says = Raises(NotConnectedError, f"Layer dot is not connected, no {what} to return.")
    return {"never": says, "real": says}


def without_shape(side: str) -> dict[str, Any]:
    says = Raises(NotConnectedError, f"Layer dot has never been called and thus has no defined {side} shape.")
    return {"never": says, "real": says}


def several(what: str) -> dict[str, Any]:
    return twice(
        answer=Raises(
            AttributeError,
            f'Layer dot has 2 inbound nodes, hence the notion of "layer {what}" is ill-defined. '
            f"Use get_{what.replace(' ', '_')}_at(node_index) instead.",
        )
    )


def several_shapes(side: str) -> Raises:
    return Raises(
        AttributeError,
        f'Layer dot has 2 inbound nodes with different {side} shapes, hence the notion of "{side} shape" '
        f"is ill-defined. Use get_{side}_shape_at(node_index) instead.",
    )


def never_called(what: str) -> dict[str, Any]:
    says = Raises(RuntimeError, f"The layer dot has never been called and thus has no defined {what}.")
    return {"never": says, "real": says}


def no_node(what: str, index: int, count: int) -> Raises:
    return Raises(
        ValueError, f"Asked to get {what} at node {index}, but the layer has only {count} inbound nodes."
    )


def at_rows(member: str, what: str, answer: Callable[[State, int], Any]) -> list[Row]:
    """The rows of a member that takes a node index: 0, 1, -1, and -3, which no state has."""

    def ask(index: int) -> Callable[[State], Any]:
        return lambda s: getattr(s.layer, member)(index)

    def told(index: int) -> Callable[[State], Any]:
        return lambda s: answer(s, index)

    never = never_called(what)
    return [
        Row(member, ask(0), told(0), **never),
        Row(member, ask(1), told(1), once=no_node(what, 1, 1), **never),
        Row(member, ask(-1), told(-1), **never),
        Row(member, ask(-2), told(-2), once=no_node(what, -2, 1), **never),
        Row(member, ask(2), no_node(what, 2, 2), once=no_node(what, 2, 1), **never),
        Row(member, ask(-3), no_node(what, -3, 2), once=no_node(what, -3, 1), **never),
    ]


def add(layer: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method for what it does, and return the layer."""
    getattr(layer, method)(*args, **kwargs)
    return layer


def consume(s: State) -> Any:
    """Call another layer on what the last symbolic call returned."""
    consumer = Dot(1)
    if isinstance(s.outputs[-1] if s.outputs else None, KerasTensor):
        consumer([s.outputs[-1], s.outputs[-1]])
    return consumer


def values(losses: Any) -> list[float]:
    return [loss.item() for loss in losses]


WRONG_COUNT = Raises(
    ValueError,
    'You called `set_weights(weights)` on layer "dot" with a weight list of length 1, but the layer was '
    "expecting 0 weights.",
)
NOT_BUILT = Raises(
    ValueError,
    "You tried to call `count_params` on layer dot, but the layer isn't built. You can build it manually "
    "via: `dot.build(input_shape)`.",
)
ON_READ = Raises(
    ValueError,
    "Synchronization value can be set to ON_READ only for non-trainable variables. Received trainable=True "
    "for weight 'w' of layer dot.",
)
NO_INITIALIZER = Raises(ValueError, "An initializer for variable w of type string is required for layer dot.")
ONE_INPUT = "A `Dot` layer should be called on a list of 2 inputs. Received: "
CONFIG = {"name": "dot", "trainable": True, "dtype": "float32", "axes": 1, "normalize": False}

ROWS = [
    # What the layer is.
    Row("activity_regularizer", lambda s: s.layer.activity_regularizer, None),
    Row("dtype", lambda s: s.layer.dtype, "float32"),
    Row("name", lambda s: s.layer.name, "dot"),
    Row("trainable", lambda s: s.layer.trainable, True),
    Row("supports_masking", lambda s: s.layer.supports_masking, True),
    Row("built", lambda s: s.layer.built, True, never=False),
    Row("input_spec", lambda s: s.layer.input_spec, None),
    Row("axes", lambda s: s.layer.axes, 1),
    Row("normalize", lambda s: s.layer.normalize, False),
    Row("__init__", lambda s: [*inspect.signature(s.layer.__init__).parameters][:2], ["axes", "normalize"]),
    Row("__init__", lambda s: s.layer.__init__((1, 2), True) or s.layer.axes, (1, 2)),
    # Its place in a graph.
    Row("inbound_nodes", lambda s: len(s.layer.inbound_nodes), 0, once=1, same=2, different=2),
    Row(
        "inbound_nodes",
        lambda s: [(node.layer, node.input_tensors, node.output_tensors) for node in s.layer.inbound_nodes],
        lambda s: [
            (s.layer, list(pair), out)
            for pair, out in zip(s.inputs, s.outputs, strict=True)
            if s.outputs and isinstance(out, KerasTensor)
        ],
        never=[],
        real=[],
    ),
    Row("outbound_nodes", lambda s: s.layer.outbound_nodes, []),
    Row(
        "outbound_nodes",
        lambda s: [node.layer.name for node in (consume(s), s.layer)[1].outbound_nodes],
        ["dot_1"],
        never=[],
        real=[],
    ),
    Row(
        "input",
        lambda s: s.layer.input,
        once=lambda s: s.inputs[0],
        **several("input"),
        **unconnected("input"),
    ),
    Row(
        "output",
        lambda s: s.layer.output,
        once=lambda s: s.outputs[0],
        **several("output"),
        **unconnected("output"),
    ),
    Row(
        "input_mask",
        lambda s: s.layer.input_mask,
        once=[None, None],
        **several("input mask"),
        **unconnected("input mask"),
    ),
    Row(
        "output_mask",
        lambda s: s.layer.output_mask,
        once=None,
        **several("output mask"),
        **unconnected("output mask"),
    ),
    Row(
        "input_shape",
        lambda s: s.layer.input_shape,
        [(None, 3), (None, 3)],
        different=several_shapes("input"),
        **without_shape("input"),
    ),
    Row(
        "output_shape",
        lambda s: s.layer.output_shape,
        (None, 1),
        different=several_shapes("output"),
        **without_shape("output"),
    ),
    *at_rows("get_input_at", "input", lambda s, i: s.inputs[i]),
    *at_rows("get_output_at", "output", lambda s, i: s.outputs[i]),
    *at_rows("get_input_mask_at", "input mask", lambda s, i: [None, None]),
    *at_rows("get_output_mask_at", "output mask", lambda s, i: None),
    *at_rows("get_input_shape_at", "input shape", lambda s, i: [t.shape for t in s.inputs[i]]),
    *at_rows("get_output_shape_at", "output shape", lambda s, i: s.outputs[i].shape),
    # Its weights.
    Row("weights", lambda s: s.layer.weights, []),
    Row("variables", lambda s: s.layer.variables, []),
    Row("trainable_weights", lambda s: s.layer.trainable_weights, []),
    Row("trainable_variables", lambda s: s.layer.trainable_variables, []),
    Row("non_trainable_weights", lambda s: s.layer.non_trainable_weights, []),
    Row("non_trainable_variables", lambda s: s.layer.non_trainable_variables, []),
    Row("get_weights", lambda s: s.layer.get_weights(), []),
    Row("set_weights", lambda s: s.layer.set_weights([]), None),
    Row("set_weights", lambda s: s.layer.set_weights([np.ones(2)]), WRONG_COUNT),
    Row("count_params", lambda s: s.layer.count_params(), 0, never=NOT_BUILT),
    Row("add_weight", lambda s: s.layer.add_weight("w", (2,), initializer="ones").tolist(), [1.0, 1.0]),
    Row("add_weight", lambda s: type(s.layer.add_weight("w", (2,))), nn.Parameter),
    Row("add_weight", lambda s: type(s.layer.add_weight("w", (2,), trainable=False)), Tensor),
    Row("add_weight", lambda s: s.layer.add_weight("w", (), dtype="int64").dtype, torch.int64),
    Row("add_weight", lambda s: s.layer.add_weight("w", (), synchronization="ON_READ").requires_grad, False),
    Row("add_weight", lambda s: s.layer.add_weight("w", trainable=True, synchronization="ON_READ"), ON_READ),
    Row("add_weight", lambda s: s.layer.add_weight("w", (2,), dtype="string"), NO_INITIALIZER),
    Row("add_variable", lambda s: s.layer.add_variable("w", (2,), None, "zeros").tolist(), [0.0, 0.0]),
    Row(
        "weights",
        lambda s: [w.tolist() for w in add(s.layer, "add_weight", "w", (1,), initializer="ones").weights],
        [[1.0]],
    ),
    # What it adds to a loss.
    Row("losses", lambda s: s.layer.losses, []),
    Row("add_loss", lambda s: s.layer.add_loss(2.5), None),
    Row("losses", lambda s: values(add(s.layer, "add_loss", 2.5).losses), [2.5]),
    Row(
        "losses", lambda s: values(add(s.layer, "add_loss", [ones(), lambda: 3, (4.0,)]).losses), [1.0, 3, 4]
    ),
    Row("losses", lambda s: add(s.layer, "add_loss", s.x).losses, lambda s: [s.x]),
    Row(
        "losses",
        lambda s: values(add(s.layer, "add_weight", "w", (2,), None, "ones", regularizer="l2").losses),
        [0.02],
    ),
    Row("get_losses_for", lambda s: s.layer.get_losses_for(None), []),
    Row("get_losses_for", lambda s: s.layer.get_losses_for(s.x), []),
    Row("get_losses_for", lambda s: values(add(s.layer, "add_loss", 2.0).get_losses_for(None)), [2.0]),
    Row("get_losses_for", lambda s: add(s.layer, "add_loss", 2.0).get_losses_for(s.x), []),
    Row("get_losses_for", lambda s: values(add(s.layer, "add_loss", 2.0, s.x).get_losses_for([s.x])), [2.0]),
    Row("get_losses_for", lambda s: add(s.layer, "add_loss", 2.0, s.x).get_losses_for(None), []),
    Row("get_losses_for", lambda s: add(s.layer, "add_loss", 2.0, s.x).get_losses_for(s.inputs[0][1]), []),
    Row("updates", lambda s: s.layer.updates, []),
    Row("add_update", lambda s: s.layer.add_update(s.x), None),
    Row("add_update", lambda s: add(s.layer, "add_update", [s.x, None]).updates, lambda s: [s.x]),
    Row("add_update", lambda s: add(s.layer, "add_update", ones(2)).updates, []),
    Row("get_updates_for", lambda s: s.layer.get_updates_for(s.x), []),
    Row("get_updates_for", lambda s: add(s.layer, "add_update", s.x).get_updates_for(None), lambda s: [s.x]),
    Row(
        "get_updates_for",
        lambda s: add(s.layer, "add_update", s.x, inputs=s.x).get_updates_for([s.x]),
        lambda s: [s.x],
    ),
    Row("get_updates_for", lambda s: add(s.layer, "add_update", s.x, s.x).get_updates_for(None), []),
    # What it does.
    Row("__call__", lambda s: s.layer.__call__([ones(2, 3), ones(2, 3)]).tolist(), [[3.0], [3.0]]),
    Row("__call__", lambda s: s.layer.__call__(ones(2, 3), ones(2, 3)).tolist(), [[3.0], [3.0]]),
    Row("__call__", lambda s: s.layer.__call__((ones(2, 3), ones(2, 3))).tolist(), [[3.0], [3.0]]),
    Row("__call__", lambda s: s.layer.__call__([s.x, s.x]).shape, (None, 1)),
    Row(
        "__call__",
        lambda s: s.layer.__call__(ones(2, 3)),
        Raises(ValueError, ONE_INPUT + "inputs=Tensor of shape (2, 3)"),
    ),
    Row("forward", lambda s: s.layer.forward([ones(2, 3), ones(2, 3)]).tolist(), [[3.0], [3.0]]),
    Row("apply", lambda s: s.layer.apply([ones(2, 3), ones(2, 3)]).tolist(), [[3.0], [3.0]]),
    Row("apply", lambda s: s.layer.apply(ones(2, 3), ones(2, 3)).tolist(), [[3.0], [3.0]]),
    Row("apply", lambda s: s.layer.apply(lambda module: setattr(module, "seen", True)).seen, True),
    Row("call", lambda s: s.layer.call([ones(2, 3), ones(2, 3)]).tolist(), [[3.0], [3.0]]),
    Row("build", lambda s: s.layer.build([(None, 3), (None, 3)]), None),
    Row("build", lambda s: add(s.layer, "build", [(None, 3), (None, 3)]).built, True),
    Row("build", lambda s: s.layer.build((None, 3)), Raises(ValueError, ONE_INPUT + "input_shape=(None, 3)")),
    Row("compute_mask", lambda s: s.layer.compute_mask(s.inputs[0]), None),
    Row("compute_mask", lambda s: s.layer.compute_mask(s.inputs[0], [ones(2), ones(2)]), None),
    Row("compute_output_shape", lambda s: s.layer.compute_output_shape([(None, 3), (5, 3)]), (5, 1)),
    Row("compute_output_shape", lambda s: s.layer.compute_output_shape([(2, 3, 4), (2, 3)]), (2, 4)),
    Row(
        "compute_output_shape",
        lambda s: s.layer.compute_output_shape((None, 3)),
        Raises(ValueError, ONE_INPUT + "input_shape=(None, 3)"),
    ),
    Row("get_config", lambda s: list(s.layer.get_config().items()), list(CONFIG.items())),
    Row("from_config", lambda s: s.layer.from_config(s.layer.get_config()).get_config(), CONFIG),
    Row("from_config", lambda s: len(s.layer.from_config(CONFIG).inbound_nodes), 0),
]


def is_same(actual: Any, wanted: Any) -> bool:
    """Compare: symbolic tensors by identity, the rest by type and value."""
    if isinstance(wanted, list | tuple):
        return (
            type(actual) is type(wanted) and len(actual) == len(wanted) and all(map(is_same, actual, wanted))
        )
    if isinstance(wanted, KerasTensor | Layer):
        return actual is wanted
    if isinstance(wanted, float):
        return bool(actual == pytest.approx(wanted))
    return bool(actual == wanted)


@pytest.mark.parametrize("style", ["list", "apart"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("number", range(len(ROWS)), ids=[f"{row.member}-{i}" for i, row in enumerate(ROWS)])
def test_member(number: int, state: str, style: str) -> None:
    row, made = ROWS[number], make_state(state, style)
    wanted = row.answers[state]
    if isinstance(wanted, Raises):
        with pytest.raises(wanted.type) as caught:
            row.ask(made)
        assert type(caught.value) is wanted.type
        assert str(caught.value) == wanted.text
        return
    actual = row.ask(made)
    wanted = wanted(made) if inspect.isfunction(wanted) else wanted
    assert is_same(actual, wanted), f"{actual} instead of {wanted}"


def test_every_member_has_a_row() -> None:
    assert {row.member for row in ROWS} == {*MEMBERS, *BESIDE}
    for row in ROWS:
        assert hasattr(Dot(1), row.member) or row.member in MEMBERS[:19]
        asked = (*row.ask.__code__.co_names, *row.ask.__code__.co_consts)
        assert row.member in asked or row.member in inspect.getclosurevars(row.ask).nonlocals.values()


def test_calls_on_real_tensors_make_no_nodes() -> None:
    layer = make_state("once", "list").layer
    layer([ones(2, 3), ones(2, 3)])
    layer(ones(2, 3), ones(2, 3))
    assert len(layer.inbound_nodes) == 1


@pytest.mark.parametrize("state", ["never", "once"])
@pytest.mark.parametrize("kind", ["value", "list", "parameter", "buffer", "module"])
@pytest.mark.parametrize("member", READ_ONLY)
def test_read_only_members_refuse_to_be_set(member: str, kind: str, state: str) -> None:
    layer = make_state(state, "list").layer
    value = {
        "value": "value",
        "list": [1],
        "parameter": nn.Parameter(ones(1)),
        "buffer": ones(1),
        "module": nn.Linear(1, 1),
    }[kind]
    with pytest.raises(AttributeError) as caught:
        setattr(layer, member, value)
    assert str(caught.value) == (
        f'Can\'t set the attribute "{member}", likely because it conflicts with an existing read-only '
        "@property of the object. Please choose a different name."
    )
    assert not layer.state_dict()
    assert not list(layer.children())


def test_settable_members_are_set() -> None:
    layer = Dot(1)
    layer.trainable = False
    layer.activity_regularizer = torch.sum
    layer.axes, layer.normalize, layer.supports_masking, layer.input_spec = 2, True, False, []
    config = layer.get_config()
    assert (config["trainable"], config["axes"], config["normalize"]) == (False, 2, True)
    assert layer.activity_regularizer is torch.sum
    assert (layer.supports_masking, layer.input_spec) == (False, [])


def test_not_connected_error_has_both_types() -> None:
    with pytest.raises(RuntimeError, match="not connected"):
        _ = Dot(1).input
    with pytest.raises(AttributeError, match="not connected"):
        _ = Dot(1).input
    assert not hasattr(Dot(1), "input")
    assert getattr(Dot(1), "output", "none") == "none"


def test_missing_attribute_error_names_it() -> None:
    with pytest.raises(AttributeError, match=r"'Dot' object has no attribute 'inptu'"):
        _ = Dot(1).inptu


class MakesMask(Layer):
    """Masks what is zero, as Masking does."""

    def call(self, inputs: Any) -> Any:
        return inputs * 1

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return (inputs != 0).any(-1)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True


class TakesMask(Layer):
    """Counts what is not masked."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return torch.full_like(inputs[..., 0], -1.0).sum(-1, keepdim=True)
        return mask.to(inputs.dtype).sum(-1, keepdim=True)


def test_masks_arrive_at_dot_and_stop_there() -> None:
    x, y = Input((4, 3)), Input((5, 3))
    masked, layer = MakesMask()(x), Dot(2)
    out = layer([masked, y])
    assert layer.input_mask == [masked.mask, None]
    assert layer.get_input_mask_at(0) == [masked.mask, None]
    assert masked.mask is not None
    assert masked.mask.shape == (None, 4)
    assert masked.mask.dtype == torch.bool
    assert layer.output_mask is None
    assert layer.get_output_mask_at(0) is None
    assert out.mask is None


def test_a_single_item_is_not_a_list_of_one() -> None:
    x = Input((4, 3))
    layer = MakesMask()
    out = layer(x)
    assert layer.input is x
    assert layer.output is out
    assert layer.input_shape == (None, 4, 3)
    assert layer.output_shape == (None, 4, 3)
    assert layer.input_mask is None
    assert layer.output_mask is out.mask


def test_mask_passes_supporting_layers_only() -> None:
    class Passes(MakesMask):
        def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
            return Layer.compute_mask(self, inputs, mask)

    class Stops(Passes):
        def __init__(self) -> None:
            super().__init__()
            self.supports_masking = False

    from batchdot import Model

    x = Input((4, 3))
    model = Model(x, [TakesMask()(Passes()(MakesMask()(x))), TakesMask()(Stops()(MakesMask()(x)))])
    real = torch.tensor([[[1.0] * 3, [0.0] * 3, [2.0] * 3, [0.0] * 3]])
    passed, stopped = model(real)
    assert passed.item() == 2
    assert stopped.item() == -4

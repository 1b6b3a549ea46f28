"""Every public name of Keras is here, or has an answer that says what to write instead."""

import ast
import copy
import importlib
import inspect
import pickle
import pydoc
import re
import sys
from functools import reduce
from pkgutil import resolve_name
from typing import Any

import numpy
import pytest
import torch
from tests.support.live_keras import live_keras

import batchdot
from batchdot.keras_names.earlier import EARLIER, PLACES
from batchdot.keras_names.imports import KerasImports, StandIn
from batchdot.keras_names.lookup import all_answers, find, module_attribute, modules_not_here
from batchdot.keras_names.restrictions import RESTRICTIONS

MODULES = (
    *("activations", "applications", "backend", "callbacks", "constraints", "datasets", "initializers"),
    *("layers", "losses", "metrics", "models", "optimizers", "regularizers", "utils"),
)
"""Modules of Keras whose names are all accounted for; those of the other modules are not."""


SAVING = (
    *("CustomObjectScope", "custom_object_scope", "deserialize_keras_object", "get_custom_objects"),
    *("get_registered_name", "get_registered_object", "load_model", "load_weights", "save_model"),
    *("register_keras_serializable", "save_weights", "serialize_keras_object"),
)
"""Names of keras.saving that have answers."""


def keras_names(place: str) -> list[str]:
    """Return the public names in a module of Keras, at its top, or of its Model, in either version."""
    found: set[str] = set()
    for library in map(live_keras, ("tf_keras", "keras")):
        source = {"": library, "Model": library.Model}.get(place) or getattr(library, place, object())
        names = dir(source) if place == "Model" else vars(source) if hasattr(source, "__dict__") else ()
        found |= {name for name in names if not name.startswith("_")}
    return sorted(found)


def is_here(name: str) -> bool:
    place, _, last = name.rpartition(".")
    if place == "Model":  # an attribute of the class, or of an instance
        return hasattr(batchdot.Model, last) or last in vars(batchdot.Model())
    try:
        found = getattr(importlib.import_module(f"batchdot.{place}".rstrip(".")), last)
    except (AttributeError, ImportError):
        return False
    return not isinstance(found, StandIn)


def test_every_name_of_keras_is_here_or_answered(keras_says: Any) -> None:
    places = ("", *MODULES, "Model")
    names = [f"{place}.{name}".lstrip(".") for place in places for name in keras_says(keras_names, place)]
    assert len(names) > 900
    of_torch = {f"Model.{name}" for name in dir(torch.nn.Module)}
    lost = [name for name in names if not (is_here(name) or name in all_answers() or name in of_torch)]
    assert lost == []
    both = [name for name in names if is_here(name) and name in all_answers()]
    assert both == ["ops"]  # here it is another package
    # An answer to a name that no Keras has would never be seen.
    stray = set(all_answers()) - set(names)
    assert stray - {answer.name for answer in EARLIER} == {f"saving.{name}" for name in SAVING}


def test_names_of_keras_1_and_2_are_not_here() -> None:
    assert [answer.name for answer in EARLIER if is_here(answer.name)] == []
    for place, target in PLACES.items():
        assert find(place) is None or place == "layers.merge"
        assert target in ("", *PUBLIC) or target in modules_not_here()


def test_every_answer_is_said_by_an_import_or_an_attribute() -> None:
    for name, answer in all_answers().items():
        place, _, last = name.rpartition(".")
        if place == "Model" or name in modules_not_here() or name in ("ops", "layers.merge"):
            continue
        module = importlib.import_module(f"batchdot.{place}".rstrip("."))
        with pytest.raises(AttributeError) as attribute:
            getattr(module, last)
        with pytest.raises(ImportError) as statement:
            exec(f"from {module.__name__} import {last}", {})
        assert str(attribute.value) == str(statement.value) == str(answer)


def test_every_restriction_is_of_a_name_that_is_here() -> None:
    assert [name for name in RESTRICTIONS if not is_here(name)] == []


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


ROOTS = {"torch": torch, "numpy": numpy, "batchdot": batchdot, "layers": batchdot.layers}
ROOTS |= {"backend": batchdot.backend, "models": batchdot.models, "initializers": batchdot.initializers}
ROOTS |= {"regularizers": batchdot.regularizers}


def names_in(code: str) -> list[str]:
    """Return the dotted names in code that begin with a module of `ROOTS`."""
    tree = ast.parse(code.replace(": optimizer", ":\n optimizer") if code.startswith("for") else code)
    dotted = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return [name for name in dotted if re.fullmatch(r"[\w.]+", name) and name.partition(".")[0] in ROOTS]


@pytest.mark.parametrize("place", sorted({name.rpartition(".")[0] for name in all_answers()}))
def test_code_of_an_answer_is_python_with_names_that_exist(place: str) -> None:
    for answer in all_answers().values():
        if answer.name.rpartition(".")[0] == place:
            assert answer.why == answer.why.strip(" .;"), answer
            assert answer.instead.endswith("."), answer
            names = [name for code in codes(answer.instead) for name in names_in(code)]
            assert [name for name in names if not exists(name)] == [], answer


def exists(name: str) -> bool:
    root, *rest = name.split(".")
    try:
        if root in ("torch", "numpy", "batchdot"):
            return bool(resolve_name(name))  # imports modules on the way
        return bool(reduce(getattr, rest, ROOTS[root]))
    except (AttributeError, ImportError):
        return False


MODULE_ERRORS = [
    ("batchdot.layers", "LSTM", "batchdot has no layers.LSTM: PyTorch has the module. Write `layers.Torch"),
    ("batchdot.backend", "conv2d", "Write `torch.nn.functional.conv2d("),
    ("batchdot.models", "save_model", "Write `torch.save(model.state_dict(), path)`"),
    ("batchdot.activations", "glu", "Write `torch.nn.functional.glu(x)`"),
    ("batchdot.optimizers", "RMSprop", "Write `torch.optim.RMSprop(model.parameters(), lr=0.001"),
    (
        "batchdot.losses",
        "mse",
        "batchdot has no losses.mse: a loss is a function of two tensors. Write `torch.nn.",
    ),
    ("batchdot.utils", "plot_model", "Write `model.summary()`"),
    ("batchdot.utils.np_utils", "to_categorical", "Write `numpy.eye(num_classes)[y]`"),
    ("batchdot.utils", "nothing", "batchdot has no utils: PyTorch, numpy and Python have what it does."),
    ("batchdot.layers.recurrent", "LSTM", "batchdot has no layers.LSTM: PyTorch has the module."),
    ("batchdot.preprocessing.sequence", "pad_sequences", "[-maxlen:] for ids in sequences])`"),
    ("batchdot.objectives", "mse", "batchdot has no losses.mse: "),
    ("batchdot.regularizers", "activity_l2", "Write `regularizers.l2(0.01)`"),
    ("batchdot.layers", "Merge", "Write `layers.Dot(1)([x, y])` for `Merge(mode="),
    ("batchdot.utils", "__wrapped__", "module 'batchdot.utils' has no attribute '__wrapped__'"),
    ("batchdot.engine", "__file__", "module 'batchdot.engine' has no attribute '__file__'"),
    ("batchdot.ops", "sum", "Write `torch.sum(x, 1)` for `ops.sum(x, axis=1)`"),
    ("batchdot.layers", "Lstm", "module 'batchdot.layers' has no attribute 'Lstm'"),
    ("batchdot", "nothing", "module 'batchdot' has no attribute 'nothing'"),
    ("batchdot.backend", "_x", "module 'batchdot.backend' has no attribute '_x'"),
]


@pytest.mark.parametrize(("module", "name", "text"), MODULE_ERRORS)
def test_attribute_of_a_module_is_an_attribute_error(module: str, name: str, text: str) -> None:
    found = importlib.import_module(module)
    assert not hasattr(found, name)
    assert getattr(found, name, 1) == 1
    with pytest.raises(AttributeError) as caught:
        getattr(found, name)
    assert text in str(caught.value)
    assert caught.value.name == name


IMPORTS = [
    ("from batchdot.layers import LSTM", "batchdot has no layers.LSTM: "),
    ("from batchdot.layers import Dense, GRU", "batchdot has no layers.GRU: "),
    (
        "from batchdot.optimizers import SGD, Adam",
        "batchdot has no optimizers.SGD: PyTorch has it. Write `torch",
    ),
    ("from batchdot.optimizers import *", "batchdot has no optimizers.Adadelta: "),
    ("from batchdot.callbacks import EarlyStopping", "batchdot has no callbacks.EarlyStopping: "),
    (
        "from batchdot.utils import plot_model",
        "batchdot has no utils.plot_model: it is a line. Write `model.sum",
    ),
    ("from batchdot.utils import nothing", "batchdot has no utils: "),
    ("from batchdot.utils.np_utils import to_categorical", "batchdot has no utils.to_categorical: "),
    (
        "from batchdot.preprocessing.sequence import pad_sequences",
        "batchdot has no preprocessing.sequence.pad",
    ),
    ("from batchdot.layers.recurrent import LSTM", "batchdot has no layers.LSTM: "),
    ("from batchdot.engine.topology import Layer, InputSpec", "batchdot has no layers.InputSpec: "),
    ("from batchdot.activations import glu", "batchdot has no activations.glu: "),
    ("from batchdot.constraints import RadialConstraint", "batchdot has no constraints.RadialConstraint: "),
    ("from batchdot.initializers import STFT", "batchdot has no initializers.STFT: "),
    ("from batchdot.regularizers import activity_l2", "batchdot has no regularizers.activity_l2: "),
    ("from batchdot.ops import dot", "batchdot has no ops: "),
    ("import batchdot.random", "batchdot has no random: "),
    ("from batchdot.layers.core import LSTM", "batchdot has no layers.LSTM: "),
    ("from batchdot.backend import rnn", "batchdot has no backend.rnn: "),
    ("from batchdot.models import save_model", "batchdot has no models.save_model: "),
    ("from batchdot.layers import Lstm", "cannot import name 'Lstm' from 'batchdot.layers'"),
    ("import batchdot.nothing", "No module named 'batchdot.nothing'"),
]


@pytest.mark.parametrize(("statement", "text"), IMPORTS)
def test_import_is_an_import_error(statement: str, text: str) -> None:
    with pytest.raises(ImportError) as caught:
        exec(statement, {})
    assert str(caught.value).startswith(text)


EARLIER_IMPORTS = [
    "from batchdot.layers.core import Dense, Flatten, Lambda",
    "from batchdot.layers.embeddings import Embedding",
    "from batchdot.layers.merge import Dot, concatenate, dot",
    "from batchdot.layers.recurrent import *",
    "from batchdot.layers import Dot, Lambda, dot, merge",
    "from batchdot.engine.topology import Input, Layer",
    "from batchdot.engine.training import Model",
    "from batchdot.engine import Layer, Model",
    "from batchdot.initializations import glorot_uniform",
    "from batchdot.backend.tensorflow_backend import dot",
    "from batchdot import losses, optimizers, utils",
    "import batchdot.optimizers",
]


@pytest.mark.parametrize("statement", EARLIER_IMPORTS)
def test_import_of_an_earlier_place_has_the_names_that_are_here(statement: str) -> None:
    names: dict[str, Any] = {}
    exec(statement, names)
    for name, value in names.items():
        if name[0].isupper():
            assert value is getattr(batchdot.layers, name, None) or value is batchdot.Model


def test_stand_in_is_an_empty_module() -> None:
    found = batchdot.optimizers
    assert found is importlib.reload(found) is importlib.import_module("batchdot.optimizers")
    assert (dir(found), dir(batchdot.layers.merge)) == ([], sorted(batchdot.layers.__all__))
    assert found.__doc__.startswith("batchdot has no optimizers: ")
    assert "batchdot has no optimizers" in pydoc.plain(pydoc.render_doc(found))
    assert inspect.getmodule(found) is found
    assert inspect.getmembers(found) == []
    with pytest.raises(TypeError, match=r"Write `layers.dot\(\[x, y\], axes=1\)` for `merge"):
        batchdot.layers.merge([1, 2], mode="dot")
    with pytest.raises(TypeError, match="batchdot has no optimizers"):
        found("adam")


def test_finder_leaves_other_packages_alone() -> None:
    finder = KerasImports()
    others = ("batchdot", "batchdots.layers.LSTM", "keras.optimizers", "numpy.nothing", "")
    assert [finder.find_spec(name, None) for name in others] == [None] * 5
    before = len(sys.meta_path)
    KerasImports.install()
    assert len(sys.meta_path) == before
    assert type(sys.meta_path[-1]).__name__ == "KerasImports" or before > 1


def model() -> Any:
    x = batchdot.Input((2,))
    return batchdot.Model(x, batchdot.layers.Dense(1)(x))


class Subclassed(batchdot.Model):
    """A model with a method that has a fault of its own."""

    def call(self, inputs: Any) -> Any:
        return inputs

    @property
    def metrics(self) -> Any:
        return self.nothing


MAKE = {"functional": model, "subclass": Subclassed, "sequential": batchdot.Sequential}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fit", "loss_function(model(x), y).backward(); optimizer.step()"),
        ("evaluate", "losses and metrics are functions of tensors"),
        ("save", "torch.save(model.state_dict(), path)"),
        ("train_on_batch", "loss.backward()"),
        ("to_yaml", "model.to_json()"),
    ],
)
def test_method_of_a_model_says_what_to_write(make: Any, name: str, text: str) -> None:
    made = make()
    assert not hasattr(made, name)
    with pytest.raises(AttributeError, match=f"batchdot has no Model.{name}: ") as caught:
        getattr(made, name)
    assert text in str(caught.value)


def test_own_attributes_and_faults_of_a_model_stay() -> None:
    made = Subclassed()
    with pytest.raises(AttributeError, match="object has no attribute 'nothing'"):
        made.metrics  # noqa: B018
    made.fit = "mine"
    assert made.fit == "mine"
    for again in (copy.deepcopy(model()), pickle.loads(pickle.dumps(model()))):
        assert again.count_params() == 3


KERAS_COMPILE = [
    lambda m: m.compile(optimizer="adam", loss="mse"),
    lambda m: m.compile("adam"),
    lambda m: m.compile("adam", "mse", ["accuracy"]),
    lambda m: m.compile(loss={"out": "mse"}),
    lambda m: m.compile(optimizer="sgd", run_eagerly=True),
    lambda m: m.compile(jit_compile=True, metrics=[]),
]


@pytest.mark.parametrize("call", KERAS_COMPILE)
def test_compile_with_arguments_of_keras_is_refused(call: Any) -> None:
    with pytest.raises(TypeError, match=r"no Model.compile for an optimizer and a loss: .*\.backward\(\)"):
        call(model())


@pytest.mark.parametrize("options", [{}, {"fullgraph": True}, {"dynamic": True, "mode": None}])
def test_compile_with_arguments_of_torch_compiles(options: dict[str, Any]) -> None:
    made, x = model(), torch.ones(3, 2)
    wanted = made(x)
    assert made.compile(backend="eager", **options) is None
    torch.testing.assert_close(made(x), wanted)


PUBLIC = ("", "activations", "backend", "config", "constraints", "distributed", "initializers", "layers")
PUBLIC += ("models", "porting", "regularizers")


@pytest.mark.parametrize("name", PUBLIC)
def test_dir_of_a_public_module_is_its_all(name: str) -> None:
    module = importlib.import_module(f"batchdot.{name}".rstrip("."))
    assert dir(module) == sorted(module.__all__)
    assert [member for member in module.__all__ if not hasattr(module, member)] == []


def test_public_modules_are_all_looked_at() -> None:
    modules = {name for name in batchdot.__all__ if getattr(batchdot, name).__class__ is type(batchdot)}
    assert modules == set(PUBLIC) - {""}


CLASSES = [getattr(batchdot.layers, name) for name in batchdot.layers.__all__ if name[0].isupper()]


@pytest.mark.parametrize("cls", [*CLASSES, batchdot.Model, batchdot.Sequential], ids=lambda cls: cls.__name__)
def test_help_of_a_layer_is_its_own(cls: Any) -> None:
    begin = pydoc.plain(pydoc.render_doc(cls)).splitlines()[:8]
    assert any(line.endswith(cls.__doc__.splitlines()[0]) for line in begin)
    if isinstance(cls, type):
        assert "nn.Module and ScriptModule" not in (inspect.getdoc(cls.__init__) or "")


def test_deprecated_modules_are_there_without_an_import() -> None:
    with pytest.warns(DeprecationWarning, match="batchdot.sharding is batchdot.distributed now"):
        importlib.reload(importlib.import_module("batchdot.sharding"))
    assert batchdot.sharding.check_agreement is batchdot.distributed.check_agreement


def test_error_of_a_module_without_an_answer() -> None:
    with pytest.raises(AttributeError, match=r"^module 'batchdot' has no attribute 'x'$"):
        module_attribute("batchdot", "x")

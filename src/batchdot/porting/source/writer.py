"""Write a program as the text of a Python file: imports, helpers, classes, and a check of the weights."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace

from batchdot.codegen import INDENT, WIDTH, Function
from batchdot.porting.program import ModelClass, Program
from batchdot.porting.program.expressions import names_in
from batchdot.porting.program.values import Loop, Results, Shape, Statement, Submodule, leaves
from batchdot.porting.source.library import helpers_for

LICENSE = "This file is yours, under the 0BSD license: no conditions, no warranty."

MAIN = """
if __name__ == "__main__":
    from pathlib import Path

    from safetensors.torch import load_file

    model = {name}()
    model.load_state_dict(load_file(Path(__file__).with_suffix(".safetensors")))
    print(model.eval())
"""


def write(program: Program) -> str:
    """Return the file that a program is. Equal programs give equal text."""
    classes = list(_classes(program.model))
    names = {name for each in classes for name in _names(each, program.dtype)}
    names.update(name for _, expression in program.definitions for name in names_in(expression))
    helpers = list(helpers_for(names))
    names = names.union(*(helper.names for helper in helpers))
    blocks = [helper.text for helper in helpers]
    blocks += [_definition(name, expression) for name, expression in program.definitions]
    blocks += [_class(each, program.dtype, each is program.model) for each in classes]
    imports = "\n".join([*_imports(names, program.dtype), *_own_imports(program, names)])
    title = f'"""{program.title}\n\n{LICENSE}\n"""'
    notes = "".join(f"{line}\n" for line in _notes(program.notes))
    main = MAIN.format(name=program.model.name).strip("\n")
    return f"{title}\n\n{notes}{imports}\n\n\n" + "\n\n\n".join([*blocks, main]) + "\n"


def _notes(notes: Sequence[str]) -> Iterator[str]:
    """Yield what the reader should know as comments, and an empty line."""
    for note in notes:
        plain = "".join(letter if letter.isascii() and letter.isprintable() else "_" for letter in note)
        yield from textwrap.wrap(plain, WIDTH, initial_indent="# - ", subsequent_indent="#   ")
    if notes:
        yield ""


def _classes(model: ModelClass) -> Iterator[ModelClass]:
    """Yield the classes of a program, each after those that it uses."""
    for submodule in model.submodules:
        if submodule.child is not None:
            yield from _classes(submodule.child)
    yield model


def _names(model: ModelClass, dtype: str) -> Iterator[str]:
    for submodule in model.submodules:
        yield from names_in(_constructor(submodule, dtype))
    for part in model.statements:
        for statement in part.statements if isinstance(part, Loop) else [part]:
            yield from names_in(statement.expression)
    for expression in leaves(model.results):
        yield from names_in(expression)


def _imports(names: set[str], dtype: str) -> Iterator[str]:
    if "torch" in names or dtype != "float32":
        yield "import torch"
    yield "from torch import Tensor, nn"
    if "F" in names:
        yield "from torch.nn import functional as F"
    if "pack_padded_sequence" in names:
        yield "from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence"


def _own_imports(program: Program, names: set[str]) -> Iterator[str]:
    """Yield the imports of batchdot and of the user's functions, behind an empty line."""
    lines = [function.import_line for function in program.functions if function.place]
    lines = (["import batchdot"] if "batchdot" in names else []) + sorted(lines)
    if lines:
        yield ""
        yield from lines


def _definition(name: str, expression: str) -> str:
    function = Function(name, ["x: Tensor"], "Tensor")
    function.give(expression)
    return "\n".join(function.lines)


def _class(model: ModelClass, dtype: str, is_root: bool) -> str:
    lines = [f"class {model.name}(nn.Module):"]
    if model.description:
        lines += [f'{INDENT}"""{model.description}"""', ""]
    if model.submodules:
        lines += [*_init(model, dtype, is_root).lines, ""]
    return "\n".join([*lines, *_forward(model).lines])


def _init(model: ModelClass, dtype: str, is_root: bool) -> Function:
    init = Function("__init__", ["self"], "None", INDENT)
    init.add("super().__init__()")
    is_frozen = model.trainable and _is_frozen(model)
    for submodule in model.submodules:
        constructor = _constructor(replace(submodule, trainable=is_frozen or submodule.trainable), dtype)
        init.assign(f"self.{submodule.attribute}", constructor)
        if submodule.trainable and model.trainable:
            for key in _frozen_keys(submodule):
                init.add(f"self.{submodule.attribute}.{key}.requires_grad_(False)")
    if is_frozen or (is_root and not model.trainable and any(True for _ in model.arrays())):
        init.add("self.requires_grad_(False)")
    if is_root and dtype != "float32":
        init.add(f"self.to(torch.{dtype})")
    return init


def _is_frozen(model: ModelClass) -> bool:
    """Whether several sub-modules have parameters, and none of them learns."""
    learning = [one for one in model.submodules if one.state or one.child is not None]
    return len(learning) > 1 and not any(one.trainable for one in learning)


def _constructor(submodule: Submodule, dtype: str) -> str:
    """Return the expression that builds a sub-module, frozen and of another dtype where it is."""
    text = submodule.expression
    own = next((array.dtype for array in submodule.state.values() if "float" in array.dtype), dtype)
    if own != dtype:
        is_tensor = "" in submodule.state
        text = f"{text[:-2]}, dtype=torch.{own}))" if is_tensor else f"{text}.to(torch.{own})"
    return text if submodule.trainable else f"{text}.requires_grad_(False)"


def _frozen_keys(submodule: Submodule) -> Iterator[str]:
    """Yield the parameters of a sub-module that Keras does not have, and that are frozen."""
    for key, array in submodule.state.items():
        if key and not array.trainable and "float" in array.dtype:
            yield key


def _forward(model: ModelClass) -> Function:
    """Return ``forward``; a last result that has a name for nothing else is returned as it is."""
    forward = Function("forward", ["self", *_parameters(model)], _type(model.results), INDENT)
    if model.keys:
        _take_from_dict(model, forward)
    *most, last = model.statements or (None,)
    if isinstance(last, Statement) and model.results == last.targets:
        _write_block(most, forward)
        forward.give(last.expression, _comment(last.shape))
    else:
        _write_block(model.statements, forward)
        forward.give(model.results)
    return forward


def _parameters(model: ModelClass) -> Iterator[str]:
    types = ["Tensor"] * len(model.parameters)
    if model.keys:
        types = ["Tensor | dict[str, Tensor]", *["Tensor | None = None"] * (len(model.keys) - 1)]
    pairs = zip(model.parameters, types, strict=True)
    return (f"{name}: {annotation}" for name, annotation in (*pairs, *model.borrowed))


def _take_from_dict(model: ModelClass, forward: Function) -> None:
    """Write the lines that take the inputs out of a dict."""
    first, *rest = map(str, model.parameters)
    with forward.block(f"if isinstance({first}, dict):"):
        pairs = zip([first, *rest], model.keys, strict=True)
        own, *others = [(name, f"{first}[{json.dumps(key)}]") for name, key in pairs]
        for name, value in [*others, own]:  # the dict itself last
            line = f"{name} = {value}"
            fits = len(forward.indent + line) <= WIDTH
            for part in [line] if fits else [f"{name} = (", f"{INDENT}{value}", ")"]:
                forward.add(part)
    for name in rest:
        forward.add(f"assert {name} is not None")


def _write_block(block: Sequence[Statement | Loop | None], forward: Function) -> None:
    for part in block:
        if isinstance(part, Loop):
            with forward.block(f"for _ in range({part.count}):"):
                _write_block(part.statements, forward)
        elif part is not None:
            forward.assign(part.targets, part.expression, _comment(part.shape))


def _type(results: Results) -> str:
    if isinstance(results, str):
        return "tuple[Tensor, ...]" if results.startswith("tuple(") else "Tensor"
    if isinstance(results, dict):
        return "dict[str, Tensor]"
    types = [_type(part) for part in results]
    return (
        "tuple[Tensor, ...]" if len(types) > 4 and set(types) == {"Tensor"} else f"tuple[{', '.join(types)}]"
    )


UNKNOWN = {2: "N", 3: "T", 4: "HW", 5: "DHW"}
"""Letters of sizes that are not known, by the number of axes."""


def _comment(shape: Shape) -> str:
    """Return a shape as a comment.

    >>> _comment((None, None, 3))
    '  # (B, T, 3)'
    """
    if shape is None:
        return ""
    letters = iter(UNKNOWN.get(len(shape), ""))
    sizes = [str(size) if size is not None else next(letters, "N") for size in shape[1:]]
    if shape and shape[0] is None:
        sizes.insert(0, "B")
    elif shape:
        sizes.insert(0, str(shape[0]))
    return f"  # ({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"

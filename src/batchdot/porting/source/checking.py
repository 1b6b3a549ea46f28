"""Check the text of a ported file before it runs: its imports, names, calls and attributes are on lists."""

import ast
from collections.abc import Collection, Iterable

from batchdot.codegen.syntax import parse_file
from batchdot.porting.source.library import helper_names

IMPORTS = (
    "import torch",
    "import batchdot",
    "from torch import Tensor, nn",
    "from torch.nn import functional as F",
    "from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence",
    "from pathlib import Path",
    "from safetensors.torch import load_file",
)

BUILTINS = frozenset(
    {
        *("super", "range", "len", "print", "isinstance", "dict", "tuple", "list", "str"),
        *("zip", "reversed", "enumerate"),
        *("int", "float", "bool", "max", "min", "__name__", "__file__"),
    }
)

FORBIDDEN = frozenset(
    {
        *("load", "save", "hub", "ops", "utils", "jit", "compile", "classes", "serialization", "package"),
        *("multiprocessing", "distributed", "library", "cpp", "os", "sys", "from_file", "apply_", "map_"),
    }
)
"""Attributes that no ported file has: what reads files, runs code or leaves the process."""

NODES = (
    *(
        ast.Module,
        ast.Import,
        ast.ImportFrom,
        ast.alias,
        ast.ClassDef,
        ast.FunctionDef,
        ast.arguments,
        ast.arg,
    ),
    *(
        ast.Return,
        ast.Assign,
        ast.AugAssign,
        ast.AnnAssign,
        ast.If,
        ast.For,
        ast.Expr,
        ast.keyword,
        ast.Assert,
    ),
    *(
        ast.Name,
        ast.Attribute,
        ast.Call,
        ast.Subscript,
        ast.Slice,
        ast.Constant,
        ast.Tuple,
        ast.List,
        ast.Dict,
    ),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Starred, ast.Lambda),
    *(ast.ListComp, ast.GeneratorExp, ast.comprehension, ast.JoinedStr, ast.FormattedValue, ast.Raise),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context),
)
"""Kinds of syntax."""


class SourceError(Exception):
    """A ported file would hold what translations do not write; that is a defect of batchdot."""


def check(text: str, imports: Collection[str] = (), functions: Iterable[str] = ()) -> ast.Module:
    """Return the syntax tree of a ported file.

    Args:
        text: the file.
        imports: statements that import the user's functions.
        functions: names of the user's functions.

    Raises:
        SourceError: it is no Python, or it imports, calls or uses what no translation writes.

    >>> check("import os")
    Traceback (most recent call last):
    ...
    batchdot.porting.source.checking.SourceError: line 1: import os
    """
    try:
        tree = parse_file(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SourceError(f"no Python: {error}") from None
    known = _defined(tree).union(functions)
    for node in ast.walk(tree):
        if not isinstance(node, NODES) or not _is_allowed(node, known, imports):
            raise SourceError(f"line {getattr(node, 'lineno', 0)}: {ast.unparse(node)[:80]}")
    return tree


def _defined(tree: ast.Module) -> set[str]:
    """Return the names that a file imports, defines or assigns."""
    known = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            known.add(node.name)
        elif isinstance(node, ast.alias):
            known.add(node.asname or node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
    return known


def _is_allowed(node: ast.AST, known: set[str], imports: Collection[str]) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return ast.unparse(node) in (*IMPORTS, *imports)
    if isinstance(node, ast.Name):
        return node.id in known or node.id in BUILTINS
    if isinstance(node, ast.Attribute):
        return node.attr not in FORBIDDEN and (not node.attr.startswith("_") or node.attr == "__init__")
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        plain = not node.decorator_list or node.name in helper_names()
        return plain and (not isinstance(node, ast.ClassDef) or not node.keywords)
    return True

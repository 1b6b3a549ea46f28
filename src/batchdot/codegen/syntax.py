"""Parse Python, one thread at a time.

CPython 3.11 counts the depth of a syntax tree for all threads together, and `ast.parse` in two threads may
raise SystemError (github.com/python/cpython/issues/106905).
"""

import ast
import threading

_lock = threading.Lock()


def parse_expression(text: str) -> ast.expr:
    """Return the syntax tree of an expression.

    >>> type(parse_expression("x + 1")).__name__
    'BinOp'
    """
    with _lock:
        return ast.parse(text, mode="eval").body


def parse_file(text: str) -> ast.Module:
    """Return the syntax tree of a file."""
    with _lock:
        return ast.parse(text)

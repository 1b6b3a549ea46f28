"""Leave the docstrings of packages out of the reference: they describe the layout, for developers."""

from typing import Any

from sphinx.application import Sphinx


def clear(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    """Clear the docstring of a package; that of a module in one file says how to use it."""
    if what == "module" and found.__file__.endswith("__init__.py"):
        lines.clear()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("autodoc-process-docstring", clear)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

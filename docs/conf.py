"""The documentation site; `make docs` builds it. Nothing is fetched when it is built or read."""

import sys
from pathlib import Path

from batchdot._version import __version__

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "batchdot"
author = "The batchdot developers"
copyright = "The batchdot developers. Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "repository", "packages"]
exclude_patterns = ["_extensions"]

# Text between single backticks in a docstring is code.
default_role = "code"
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False
add_module_names = False

toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"batchdot {release}"
html_static_path = ["_static"]
html_css_files = ["batchdot.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"footer_icons": []}
pygments_style = "friendly"
pygments_dark_style = "monokai"

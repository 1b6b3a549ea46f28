"""Make pages of a repository pages of a site: included files and notebooks, links out of docs/, the contents.

The Markdown is written for a reader of the repository. Here a link to a file that a page includes becomes
a link to that page, and one to another file of the repository becomes the file's path.
"""

import os
import re
from functools import cache
from pathlib import Path

from notebook import read_notebook  # beside this file
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

INCLUDE = re.compile(r"^```\{include\} (\S+)\n((?::.*\n)*)```$", re.MULTILINE)
OPTION = re.compile(r'^:([\w-]+):(?: "?(.*?)"?)?$', re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


@cache
def pages(docs: Path) -> dict[Path, Path]:
    """Return the pages that include a file as a whole, by that file."""
    found = {}
    for page in docs.rglob("*.md"):
        for path, options in INCLUDE.findall(page.read_text(encoding="utf-8")):
            if not options:
                found[(page.parent / path).resolve()] = page
    return found


def read_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Rewrite the text of a page when Sphinx reads it."""
    docs = Path(app.srcdir)
    page = docs / f"{docname}.md"

    def included(match: re.Match[str]) -> str:
        path = (page.parent / match[1]).resolve()
        app.env.note_dependency(str(path))
        is_notebook = path.suffix == ".ipynb"
        text = read_notebook(path) if is_notebook else path.read_text(encoding="utf-8")
        for option, value in OPTION.findall(match[2]):
            before, found, after = text.partition(value)
            if option not in ("start-after", "end-before") or not found:
                raise ExtensionError(f"{page}: {option} {value!r} of {match[1]}")
            text = after if option == "start-after" else before
        return _with_links(text, path.parent, page.parent, docs)

    text = _with_links(source[0], page.parent, page.parent, docs)
    text = INCLUDE.sub(included, text)
    source[0] = text + _contents(text) if page.name == "index.md" else text


def _with_links(text: str, folder: Path, to: Path, docs: Path) -> str:
    """Rewrite the links of a text that stands in one folder for a page in another."""

    def link(match: re.Match[str]) -> str:
        image, words, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"\w+:", target):
            return match[0]
        file = (folder / path).resolve()
        in_repository = str(file.relative_to(docs.parent))
        file = pages(docs).get(file, file)
        if not image and not file.is_relative_to(docs):
            code = f"`{in_repository}`"
            return (
                code
                if words.strip("`").rstrip("/") in (path.rstrip("/"), in_repository)
                else f"{words} ({code})"
            )
        place = os.path.relpath(file, to) + (f"#{anchor}" if anchor else "")
        return f"{image}[{words}]({place})"

    # Code is left alone, but not where it is all the words of a link.
    parts = re.split(r"(^```.*\n(?:.*\n)*?^```$)", text, flags=re.MULTILINE)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def _contents(text: str) -> str:
    """Return the contents of an index: for each of its sections a list of the pages that it links to."""
    first, *parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    sections = {"": first} | dict(zip(parts[::2], parts[1::2], strict=True))
    trees = []
    for title, section in sections.items():
        pages = [match[3].removesuffix(".md") for match in LINK.finditer(section) if not match[1]]
        caption = [f":caption: {title}"] if title else []
        if pages:
            trees.append("\n".join(["\n```{toctree}", ":hidden:", *caption, "", *pages, "```\n"]))
    return "".join(trees)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", read_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

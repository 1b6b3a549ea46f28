"""Check the links of a built site: ``python -m tests.support.documents.links FOLDER``.

Every link inside the site has its file and its anchor, and nothing is loaded from elsewhere: the site is read
without a network.
"""

import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}
"""What a browser loads by itself, by tag and attribute."""


class Page(HTMLParser):
    """The links, the loaded files and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to, and its anchor."""
        values = dict(attrs)
        self.anchors |= {values[name] or "" for name in ("id", "name") if name in values}
        target = values.get(LOADED.get(tag, ""))
        if target is not None and values.get("rel") != "canonical":
            self.loaded.append(target)
        if tag == "a" and values.get("href") is not None:
            self.links.append(values["href"] or "")


@cache
def parsed(path: Path) -> Page:
    """Return a page of the site."""
    return Page(path.read_text(encoding="utf-8"))


def broken(folder: Path) -> Iterator[str]:
    """Yield a sentence for each link to nothing, and for each file that is loaded from elsewhere."""
    for path in sorted(folder.rglob("*.html")):
        page, name = parsed(path), path.relative_to(folder)
        for target in page.loaded:
            if urlsplit(target).scheme not in ("", "data") or urlsplit(target).netloc:
                yield f"{name} loads {target} from elsewhere"
        for target in (*page.links, *page.loaded):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = path.parent / unquote(parts.path) if parts.path else path
            if not file.is_file():
                yield f"{name} links to {target}, which is not there"
            elif file.suffix == ".html" and unquote(parts.fragment) not in parsed(file.resolve()).anchors:
                yield f"{name} links to {target}, which has no such anchor"


def main(folder: str) -> int:
    """Print what is broken; return the exit status."""
    sentences = list(broken(Path(folder)))
    print(*sentences or [f"{folder}: all links lead somewhere"], sep="\n")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

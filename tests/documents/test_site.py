"""The checker of the built site finds what is broken. `make docs` builds the site and runs it."""

import pytest
from tests.support.documents.links import broken, main, parsed

OTHER = '<html><body><h1 id="title">Other</h1></body></html>'

CASES = {
    '<a href="other.html">x</a>': [],
    '<a href="other.html#title">x</a>': [],
    '<a id="here" href="#here">x</a>': [],
    '<a href="https://example.org/">x</a>': [],
    '<img src="data:image/gif;base64,AA==">': [],
    '<a href="gone.html">x</a>': ["index.html links to gone.html, which is not there"],
    '<a href="other.html#gone">x</a>': ["index.html links to other.html#gone, which has no such anchor"],
    '<a href="#gone">x</a>': ["index.html links to #gone, which has no such anchor"],
    '<img src="gone.png">': ["index.html links to gone.png, which is not there"],
    '<script src="https://example.org/x.js"></script>': [
        "index.html loads https://example.org/x.js from elsewhere"
    ],
    '<link rel="stylesheet" href="//example.org/font.css">': [
        "index.html loads //example.org/font.css from elsewhere"
    ],
}


@pytest.mark.parametrize(("body", "sentences"), CASES.items())
def test_broken(body, sentences, tmp_path, capsys):
    parsed.cache_clear()
    (tmp_path / "other.html").write_text(OTHER)
    (tmp_path / "index.html").write_text(f"<html><body>{body}</body></html>")
    assert list(broken(tmp_path)) == sentences
    assert main(str(tmp_path)) == (1 if sentences else 0)
    assert capsys.readouterr().out.splitlines() == (sentences or [f"{tmp_path}: all links lead somewhere"])

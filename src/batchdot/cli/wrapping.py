"""Lines of the command line's output and help, wrapped at the width of the terminal."""

import re
import textwrap


def wrap_text(text: str, width: int) -> str:
    """Wrap lines at a width. What follows is indented, below the value of a line ``  name    value``.

    >>> print(wrap_text("  einsum    bk,bk->b and a note", 24))
      einsum    bk,bk->b and
                a note
    """
    lines = []
    for line in text.splitlines():
        name = re.match(r"  \S+(?: \S+)* {2,}", line)
        longest = max(map(len, line.split()), default=0)
        indent = name.end() if name and name.end() + longest <= width else 4
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=" " * indent,
            replace_whitespace=False,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def wrap_help(line: str, width: int) -> str:
    r"""Wrap a line of help: a command by backslashes, so that it can be pasted, and others as text.

    >>> print(wrap_help('  batchdot explain "(100, 20)" "(100, 30, 20)" --axes 1,2', 44))
      batchdot explain "(100, 20)" \
          "(100, 30, 20)" --axes 1,2
    """
    if len(line) <= width:
        return line
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    if line.startswith("  batchdot "):
        whole = re.sub(r'"[^"]*"', lambda text: text[0].replace(" ", "\N{NO-BREAK SPACE}"), line)
        wrapper.width, wrapper.subsequent_indent = width - 2, " " * 6
        return " \\\n".join(wrapper.wrap(whole)).replace("\N{NO-BREAK SPACE}", " ")
    wrapper.initial_indent = wrapper.subsequent_indent = " " * min(4, len(line) - len(line.lstrip()))
    return wrapper.fill(line.strip())

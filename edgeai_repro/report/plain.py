"""Text of others stays text: it can't move a terminal's cursor, reorder a line or command a CI job."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Control, format (bidi overrides, zero-width characters), surrogate, private, separators of lines and paragraphs.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# GitHub's runner obeys a line that begins with `::name` and, in its older form, `##[name]` anywhere in a line.
_COMMAND = re.compile(r"(?m)^([^\S\n]*:)(?=:)|(##)(?=\[)")


@lru_cache(maxsize=10_000)  # the rows of a report repeat most of their texts
def printable(text: str) -> str:
    r"""Return a text whose characters all show: others are written as `\u001b`, except the ends of its lines.

    Commands to the runner of a CI job are parted, too.
    """
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return without_commands(text)


def on_one_line(text: str) -> str:
    """Return a text with spaces for the ends of its lines, so that it can't pass for another line of a report."""
    return " ".join(text.splitlines())


def printable_line(text: str) -> str:
    """Return a text as `printable` and `on_one_line` show it."""
    return printable(on_one_line(text))


def without_commands(text: str) -> str:
    """Return a text with a space in each sequence that GitHub's runner would take for a command."""
    return _COMMAND.sub(r"\g<0> ", text)


def _visible(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in _INVISIBLE:
        return character
    units = character.encode("utf-16-be", "surrogatepass").hex()  # as in JSON, so that JSON stays the same data
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))

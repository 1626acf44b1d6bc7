"""A terminal or a pipe: how wide it is, whether it takes colours, and rich's drawings as text for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from io import StringIO

from rich.console import Console, RenderableType

PIPED_WIDTH = 132  # a pipe has no width; this one holds the table of verdicts without a wrapped column


def coloured() -> bool:
    """Tell whether standard output takes colours: a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def width() -> int | None:
    """Return the terminal's width in columns; None for a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def to_text(parts: Iterable[RenderableType], *, colour: bool, width: int | None = None) -> str:
    """Return what rich can draw as text, with ANSI colours or plain; `width` in columns (None: a pipe's)."""
    stream = StringIO()
    console = Console(
        file=stream,
        force_terminal=colour,
        color_system="standard" if colour else None,  # whatever TERM says: whoever asks for colour gets it
        no_color=not colour,
        width=width or PIPED_WIDTH,
        highlight=False,
        markup=False,  # titles and units may have brackets
        emoji=False,
    )
    for part in parts:
        console.print(part)
    return stream.getvalue()

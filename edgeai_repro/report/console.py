"""Standard output: its width, whether it shows colours, and rich's tables as text for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from io import StringIO
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from edgeai_repro.report.plain import printable, without_commands

PIPED_WIDTH = 132  # a pipe has no width; in this one, the table of verdicts wraps no column


def coloured() -> bool:
    """Return whether standard output shows colours: it is a terminal and NO_COLOR is not set.

    See https://no-color.org.
    """
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def width() -> int | None:
    """Return the terminal's width in columns, or None for a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class _Console(Console):
    """A console on which text is text: control sequences in it are written out before a table is laid out."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, Text) and (shown := printable(renderable.plain)) != renderable.plain:
            renderable = Text(shown, renderable.style)
        return super().render(renderable, options)


def to_text(parts: Iterable[RenderableType], *, colour: bool, width: int | None = None) -> str:
    """Return rich's renderables as text, with ANSI colours or plain. `width` is in columns (None: a pipe's).

    No other control sequence and no command to the runner of a CI job is in it, whatever their texts contain.
    """
    stream = StringIO()
    console = _Console(
        file=stream,
        force_terminal=colour,
        color_system="standard" if colour else None,  # the caller decides, not TERM
        no_color=not colour,
        width=width or PIPED_WIDTH,
        highlight=False,
        markup=False,  # titles and units may contain brackets
        emoji=False,
    )
    for part in parts:
        console.print(part)
    return without_commands(stream.getvalue())  # not earlier: lines are wrapped only now

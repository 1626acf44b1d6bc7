"""Standard output: its width, whether it shows colours, and rich's tables as text for it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from edgeai_repro.report.plain import printable, without_commands

PIPED_WIDTH = 132  # a pipe has no width; in this one, the table of verdicts wraps no column
LONGEST_LABEL = 40  # characters of what a progress bar is about


def coloured() -> bool:
    """Return whether standard output shows colours: it is a terminal and NO_COLOR is not set.

    See https://no-color.org.
    """
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def width() -> int | None:
    """Return the terminal's width in columns, or None for a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextmanager
def progress(
    label: str, steps: int, *, stream: TextIO | None = None, redrawn: bool = True
) -> Iterator[Callable[[], None]]:
    """Show a bar with the time left while the block runs, and yield what counts a step.

    `stream` is where it is shown (default: standard error). Nothing is shown unless that is a terminal, and nothing
    is left of the bar at the end. Of a long label the end is shown, so that the numbers keep their place. A thread
    redraws the bar ten times per second; a bar that is not `redrawn` is drawn at each step only.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    stream = stream or sys.stderr
    console = Console(file=stream, no_color=not coloured() or None)
    options: dict[str, Any] = {"transient": True, "disable": not stream.isatty(), "auto_refresh": redrawn}
    with Progress(*columns, console=console, **options) as bar:
        shown = label if len(label) <= LONGEST_LABEL else f"…{label[1 - LONGEST_LABEL :]}"
        task = bar.add_task(shown, total=steps)
        yield lambda: bar.update(task, advance=1, refresh=not redrawn)


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
        height=25,  # or rich takes a dumb terminal for one of 80 columns
        highlight=False,
        markup=False,  # titles and units may contain brackets
        emoji=False,
    )
    for part in parts:
        console.print(part)
    return without_commands(stream.getvalue())  # not earlier: lines are wrapped only now

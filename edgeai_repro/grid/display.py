"""What a driver shows while it works: a line for each run that begins or ends, and on a terminal those at work."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from edgeai_repro.grid.board import State

SHOWN = 20  # runs at work that a terminal shows at a time


class Display:
    """Prints lines to standard output. On a terminal, the runs at work follow, kept up to date."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else 10_000  # a line per run, however long, so that it can be searched
        self._console = Console(width=width, highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Begin to show the runs at work."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop to show them."""
        self._live.stop()

    def changed(self, state: State) -> None:
        """Print the line of a run that ended or, without a terminal, that began."""
        if state.name != "running" or not self._console.is_terminal:
            self._console.print(state.line(), soft_wrap=True)

    def refresh(self, at_work: list[State], total: str) -> None:
        """Show the runs at work, if this is a terminal."""
        if self._console.is_terminal:
            lines = [state.line() for state in at_work[:SHOWN]]
            self._live.update(Text("\n".join([*lines, total]), no_wrap=True, overflow="ellipsis"), refresh=True)

"""The type of the fixture `command`, which runs the command line."""

from __future__ import annotations

from collections.abc import Callable

Command = Callable[..., tuple[int, str, str]]  # arguments -> exit status, standard output, standard error

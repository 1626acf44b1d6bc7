"""The type of the fixture `command`."""

from __future__ import annotations

from collections.abc import Callable

Command = Callable[..., tuple[int, str, str]]
"""Runs the command line with these arguments; returns its exit status, standard output and standard error."""

"""Ctrl-C in a test, also if the tests run in the background of a shell, where processes ignore it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heard() -> Iterator[None]:
    """Let this process hear Ctrl-C in the block, and those that it starts there: they inherit an ignored one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

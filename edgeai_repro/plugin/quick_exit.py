"""Ends an interrupted run soon: it takes torch apart neither for pytest nor for Python, which takes seconds.

PYTEST_DONT_REWRITE: it has no assertions, and the hooks import it before pytest could rewrite them.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgeai_repro.interruption import LINE, STEP

_outermost: list[pytest.Config] = []  # of this process; pytest may run within pytest
_interrupted: list[pytest.Config] = []


def configured(config: pytest.Config) -> None:
    """Remember the first configuration of this process: it is that of the run which ends with the process."""
    if not _outermost:
        _outermost.append(config)


@contextmanager
def in_one_line() -> Iterator[None]:
    """Let Ctrl-C in the block end the run with our line, not with the place where it was."""
    try:
        yield
    except KeyboardInterrupt:
        pytest.exit(LINE, pytest.ExitCode.INTERRUPTED)


def leave_soon(config: pytest.Config) -> None:
    """End the process, if it ends with this run: when the plugins have ended the run, or after `STEP` seconds.

    Collections of garbage, of which pytest makes two at its end, take no time from now on.
    """
    if config in _outermost and config not in _interrupted:
        _interrupted.append(config)
        gc.freeze()
        late = threading.Timer(STEP, _leave_late)
        late.daemon = True
        late.start()


def _leave_late() -> None:
    os.write(2, f"\n{LINE}\n".encode())
    _leave()


def _leave() -> None:
    if _interrupted:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(pytest.ExitCode.INTERRUPTED)


atexit.register(_leave)  # before torch registers anything, so it is called after all that does

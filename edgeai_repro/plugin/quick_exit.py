"""Ends the process of an interrupted run without taking torch apart, which takes seconds of computing.

PYTEST_DONT_REWRITE: it has no assertions, and the hooks import it before pytest could rewrite them.
"""

from __future__ import annotations

import atexit
import os
import sys

import pytest

_outermost: list[pytest.Config] = []  # of this process; pytest may run within pytest
_interrupted: list[pytest.Config] = []


def configured(config: pytest.Config) -> None:
    """Remember the first configuration of this process: it is that of the run which ends with the process."""
    if not _outermost:
        _outermost.append(config)


def leave_soon(config: pytest.Config) -> None:
    """End the process as soon as what is registered for its end was done, if it ends with this run."""
    if config in _outermost:
        _interrupted.append(config)


def _leave() -> None:
    if _interrupted:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(pytest.ExitCode.INTERRUPTED)


atexit.register(_leave)  # before torch registers anything, so it is called after all that does

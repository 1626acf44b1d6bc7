"""Claims in several processes, by pytest-xdist: how they are divided, what the processes share, and who may time.

This module works without pytest-xdist, too: then no run has workers.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.claims.registry import is_timed
from edgeai_repro.claims.schema import Claim
from edgeai_repro.measure.latency.threads import usable_cores

KEY = "edgeai"  # our key in the input of a worker
GROUP, TIMED = "xdist_group", "timed"  # the mark of pytest-xdist, and the group of the claims that are timed
THREADS = "OMP_NUM_THREADS"


def divide_by_group(config: pytest.Config) -> None:
    """Make pytest-xdist divide tests by group if the user chose no way, and groups keep the order of the tests."""
    option = config.option
    if getattr(option, "numprocesses", None) and option.dist == "no" and not option.distload:
        option.dist = "loadgroup"
    if config.getoption("dist", "no") == "loadgroup":
        option.loadscopereorder = False  # what is timed is last


def group_of(claim: Claim) -> str:
    """Return the group of a claim, which one worker judges: the networks of the claim, or all that are timed."""
    return TIMED if is_timed(claim) else "+".join(sorted({*claim.models, *claim.also_shown}))


def number_of_workers(config: pytest.Config) -> int:
    """Return how many workers this process starts, 0 if it runs the tests itself."""
    return len(config.option.tx) if config.getoption("dist", "no") != "no" else 0


class Controller:
    """The plugin of the process that starts workers. It tells each its threads and the folder that they share."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgeai-repro-")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker what it shares with the others."""
        threads = threads_of_each(node.workerinput["workercount"])
        node.workerinput[KEY] = {"folder": self._folder.name, "threads": threads}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the group from the name of a test, to which pytest-xdist added it: `--lf` would not find it."""
        name, at, group = report.nodeid.rpartition("@")
        if at and "]" not in group and "::" not in group:
            report.nodeid = name

    def pytest_unconfigure(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


class Worker:
    """The plugin of a worker. It sets the threads; torch reads them when it is loaded.

    Every worker holds a lock until its tests have ended. `alone` waits until no other does.
    """

    def __init__(self, shared: dict[str, Any]) -> None:
        import fcntl  # not at the top, because Windows has none

        self.folder = Path(shared["folder"])
        os.environ.setdefault(THREADS, str(shared["threads"]))
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(int(os.environ[THREADS]))
        self._running = (self.folder / "running").open("ab")
        fcntl.flock(self._running, fcntl.LOCK_SH)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until all other workers have ended or wait for the same, and keep new ones from starting."""
        import fcntl

        fcntl.flock(self._running, fcntl.LOCK_EX)  # releases the shared lock first, so two can't block each other
        try:
            yield
        finally:
            fcntl.flock(self._running, fcntl.LOCK_SH)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Put what is timed last: it waits for the other workers."""
        items.sort(key=lambda item: any(TIMED in mark.args for mark in item.iter_markers(GROUP)))

    def pytest_sessionfinish(self) -> None:
        """Let the others time."""
        self._running.close()


def threads_of_each(workers: int) -> int:
    """Return the number of threads of each worker: that of the user, or an equal part of the usable cores."""
    return int(os.environ.get(THREADS) or max(1, usable_cores() // workers))

"""Claims in several processes, by pytest-xdist: how they are divided, what the processes share, and who may time.

This module works without pytest-xdist, too: then no run has workers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.claims.registry import is_timed
from edgeai_repro.claims.schema import Claim
from edgeai_repro.files import write_text
from edgeai_repro.measure.latency.threads import usable_cores
from edgeai_repro.temporary import temporary_folder

KEY = "edgeai"  # our key in the input of a worker
TIMED = "timed"  # the group of the claims that are timed
GROUPS = "groups.json"
THREADS = "OMP_NUM_THREADS"


def divide_by_group(given: argparse.Namespace, arguments: list[str]) -> None:
    """Add arguments so that pytest-xdist divides tests by group, in their order, if the user chose no other way.

    `given` are the options of `arguments`. Controller and workers read them, and all need the choice.
    """
    if getattr(given, "numprocesses", None) and given.dist == "no" and not given.distload:
        arguments[:0] = ["--dist=loadgroup", "--no-loadscope-reorder"]
    elif getattr(given, "dist", "no") == "loadgroup":
        arguments.insert(0, "--no-loadscope-reorder")


def group_of(claim: Claim) -> str:
    """Return the group of a claim, which one worker judges: the networks of the claim, or all that are timed."""
    return TIMED if is_timed(claim) else "+".join(sorted(claim.networks))


def number_of_workers(config: pytest.Config) -> int:
    """Return how many workers this process starts, 0 if it runs the tests itself."""
    return len(config.option.tx) if config.getoption("dist", "no") != "no" else 0


class Controller:
    """The plugin of the process that starts workers. It tells each its threads and the folder that they share."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(temporary_folder())

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker what it shares with the others."""
        threads = threads_of_each(node.workerinput["workercount"])
        node.workerinput[KEY] = {"folder": str(self._folder), "threads": threads}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Divide tests by group in a way that survives a crash; leave other ways to pytest-xdist."""
        from edgeai_repro.plugin.group_scheduling import GroupScheduling  # pytest-xdist may be missing

        by_group = config.option.dist == "loadgroup"
        return GroupScheduling(config, log, self._folder / GROUPS) if by_group else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the group from the name of a test, to which pytest-xdist added it: `--lf` would not find it."""
        report.nodeid = without_group(report.nodeid)

    def pytest_unconfigure(self) -> None:
        """Remove the folder."""
        self._stack.close()


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
        items.sort(key=lambda item: TIMED in _groups(item))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the controller the groups before pytest-xdist tells it the tests. All workers have the same."""
        names = {item.nodeid: sorted(_groups(item)) for item in session.items}
        groups = {test: "_".join(of_test) for test, of_test in names.items() if of_test}
        write_text(self.folder / GROUPS, json.dumps(groups))

    def pytest_sessionfinish(self) -> None:
        """Let the others time."""
        self._running.close()


def without_group(nodeid: str) -> str:
    """Return the name of a test without the group that pytest-xdist adds to it, with pytest before 9.2."""
    name, at, group = nodeid.rpartition("@")
    return name if at and "]" not in group and "::" not in group else nodeid


def _groups(item: pytest.Item) -> set[str]:
    marks = item.iter_markers("xdist_group")
    return {str(mark.args[0] if mark.args else mark.kwargs.get("name", "default")) for mark in marks}


def threads_of_each(workers: int) -> int:
    """Return the number of threads of each worker: that of the user, or an equal part of the usable cores."""
    return int(os.environ.get(THREADS) or max(1, usable_cores() // workers))

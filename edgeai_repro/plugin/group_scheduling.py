"""pytest-xdist's division of tests by group, with repairs.

pytest-xdist 3.8 hangs after a worker crashed: it gives a new worker tests that were done already (its issue 1323),
or only one test (1327), or the test that crashed once more (1371). With pytest 9.2 it ignores the groups (1386).
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController


class GroupScheduling(LoadGroupScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Sends groups of tests to workers. `groups` is a JSON file with the group of each test that has one."""

    def __init__(self, config: pytest.Config, log: Any, groups: Path) -> None:
        super().__init__(config, log)
        self._path = groups

    @cached_property
    def _groups(self) -> dict[str, str]:
        groups: dict[str, str] = json.loads(self._path.read_text(encoding="utf-8"))
        return groups

    def _split_scope(self, nodeid: str) -> str:
        """Return the group of a test; a test without a group has its own."""
        return self._groups.get(nodeid, nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """Put back what a worker has not done, except for the test in which it crashed, and return that test."""
        units = {name: unit for name, unit in self.assigned_work.pop(node).items() if not all(unit.values())}
        if not units:
            return None
        unit = next(iter(units.values()))
        crashed: str = next(test for test, done in unit.items() if not done)
        unit[crashed] = True
        self.workqueue.update((name, unit) for name, unit in units.items() if not all(unit.values()))
        for other in self.nodes:
            self._reschedule(other)
        return crashed

    def schedule(self) -> None:
        """Send groups to all workers; a new one waits until it has a second test, or knows that there is none."""
        super().schedule()
        for node in self.nodes:
            self._reschedule(node)

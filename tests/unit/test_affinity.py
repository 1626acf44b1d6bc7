"""Placement: while times are taken, the main thread has a core to itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeai_repro.measure.latency import affinity
from edgeai_repro.measure.latency.threads import usable_cores

HERE = threading.get_native_id
pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads are placed on Linux alone")


@pytest.fixture
def worker() -> Iterator[int]:
    """Another thread of this process, asleep: its number."""
    over, numbers = threading.Event(), []

    def sleep() -> None:
        numbers.append(HERE())
        over.wait()

    thread = threading.Thread(target=sleep)
    thread.start()
    while not numbers:
        pass
    yield numbers[0]
    over.set()
    thread.join()


@pytest.mark.skipif(usable_cores() < 2, reason="needs two cores")
class TestPinned:
    """On a machine with cores to choose from."""

    def test_apart(self, worker: int) -> None:
        """The main thread has one core, and other threads have all but that."""
        cores = os.sched_getaffinity(0)
        with affinity.main_thread_pinned():
            mine, others = os.sched_getaffinity(HERE()), os.sched_getaffinity(worker)

        assert len(mine) == 1
        assert others == cores - mine

    def test_restored(self, worker: int) -> None:
        """Afterwards, also after a failure, every thread may run where it could before."""
        before = os.sched_getaffinity(HERE()), os.sched_getaffinity(worker)
        with pytest.raises(ZeroDivisionError), affinity.main_thread_pinned():
            _ = 1 / 0

        assert (os.sched_getaffinity(HERE()), os.sched_getaffinity(worker)) == before

    def test_started_meanwhile(self) -> None:
        """A thread that is started meanwhile doesn't keep the single core of the one that started it."""
        over = threading.Event()
        thread = threading.Thread(target=over.wait)
        cores = os.sched_getaffinity(0)
        with affinity.main_thread_pinned():
            thread.start()
            while thread.native_id is None:
                pass
        found = os.sched_getaffinity(thread.native_id)
        over.set()
        thread.join()

        assert found == cores

    def test_fastest(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the kernel tells which cores are faster, the main thread gets one of these."""
        cores = sorted(os.sched_getaffinity(0))
        for core in cores:
            (tmp_path / str(core)).write_text("1024" if core == cores[-1] else "430")
        monkeypatch.setattr(affinity, "CAPACITY", str(tmp_path / "{core}"))
        with affinity.main_thread_pinned():
            assert os.sched_getaffinity(HERE()) == {cores[-1]}


def test_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a single core nothing is moved."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("nothing must be moved"))

    with affinity.main_thread_pinned():
        pass


def test_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that ends meanwhile is no failure."""

    def gone(*_: object) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "sched_setaffinity", gone)
    with affinity.main_thread_pinned():
        pass

"""The main thread has a core of its own during timing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeai_repro.measure.latency import affinity
from edgeai_repro.measure.latency.threads import usable_cores

current_thread = threading.get_native_id
pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads are pinned on Linux only")


@pytest.fixture
def worker() -> Iterator[int]:
    """The id of another thread of this process, which sleeps."""
    finished, numbers = threading.Event(), []

    def sleep() -> None:
        numbers.append(current_thread())
        finished.wait()

    thread = threading.Thread(target=sleep)
    thread.start()
    while not numbers:
        pass
    yield numbers[0]
    finished.set()
    thread.join()


@pytest.mark.skipif(usable_cores() < 2, reason="needs two cores")
class TestPinned:
    """On a machine with two cores or more."""

    def test_main_thread_and_other_threads_have_different_cores(self, worker: int) -> None:
        """The main thread has one core, and the other threads have all others."""
        cores = os.sched_getaffinity(0)
        with affinity.main_thread_pinned():
            own, others = os.sched_getaffinity(current_thread()), os.sched_getaffinity(worker)

        assert len(own) == 1
        assert others == cores - own

    def test_cores_are_restored_after_a_failure(self, worker: int) -> None:
        """Every thread may use the same cores as before."""
        before = os.sched_getaffinity(current_thread()), os.sched_getaffinity(worker)
        with pytest.raises(ZeroDivisionError), affinity.main_thread_pinned():
            _ = 1 / 0

        assert (os.sched_getaffinity(current_thread()), os.sched_getaffinity(worker)) == before

    def test_a_thread_started_in_the_block_may_use_all_cores_afterwards(self) -> None:
        """It inherits the single core of the main thread at first."""
        finished = threading.Event()
        thread = threading.Thread(target=finished.wait)
        cores = os.sched_getaffinity(0)
        with affinity.main_thread_pinned():
            thread.start()
            while thread.native_id is None:
                pass
        allowed = os.sched_getaffinity(thread.native_id)
        finished.set()
        thread.join()

        assert allowed == cores

    def test_main_thread_has_the_fastest_core(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the kernel reports capacities."""
        cores = sorted(os.sched_getaffinity(0))
        for core in cores:
            (tmp_path / str(core)).write_text("1024" if core == cores[-1] else "430")
        monkeypatch.setattr(affinity, "CAPACITY", str(tmp_path / "{core}"))
        with affinity.main_thread_pinned():
            assert os.sched_getaffinity(current_thread()) == {cores[-1]}


def test_nothing_is_pinned_on_a_single_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread's cores are set."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: pytest.fail("no thread must be pinned"))

    with affinity.main_thread_pinned():
        pass


def test_a_thread_that_has_ended_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel then raises ProcessLookupError."""

    def gone(*_: object) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "sched_setaffinity", gone)
    with affinity.main_thread_pinned():
        pass

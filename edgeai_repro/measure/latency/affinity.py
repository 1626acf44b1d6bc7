"""Pins the main thread to a core of its own during timing. No torch.

Otherwise Linux sometimes wakes a worker thread on the core of the main thread, where it waits for the end of a time
slice: 1.5 ms become 5.5 ms, in some runs and not in others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREADS = Path("/proc/self/task")
CAPACITY = "/sys/devices/system/cpu/cpu{core}/cpu_capacity"  # on arm64 with cores of several kinds


@contextmanager
def main_thread_pinned() -> Iterator[None]:
    """Move the calling thread to the fastest core and the other threads of this process to the other cores.

    Does nothing on other systems than Linux and on a single core. Afterwards each thread has its earlier cores
    again.
    """
    cores = sorted(os.sched_getaffinity(0), key=_slowness) if hasattr(os, "sched_setaffinity") else []
    if len(cores) < 2:
        yield
        return
    before = {thread: allowed for thread in _threads() if (allowed := _allowed_cores(thread))}
    for thread in before:
        _move(thread, {cores[0]} if thread == threading.get_native_id() else set(cores[1:]))
    try:
        yield
    finally:
        for thread in _threads():  # a new thread has inherited the core of the thread that started it
            _move(thread, before.get(thread, set(cores)))


def _threads() -> list[int]:
    return [int(path.name) for path in THREADS.iterdir()]


def _allowed_cores(thread: int) -> set[int]:
    """Return the cores that a thread may use; an empty set if it has ended."""
    with suppress(OSError):
        return os.sched_getaffinity(thread)
    return set()


def _move(thread: int, cores: set[int]) -> None:
    with suppress(OSError):  # a thread that has ended
        os.sched_setaffinity(thread, cores)


def _slowness(core: int) -> tuple[int, int]:
    """Return a sort key: from the fastest core to the slowest if the kernel reports capacities, else by number."""
    with suppress(OSError, ValueError):
        return -int(Path(CAPACITY.format(core=core)).read_text(encoding="ascii")), core
    return 0, core

"""Which core a thread runs on while times are taken. No torch.

Left to itself, Linux at times wakes a worker on the core that the main thread holds, where it waits for the end of
a time slice: 1.5 ms become 5.5 ms, in some runs and not in others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREADS = Path("/proc/self/task")
CAPACITY = "/sys/devices/system/cpu/cpu{core}/cpu_capacity"  # of arm64 with cores of several kinds


@contextmanager
def main_thread_pinned() -> Iterator[None]:
    """Give the calling thread a core to itself, the fastest, and the other threads of this process the rest.

    Only on Linux, and only where there are two cores or more; afterwards each thread may run where it could before.
    """
    cores = sorted(os.sched_getaffinity(0), key=_slowness) if hasattr(os, "sched_setaffinity") else []
    if len(cores) < 2:
        yield
        return
    before = {thread: mask for path in THREADS.iterdir() if (mask := _mask(thread := int(path.name)))}
    for thread in before:
        _place(thread, {cores[0]} if thread == threading.get_native_id() else set(cores[1:]))
    try:
        yield
    finally:
        for path in THREADS.iterdir():  # one that was started meanwhile took its starter's core
            _place(thread := int(path.name), before.get(thread, set(cores)))


def _mask(thread: int) -> set[int]:
    """Return the cores that a thread may use; none where it has ended."""
    with suppress(OSError):
        return os.sched_getaffinity(thread)
    return set()


def _place(thread: int, cores: set[int]) -> None:
    with suppress(OSError):  # a thread that has ended
        os.sched_setaffinity(thread, cores)


def _slowness(core: int) -> tuple[int, int]:
    """Order cores from the fastest to the slowest, where the kernel tells, and else by number."""
    with suppress(OSError, ValueError):
        return -int(Path(CAPACITY.format(core=core)).read_text(encoding="ascii")), core
    return 0, core

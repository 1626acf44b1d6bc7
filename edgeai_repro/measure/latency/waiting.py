"""How long threads waited for a core that others used, by the statistics of Linux's scheduler. No torch.

Threads of another contender that spin count as others. Observed with ONNX Runtime 1.31 on two Zen 3 cores, two
sessions of two threads each, before all other processes: 4 % of the run as `edge.runtime` starts sessions, 2 %
if no thread spins, 34 % if threads go on spinning after a run, and 61 % next to a busy loop.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

Waiting = dict[int, float]  # the seconds that each thread has waited so far, by its number

TASKS = Path("/proc/self/task")
NANOSECOND = 1e-9


def waiting_times(tasks: Path = TASKS) -> Waiting:
    """Return how long each thread of this process was ready to run, but did not.

    It is the second number of `schedstat` (https://docs.kernel.org/scheduler/sched-stats.html). A system that does
    not report it gives an empty mapping.
    """
    waited = {}
    for path in tasks.glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread that has ended
            waited[int(path.parent.name)] = NANOSECOND * int(path.read_text(encoding="ascii").split()[1])
    return waited


def longest_wait(before: Waiting, after: Waiting) -> float:
    """Return the seconds that the thread waited which waited longest between two readings."""
    return max((seconds - before.get(thread, 0.0) for thread, seconds in after.items()), default=0.0)

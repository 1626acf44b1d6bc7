"""Lock files, which keep processes that share a folder from doing the same work.

The kernel holds a lock, and wakes who waits for it. The library filelock asks every 50 ms instead, takes 55 ms to
import, and has no shared locks, with which the processes of a run agree on who times alone (`plugin/xdist.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, which is created if it is missing; another process waits until the block ends.

    The lock also ends with the process, however it ends. With `wait=False`, raises BlockingIOError if another
    process holds it. Raises OSError if the file can't be written or locked.
    """
    import fcntl  # not at the top, because Windows has none

    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def is_locked(path: Path) -> bool:
    """Return whether some process holds the lock file `path`."""
    if not path.exists():
        return False
    try:
        with locked(path, wait=False):
            return False
    except BlockingIOError:
        return True

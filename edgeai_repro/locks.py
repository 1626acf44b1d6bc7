"""Lock files, which keep processes that share a folder from doing the same work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, which is created if it is missing; another process waits until the block ends.

    The lock also ends with the process, however it ends.
    """
    import fcntl  # not at the top, because Windows has none

    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Return whether some process holds the lock file `path`."""
    import fcntl

    if not path.exists():
        return False
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False

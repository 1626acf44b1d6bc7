"""The number of threads that run a model while it is timed. torch is imported on use only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Eager mode starts a parallel region in each layer. With passive threads ConvNeXt-Small, pruned and int8, took 18
# ms instead of 6.
PASSIVE_THREADS = (
    "eager mode isn't timed under OMP_WAIT_POLICY=passive, which puts its threads to sleep; unset the variable"
)


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def why_eager_is_not_timed(threads: int) -> str | None:
    """Return the reason why eager mode can't be timed fairly with this number of threads, or None."""
    passive = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
    return PASSIVE_THREADS if passive and threads > 1 else None


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Set torch's number of threads inside the block and restore it afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

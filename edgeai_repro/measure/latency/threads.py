"""How many threads work on one image: fixed while something is timed. No torch until it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Eager mode enters a parallel region in each layer: ConvNeXt-Small, pruned and int8, took 18 ms so, not 6.
PASSIVE_THREADS = "eager mode isn't timed where OMP_WAIT_POLICY is passive, for its threads fall asleep; unset it"


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def why_eager_is_not_timed(threads: int) -> str | None:
    """Return why torch's eager mode can't be timed fairly with that many threads here; None where it can."""
    passive = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
    return PASSIVE_THREADS if passive and threads > 1 else None


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Have torch work with that many threads, and restore its own number."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

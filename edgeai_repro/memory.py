"""Gives unused memory back to the system: what others left behind would add to a large network's peak."""

from __future__ import annotations

import gc


def release_unused() -> None:
    """Collect cycles, and return what is free to the system, if its C library can."""
    import psutil  # of the extra `torch`

    gc.collect()
    if hasattr(psutil, "heap_trim"):  # not with every C library
        psutil.heap_trim()

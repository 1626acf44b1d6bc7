"""Times one block of samples of a contender, and refuses a clock that stops, runs backwards or jumps. No torch."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgeai_repro.errors import UserError

Clock = Callable[[], float]


@dataclass(frozen=True)
class ClockTolerance:
    """The largest difference of two clocks over a block: seconds, plus a share of the block. More is a jump.

    A wall clock that is being adjusted runs at most 0.05 % too fast or slow (adjtime). The rest allows for the time
    between the readings of the two clocks.
    """

    seconds: float = 0.02
    share: float = 0.01


@dataclass(frozen=True)
class Clocks:
    """A clock that measures each sample, in seconds, and an independent wall clock, read around each block."""

    clock: Clock = time.perf_counter
    wall_clock: Clock = time.time
    tolerance: ClockTolerance = ClockTolerance()


def time_block(name: str, call: Callable[[], object], untimed: int, samples: int, clocks: Clocks) -> list[float]:
    """Return the seconds of each of so many samples, after untimed ones. Raises UserError if a clock is wrong."""
    clock, wall_clock, tolerance = clocks.clock, clocks.wall_clock, clocks.tolerance
    for _ in range(untimed):
        call()
    times = []
    wall_start, block_start = wall_clock(), clock()
    for _ in range(samples):
        start = clock()
        call()
        times.append(clock() - start)
    by_clock, by_wall_clock = clock() - block_start, wall_clock() - wall_start
    shortest(name, times)
    if abs(by_clock - by_wall_clock) > tolerance.seconds + tolerance.share * by_clock:
        raise UserError(
            f"'clock' must not jump (got {by_clock:.3f} s for a block of {name}, {by_wall_clock:.3f} s by the wall "
            "clock); time it again when the clock is set and the machine stays awake"
        )
    return times


def shortest(name: str, times: list[float]) -> float:
    """Return the shortest time. Raises UserError if the clock stopped or ran backwards."""
    if (least := min(times)) <= 0:
        raise UserError(f"'clock' must run forward (got {least:g} s for {name}); time it again")
    return least


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Turn Python's garbage collector off inside the block."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

"""Interleaved timing of several contenders, with an A/A control of each. No torch.

A contender is a callable that runs a model on one image. Blocks of samples run in the order A B B A, so that drift
of the machine affects all contenders equally. The order is shuffled every round, so that cache after-effects do,
too. The first samples of a block are untimed, because the caches still have the data of another contender.

The A/A control of a contender compares its first with its second blocks. A round in which the device was throttled
is discarded for all contenders, because comparisons are made within rounds.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.errors import TooNoisyError, UserError
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.measure.latency.affinity import main_thread_pinned
from edgeai_repro.measure.latency.throttling import Throttling, read, throttled

Clock = Callable[[], float]
LEAST_ROUNDS, LEAST_WARM_UPS = 2, 10


@dataclass(frozen=True)
class Plan:
    """The extent of a timing: `rounds` of A B B A, with `samples` per block after `untimed` ones that don't count.

    A fast contender gets more of both, enough to take `seconds` and `untimed_seconds`, so that caches and clock
    rates have time to settle. `warm_ups` are the untimed samples before the first round.
    """

    rounds: int = 20
    samples: int = 5
    untimed: int = 2
    warm_ups: int = LEAST_WARM_UPS
    seconds: float = 0.04
    untimed_seconds: float = 0.02

    def __post_init__(self) -> None:
        """Raise ValueError if the plan is too short for the statistics."""
        long_enough = self.rounds >= LEAST_ROUNDS and self.samples >= 1 and self.warm_ups >= LEAST_WARM_UPS
        if not long_enough or min(self.untimed, self.seconds, self.untimed_seconds) < 0:
            raise ValueError(
                f"'plan' must have {LEAST_ROUNDS} rounds, 1 sample and {LEAST_WARM_UPS} warm-ups at least "
                f"(got {self})"
            )

    def fitted(self, once: float) -> Plan:
        """Return the plan with enough samples to fill its times, if one takes `once` seconds."""
        return replace(
            self,
            samples=max(self.samples, math.ceil(self.seconds / once)),
            untimed=max(self.untimed, math.ceil(self.untimed_seconds / once)),
        )


@dataclass(frozen=True)
class ClockTolerance:
    """The largest difference of two clocks over a block: seconds, plus a share of the block. More is a jump.

    A wall clock that is being adjusted runs at most 0.05 % too fast or slow (adjtime). The rest allows for the time
    between the readings of the two clocks.
    """

    seconds: float = 0.02
    share: float = 0.01


PLAN, CLOCK_TOLERANCE = Plan(), ClockTolerance()


@dataclass(frozen=True)
class Timing:
    """The times of one contender in milliseconds, (2 × rounds, samples). First and second blocks alternate.

    `discarded` is the number of rounds that were left out because the device was throttled; None if the device does
    not report throttling.
    """

    milliseconds: NDArray[np.float64]
    discarded: int | None = None

    @property
    def n(self) -> int:
        """The number of samples."""
        return int(self.milliseconds.size)

    @property
    def median(self) -> Interval:
        """The median, with the quartiles as its interval."""
        from edgeai_repro.evidence.statistics import median_with_iqr

        return median_with_iqr(self.milliseconds)

    @property
    def p90(self) -> float:
        """The 90th percentile."""
        from edgeai_repro.evidence.statistics import p90

        return p90(self.milliseconds)

    @property
    def control(self) -> Interval:
        """The A/A control: the ratio of first to second blocks, with its interval."""
        from edgeai_repro.evidence.statistics import paired_ratio

        return paired_ratio(self.milliseconds[0::2], self.milliseconds[1::2])


def ratio(slower: Timing, faster: Timing) -> Interval:
    """Return how many times faster `faster` is than `slower`, with a bootstrap interval over blocks."""
    from edgeai_repro.evidence.statistics import paired_ratio

    return paired_ratio(slower.milliseconds, faster.milliseconds)


def worst_control(timings: Sequence[Timing]) -> Interval:
    """Return a control that lies in a band if, and only if, the controls of all timings do.

    Its value is the one farthest from 1; its interval reaches from the lowest end to the highest.
    """
    controls = [timing.control for timing in timings]
    return Interval(
        value=max((control.value for control in controls), key=lambda value: abs(value - 1)),
        low=min(control.low for control in controls),
        high=max(control.high for control in controls),
    )


def time_interleaved(
    contenders: Mapping[str, Callable[[], object]],
    plan: Plan = PLAN,
    *,
    clock: Clock = time.perf_counter,
    wall_clock: Clock = time.time,
    tolerance: ClockTolerance = CLOCK_TOLERANCE,
    throttling: Callable[[], Throttling] = read,
) -> dict[str, Timing]:
    """Return the times of every contender by name. The main thread is pinned to a core meanwhile.

    `clock` measures each sample, in seconds. `wall_clock`, an independent clock, and `throttling` are read before
    and after each block. Raises UserError if a clock stops, runs backwards or jumps, and TooNoisyError if the
    device was throttled in most rounds. All times are discarded then.
    """
    names = list(contenders)
    plans = {name: _warm_up(name, contenders[name], plan, clock) for name in names}
    blocks: dict[str, list[list[float]]] = {name: [] for name in names}
    discarded = 0
    shuffle = random.Random(0)
    with _no_garbage_collection(), main_thread_pinned():
        for _ in range(plan.rounds):
            round_times, slowed = [], False
            before = throttling()
            order = shuffle.sample(names, len(names))
            for name in [*order, *reversed(order)]:
                times = _time_block(name, contenders[name], plans[name], clock, wall_clock, tolerance)
                round_times.append((name, times))
                after = throttling()
                slowed, before = slowed or throttled(before, after), after
            discarded += slowed
            for name, times in round_times:
                if not slowed:
                    blocks[name].append(times)
    kept = plan.rounds - discarded
    if kept < max(LEAST_ROUNDS, plan.rounds / 2):  # the remaining rounds are no fair sample
        raise TooNoisyError(
            f"too noisy: the device was throttled in {discarded} of {plan.rounds} rounds; cool it, check its power "
            "supply, and try again"
        )
    reported = discarded if before.reports_throttling else None
    return {name: Timing(1000 * np.array(times), reported) for name, times in blocks.items()}


def _warm_up(name: str, call: Callable[[], object], plan: Plan, clock: Clock) -> Plan:
    """Warm a contender up; return the plan fitted to its shortest time."""
    times = []
    for _ in range(plan.warm_ups):
        start = clock()
        call()
        times.append(clock() - start)
    return plan.fitted(_shortest(name, times))


def _time_block(
    name: str,
    call: Callable[[], object],
    plan: Plan,
    clock: Clock,
    wall_clock: Clock,
    tolerance: ClockTolerance,
) -> list[float]:
    for _ in range(plan.untimed):
        call()
    times = []
    wall_start, block_start = wall_clock(), clock()
    for _ in range(plan.samples):
        start = clock()
        call()
        times.append(clock() - start)
    by_clock, by_wall_clock = clock() - block_start, wall_clock() - wall_start
    _shortest(name, times)
    if abs(by_clock - by_wall_clock) > tolerance.seconds + tolerance.share * by_clock:
        raise UserError(
            f"'clock' must not jump (got {by_clock:.3f} s for a block of {name}, {by_wall_clock:.3f} s by the wall "
            "clock); time it again when the clock is set and the machine stays awake"
        )
    return times


def _shortest(name: str, times: list[float]) -> float:
    """Return the shortest time. Raises UserError if the clock stopped or ran backwards."""
    if (shortest := min(times)) <= 0:
        raise UserError(f"'clock' must run forward (got {shortest:g} s for {name}); time it again")
    return shortest


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Turn Python's garbage collector off inside the block."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

"""Timing that can be believed: contenders in rounds, each against itself, medians with intervals. No torch.

A contender is a callable that answers one image. Blocks are interleaved A B B A, so that the machine's drift falls
on all alike, and in another order each round, so that what one leaves behind does; the first samples of a block, in
which a contender finds the other's data in the caches, are not counted. Each contender's own first and second
blocks, timed in the same rounds, are its A/A control. A round in which the device was throttled is discarded for
all: contenders are compared, and each with itself, within a round.
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
LEAST_TURNS, LEAST_WARM_UPS = 2, 10


@dataclass(frozen=True)
class Plan:
    """How often to time: `rounds` of A B B A, each a block of `samples` a side after `untimed` uncounted ones.

    A fast contender gets more of both, as many as take `seconds` and `settling_seconds`, lest its block be over
    before caches and clock rates have settled.
    """

    rounds: int = 20
    samples: int = 5
    untimed: int = 2
    warm_ups: int = LEAST_WARM_UPS
    seconds: float = 0.04
    settling_seconds: float = 0.02

    def __post_init__(self) -> None:
        """Raise ValueError for less than the statistics need."""
        counts_fit = self.rounds >= LEAST_TURNS and self.samples >= 1 and self.warm_ups >= LEAST_WARM_UPS
        if not counts_fit or min(self.untimed, self.seconds, self.settling_seconds) < 0:
            raise ValueError(
                f"'plan' must have {LEAST_TURNS} rounds, 1 sample and {LEAST_WARM_UPS} warm-ups at least "
                f"(got {self})"
            )

    def fitted(self, once: float) -> Plan:
        """Return the plan for what answers an image in `once` seconds, with as many samples as fill its times."""
        return replace(
            self,
            samples=max(self.samples, math.ceil(self.seconds / once)),
            untimed=max(self.untimed, math.ceil(self.settling_seconds / once)),
        )


@dataclass(frozen=True)
class ClockTolerance:
    """By how much two clocks may disagree over a block before one has jumped: seconds, and a share of the block.

    A wall clock that is slewed runs 0.05 % off at most (adjtime); the rest is the time between two readings.
    """

    seconds: float = 0.02
    share: float = 0.01


PLAN, JUMP = Plan(), ClockTolerance()


@dataclass(frozen=True)
class Timing:
    """One contender's times in milliseconds, (2 × rounds, samples): a round's first and second blocks alternate.

    `discarded` rounds, in which the device was throttled, are not among them; None where it doesn't tell.
    """

    milliseconds: NDArray[np.float64]
    discarded: int | None = None

    @property
    def n(self) -> int:
        """The number of samples."""
        return int(self.milliseconds.size)

    @property
    def median(self) -> Interval:
        """The median, with the quartiles as its ends."""
        from edgeai_repro.evidence.statistics import median_with_iqr

        return median_with_iqr(self.milliseconds)

    @property
    def p90(self) -> float:
        """What nine of ten samples don't exceed."""
        from edgeai_repro.evidence.statistics import p90

        return p90(self.milliseconds)

    @property
    def control(self) -> Interval:
        """The A/A control: first blocks over second ones, with its interval."""
        from edgeai_repro.evidence.statistics import paired_ratio

        return paired_ratio(self.milliseconds[0::2], self.milliseconds[1::2])


def ratio(slower: Timing, faster: Timing) -> Interval:
    """Return how many times faster one contender is than another, with an interval by bootstrap over blocks."""
    from edgeai_repro.evidence.statistics import paired_ratio

    return paired_ratio(slower.milliseconds, faster.milliseconds)


def worst_control(timings: Sequence[Timing]) -> Interval:
    """Return one control that is in a band only if all timings' are: from the lowest end to the highest."""
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
    witness: Clock = time.time,
    jump: ClockTolerance = JUMP,
    throttling: Callable[[], Throttling] = read,
) -> dict[str, Timing]:
    """Time every contender in rounds, and return the times by name; meanwhile no thread changes its core.

    `clock` times, in seconds; `witness`, an independent one, is read at the ends of each block, and so is
    `throttling`. Raises UserError where a clock stands, runs backwards or jumps: what was timed until then is given
    up; TooNoisyError where the device was throttled in most rounds.
    """
    names = list(contenders)
    plans = {name: _fitted(name, contenders[name], plan, clock) for name in names}
    blocks: dict[str, list[list[float]]] = {name: [] for name in names}
    discarded = 0
    shuffle = random.Random(0)
    with _no_collection(), main_thread_pinned():
        for _ in range(plan.rounds):
            round, slowed = [], False
            before = throttling()
            order = shuffle.sample(names, len(names))
            for name in [*order, *reversed(order)]:
                round.append((name, _block(name, contenders[name], plans[name], clock, witness, jump)))
                after = throttling()
                slowed, before = slowed or throttled(before, after), after
            discarded += slowed
            for name, times in round:
                if not slowed:
                    blocks[name].append(times)
    kept = plan.rounds - discarded
    if kept < max(LEAST_TURNS, plan.rounds / 2):  # throttled more often than not: what is left is no fair sample
        raise TooNoisyError(
            f"too noisy: the device was throttled in {discarded} of {plan.rounds} rounds; cool it, check its power "
            "supply, and try again"
        )
    told = discarded if before.reports_throttling else None
    return {name: Timing(1000 * np.array(times), told) for name, times in blocks.items()}


def _fitted(name: str, call: Callable[[], object], plan: Plan, clock: Clock) -> Plan:
    """Warm a contender up, and return the plan that fits it."""
    took = []
    for _ in range(plan.warm_ups):
        start = clock()
        call()
        took.append(clock() - start)
    return plan.fitted(_shortest(name, took))


def _block(
    name: str, call: Callable[[], object], plan: Plan, clock: Clock, witness: Clock, jump: ClockTolerance
) -> list[float]:
    for _ in range(plan.untimed):
        call()
    times = []
    outer, first = witness(), clock()
    for _ in range(plan.samples):
        start = clock()
        call()
        times.append(clock() - start)
    by_clock, by_witness = clock() - first, witness() - outer
    _shortest(name, times)
    if abs(by_clock - by_witness) > jump.seconds + jump.share * by_clock:
        raise UserError(
            f"'clock' must not jump (got {by_clock:.3f} s for a block of {name}, {by_witness:.3f} s by the wall "
            "clock); time it again when the clock is set and the machine stays awake"
        )
    return times


def _shortest(name: str, times: list[float]) -> float:
    """Return the shortest time. Raises UserError where the clock stood still or ran backwards."""
    if (shortest := min(times)) <= 0:
        raise UserError(f"'clock' must run forward (got {shortest:g} s for {name}); time it again")
    return shortest


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of the times."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

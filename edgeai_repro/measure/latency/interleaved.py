"""Interleaved timing of several contenders, with an A/A control of each. No torch.

A contender is a callable that runs a model on one image. Blocks of samples run in the order A B B A, so that drift
of the machine affects all contenders equally. The order is shuffled every round, so that cache after-effects do,
too. The first samples of a block are untimed, because the caches still have the data of another contender.

The A/A control of a contender compares its first with its second blocks. A load that is always there slows both
alike, so the control also holds the time in which a thread waited for a core that another process used. A round in
which the device was throttled is discarded for all contenders, because comparisons are made within rounds.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.errors import TooNoisyError
from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.measure.latency.affinity import main_thread_pinned
from edgeai_repro.measure.latency.blocks import Clock, Clocks, no_garbage_collection, shortest, time_block
from edgeai_repro.measure.latency.throttling import Throttling, read, throttled
from edgeai_repro.measure.latency.waiting import Waiting, longest_wait, waiting_times

Progress = Callable[[float, int], AbstractContextManager[Callable[[], object]]]
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


PLAN, CLOCKS = Plan(), Clocks()


@dataclass(frozen=True)
class Timing:
    """The times of one contender in milliseconds, (2 × rounds, samples). First and second blocks alternate.

    `discarded` is the number of rounds that were left out because the device was throttled; None if the device does
    not report throttling. `waiting` is the share of the run in which a thread waited for a core that others used.
    """

    milliseconds: NDArray[np.float64]
    discarded: int | None = None
    waiting: float = 0.0

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
        """The A/A control: the ratio of first to second blocks, with its interval.

        The interval reaches up to the factor by which waiting may have slowed the model.
        """
        from edgeai_repro.evidence.statistics import paired_ratio

        control = paired_ratio(self.milliseconds[0::2], self.milliseconds[1::2])
        return control.model_copy(update={"high": max(control.high, 1 / (1 - min(self.waiting, 0.99)))})


Timer = Callable[[Mapping[str, Callable[[], object]], Plan], Mapping[str, Timing]]


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


def untold(seconds: float, rounds: int) -> AbstractContextManager[Callable[[], object]]:
    """Show no progress."""
    return nullcontext(lambda: None)


def time_interleaved(
    contenders: Mapping[str, Callable[[], object]],
    plan: Plan = PLAN,
    *,
    clocks: Clocks = CLOCKS,
    throttling: Callable[[], Throttling] = read,
    waiting: Callable[[], Waiting] = waiting_times,
    progress: Progress = untold,
) -> dict[str, Timing]:
    """Return the times of every contender by name. The main thread is pinned to a core meanwhile.

    `throttling` is read before and after each block, `waiting` before and after all. `progress` is given the
    expected seconds and the number of rounds after the warm-ups; it yields what is called after each round. Raises
    UserError if a clock stops, runs backwards or jumps, and TooNoisyError if the device was throttled in most
    rounds. All times are discarded then.
    """
    names = list(contenders)
    once = {name: _warmed_up(name, contenders[name], plan, clocks.clock) for name in names}
    plans = {name: plan.fitted(once[name]) for name in names}
    blocks: dict[str, list[list[float]]] = {name: [] for name in names}
    discarded = 0
    shuffle = random.Random(0)
    expected = 2 * plan.rounds * sum(once[name] * (plans[name].untimed + plans[name].samples) for name in names)
    with progress(expected, plan.rounds) as step, no_garbage_collection(), main_thread_pinned():
        started, waited_before = clocks.clock(), waiting()
        for _ in range(plan.rounds):
            round_times, slowed = [], False
            before = throttling()
            order = shuffle.sample(names, len(names))
            for name in [*order, *reversed(order)]:
                fitted = plans[name]
                times = time_block(name, contenders[name], fitted.untimed, fitted.samples, clocks)
                round_times.append((name, times))
                after = throttling()
                slowed, before = slowed or throttled(before, after), after
            discarded += slowed
            for name, times in round_times:
                if not slowed:
                    blocks[name].append(times)
            step()
        share = longest_wait(waited_before, waiting()) / (clocks.clock() - started)
    kept = plan.rounds - discarded
    if kept < max(LEAST_ROUNDS, plan.rounds / 2):  # the remaining rounds are no fair sample
        raise TooNoisyError(
            f"too noisy: the device was throttled in {discarded} of {plan.rounds} rounds; cool it, check its power "
            "supply, and try again"
        )
    reported = discarded if before.reports_throttling else None
    return {name: Timing(1000 * np.array(times), reported, share) for name, times in blocks.items()}


def _warmed_up(name: str, call: Callable[[], object], plan: Plan, clock: Clock) -> float:
    """Warm a contender up; return its shortest time in seconds."""
    times = []
    for _ in range(plan.warm_ups):
        start = clock()
        call()
        times.append(clock() - start)
    return shortest(name, times)

"""Timing: on a clock that the tests round, so that no machine's noise comes in."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from itertools import chain, pairwise, repeat
from typing import TypeVar

import numpy as np
import pytest

from edgeai_repro.errors import TooNoisyError, UserError
from edgeai_repro.evidence.measurement import aa_control_passes
from edgeai_repro.measure.latency.interleaved import (
    LEAST_WARM_UPS,
    Plan,
    Timing,
    ratio,
    time_interleaved,
    worst_control,
)
from edgeai_repro.measure.latency.throttling import Throttling

PLAN = Plan(rounds=4, samples=3, untimed=2, seconds=0, settling_seconds=0)
T = TypeVar("T")
READINGS = 3  # of a round with one contender: before its first block, and after both
COOL, HOT = Throttling(events=(7,), limits=(0,)), Throttling(events=(7,), limits=(1,))


class Bench:
    """A machine on which calls take the seconds that they are said to; it notes who was called."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[str] = []
        self.wall = 0.0
        self.readings: Iterator[Throttling] = self._over_and_over((Throttling(),))

    def takes(self, name: str, *seconds: float) -> Callable[[], None]:
        """Return a contender that takes these seconds in round, over and over."""
        rest = self._over_and_over(seconds)

        def call() -> None:
            self.calls.append(name)
            self.now += next(rest)

        return call

    @staticmethod
    def _over_and_over(values: tuple[T, ...]) -> Iterator[T]:
        while True:
            yield from values

    def race(self, contenders: dict[str, Callable[[], None]], plan: Plan = PLAN) -> dict[str, Timing]:
        """Time contenders by this machine's clocks."""
        return time_interleaved(
            contenders,
            plan,
            clock=lambda: self.now,
            witness=lambda: self.now + self.wall,
            throttling=lambda: next(self.readings),
        )


@pytest.fixture
def bench() -> Bench:
    """A machine at rest."""
    return Bench()


def test_times(bench: Bench) -> None:
    """Times are in milliseconds, as many blocks as twice the rounds, with median, quartiles and p90."""
    timing = bench.race({"a": bench.takes("a", 0.001, 0.002, 0.003, 0.004, 0.005)})["a"]

    assert timing.milliseconds.shape == (8, 3)
    assert timing.n == 24
    assert timing.median.value == pytest.approx(np.median(timing.milliseconds))
    assert timing.median.low <= timing.median.value <= timing.median.high <= timing.p90 <= 5.000001


def test_interleaved(bench: Bench) -> None:
    """Blocks go A B C C B A, in another order each round, after at least ten warm-ups of each."""
    bench.race({name: bench.takes(name, 0.001) for name in "abc"})

    warm_ups = 3 * LEAST_WARM_UPS
    length = PLAN.untimed + PLAN.samples
    blocks = [bench.calls[start : start + length] for start in range(warm_ups, len(bench.calls), length)]
    assert LEAST_WARM_UPS == 10
    assert bench.calls[:warm_ups] == ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    assert all(len(set(block)) == 1 for block in blocks)
    rounds = ["".join(block[0] for block in blocks[start : start + 6]) for start in range(0, len(blocks), 6)]
    assert len(rounds) == PLAN.rounds
    assert all(sorted(round[:3]) == ["a", "b", "c"] and round == round[::-1] for round in rounds)
    assert len(set(rounds)) > 1, "what a contender leaves behind must not always fall on the same one"


def test_settling(bench: Bench) -> None:
    """The first samples of a block are not counted."""
    slow_at_first = bench.takes("a", *(10 * [0.001]), *(4 * PLAN.rounds * [1.0, 1.0, 0.001, 0.001, 0.001]))

    assert bench.race({"a": slow_at_first})["a"].milliseconds.max() == pytest.approx(1)


def test_fast(bench: Bench) -> None:
    """A fast contender fills a block's time with more samples, a slow one has the least that are asked for."""
    plan = Plan(rounds=2, samples=3, untimed=2, seconds=0.04, settling_seconds=0.02)
    found = bench.race({"fast": bench.takes("fast", 0.003), "slow": bench.takes("slow", 0.1)}, plan)

    assert found["fast"].milliseconds.shape == (4, 14)
    assert found["slow"].milliseconds.shape == (4, 3)
    assert bench.calls.count("fast") == 10 + 4 * (7 + 14), "half the time again before a block counts"


def test_fitted() -> None:
    """A plan has as many samples as fill its times at so many seconds each, and never less than are asked for."""
    plan = Plan(rounds=2, samples=3, untimed=2, seconds=0.04, settling_seconds=0.02)

    assert (plan.fitted(0.003).samples, plan.fitted(0.003).untimed) == (14, 7)
    assert plan.fitted(0.1) == plan


def test_drift(bench: Bench) -> None:
    """A machine that slows down steadily makes no contender faster than its equal."""
    steps = iter(range(10_000))

    def slowing() -> None:
        bench.now += 0.001 * (1 + next(steps) / 10_000)

    timings = bench.race({"a": slowing, "b": slowing}, Plan(rounds=20, samples=3, seconds=0, settling_seconds=0))
    found = ratio(timings["a"], timings["b"])

    assert found.value == pytest.approx(1, abs=0.002)
    assert found.low <= 1 <= found.high


def test_ratio(bench: Bench) -> None:
    """A contender that takes a third of the time is three times faster, and a control of each is quiet."""
    timings = bench.race({"slow": bench.takes("slow", 0.003), "fast": bench.takes("fast", 0.001)})

    assert ratio(timings["slow"], timings["fast"]).value == pytest.approx(3)
    assert aa_control_passes(worst_control(list(timings.values())))


def test_noise() -> None:
    """Where a contender's second blocks take twice as long as its first, no control that it is in is quiet."""
    quiet, noisy = Timing(np.ones((8, 3))), Timing(np.array([[1.0] * 3, [2.0] * 3] * 4))

    assert aa_control_passes(quiet.control)
    assert not aa_control_passes(noisy.control)
    assert not aa_control_passes(worst_control([quiet, noisy]))
    assert worst_control([quiet, noisy]).value == pytest.approx(0.5)


class TestThrottled:
    """What was timed while the device was throttled doesn't count."""

    @pytest.mark.parametrize(
        "round",
        [
            pytest.param([HOT, COOL, COOL], id="at its start"),
            pytest.param([COOL, HOT, COOL], id="between its blocks"),
            pytest.param([COOL, COOL, HOT], id="at its end"),
            pytest.param([COOL, COOL, Throttling((8,), (0,))], id="for a moment that nothing was read in"),
        ],
    )
    def test_discarded(self, bench: Bench, round: list[Throttling]) -> None:
        """A round in which the device was throttled is discarded, of all contenders, and counted."""
        slow_once = bench.takes("a", *(10 * [0.001]), *(10 * [0.001]), *(10 * [0.005]), *(1000 * [0.001]))
        bench.readings = chain(READINGS * [COOL], round, repeat(round[-1] if round[-1] != HOT else COOL))
        found = bench.race({"a": slow_once})["a"]

        assert found.discarded == 1
        assert found.milliseconds.shape == (2 * (PLAN.rounds - 1), PLAN.samples)
        assert found.milliseconds.max() == pytest.approx(1), "the round of 5 ms must be left out"

    def test_together(self, bench: Bench) -> None:
        """All contenders lose the round, so that those left are of the same rounds and can be compared."""
        bench.readings = chain([COOL, COOL, HOT], repeat(COOL))
        found = bench.race({name: bench.takes(name, 0.001) for name in "ab"})

        assert [timing.milliseconds.shape for timing in found.values()] == 2 * [(6, 3)]

    def test_too_hot(self, bench: Bench) -> None:
        """Where the device was throttled in more than half of the rounds, nothing is told."""
        bench.readings = chain(READINGS * [COOL], repeat(HOT))

        with pytest.raises(TooNoisyError, match=r"^too noisy: the device was throttled in 3 of 4 rounds; cool it"):
            bench.race({"a": bench.takes("a", 0.001)})

    @pytest.mark.parametrize(("reading", "discarded"), [(COOL, 0), (Throttling(), None)])
    def test_told(self, bench: Bench, reading: Throttling, discarded: int | None) -> None:
        """That no round was discarded is said only where the device tells."""
        bench.readings = repeat(reading)

        assert bench.race({"a": bench.takes("a", 0.001)})["a"].discarded == discarded


@pytest.mark.parametrize("wall", [5.0, -5.0])
def test_jump(bench: Bench, wall: float) -> None:
    """A clock that jumps against the other in the middle of a block is noticed, either way, and nothing is told."""
    calls = iter(range(10_000))

    def jumping() -> None:
        bench.now += 0.001
        if next(calls) == 23:
            bench.wall = wall

    with pytest.raises(UserError, match=r"^'clock' must not jump \(got 0\.003 s for a block of a, -?[45]"):
        bench.race({"a": jumping})


@pytest.mark.parametrize("seconds", [0.0, -0.001])
def test_backwards(bench: Bench, seconds: float) -> None:
    """A clock that stands or runs backwards is noticed."""
    with pytest.raises(UserError, match=r"^'clock' must run forward \(got -?0"):
        bench.race({"a": bench.takes("a", seconds)})


def test_slewed(bench: Bench) -> None:
    """A wall clock that is slewed, by 0.05 %, is no jump."""
    call = bench.takes("a", 10.0)

    time_interleaved(
        {"a": call}, PLAN, clock=lambda: bench.now, witness=lambda: bench.now * 1.0005, throttling=Throttling
    )


def test_collector(bench: Bench) -> None:
    """Python's garbage collector rests while times are taken, and not after, even where a contender fails."""
    seen = []

    def failing() -> None:
        seen.append(gc.isenabled())
        bench.now += 0.001
        if len(seen) > 20:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        bench.race({"a": failing})

    assert seen == [True] * 10 + [False] * 11
    assert gc.isenabled()


def test_real_clock() -> None:
    """On the machine's own clocks, too, every time is positive."""
    timings = time_interleaved({"a": lambda: sum(range(1000))}, PLAN, throttling=Throttling)["a"].milliseconds

    assert (timings > 0).all()


@pytest.mark.parametrize("plan", [{"rounds": 1}, {"samples": 0}, {"untimed": -1}, {"warm_ups": LEAST_WARM_UPS - 1}])
def test_plan(plan: dict[str, int]) -> None:
    """A plan with too little of anything is refused."""
    with pytest.raises(ValueError, match="'plan' must have 2 rounds, 1 sample and 10 warm-ups at least"):
        Plan(**plan)


def test_blocks_alternate(bench: Bench) -> None:
    """First and second blocks of a round alternate in the rows, as the control takes them."""
    rising = bench.race({"a": bench.takes("a", *(0.001 * k for k in range(1, 200)))})["a"].milliseconds

    assert all(later.min() > earlier.max() for earlier, later in pairwise(rising))

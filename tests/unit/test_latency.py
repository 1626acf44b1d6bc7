"""Interleaved timing, on a clock that the tests control, so that the noise of the machine has no effect."""

from __future__ import annotations

import gc
from itertools import chain, pairwise, repeat

import numpy as np
import pytest

from edgeai_repro.errors import TooNoisyError, UserError
from edgeai_repro.evidence.measurement import aa_control_passes
from edgeai_repro.measure.latency.blocks import Clocks
from edgeai_repro.measure.latency.interleaved import (
    LEAST_WARM_UPS,
    Plan,
    Timing,
    ratio,
    time_interleaved,
    worst_control,
)
from edgeai_repro.measure.latency.throttling import Throttling
from tests.support.bench import PLAN, Bench

READINGS = 3  # of throttling in a round with one contender: before its first block and after both
COOL, HOT = Throttling(events=(7,), limits=(0,)), Throttling(events=(7,), limits=(1,))


@pytest.fixture
def bench() -> Bench:
    """A machine that has not run anything yet."""
    return Bench()


def test_times_are_in_milliseconds_by_block(bench: Bench) -> None:
    """There are two blocks per round, and the statistics are those of all samples."""
    timing = bench.time({"a": bench.takes("a", 0.001, 0.002, 0.003, 0.004, 0.005)})["a"]

    assert timing.milliseconds.shape == (8, 3)
    assert timing.n == 24
    assert timing.median.value == pytest.approx(np.median(timing.milliseconds))
    assert timing.median.low <= timing.median.value <= timing.median.high <= timing.p90 <= 5.000001


def test_blocks_are_interleaved_in_another_order_each_round(bench: Bench) -> None:
    """Blocks run as A B C C B A, after at least ten warm-ups of each contender."""
    bench.time({name: bench.takes(name, 0.001) for name in "abc"})

    warm_ups = 3 * LEAST_WARM_UPS
    length = PLAN.untimed + PLAN.samples
    blocks = [bench.calls[start : start + length] for start in range(warm_ups, len(bench.calls), length)]
    assert LEAST_WARM_UPS == 10
    assert bench.calls[:warm_ups] == ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    assert all(len(set(block)) == 1 for block in blocks)
    rounds = ["".join(block[0] for block in blocks[first : first + 6]) for first in range(0, len(blocks), 6)]
    assert len(rounds) == PLAN.rounds
    assert all(sorted(order[:3]) == ["a", "b", "c"] and order == order[::-1] for order in rounds)
    assert len(set(rounds)) > 1, (
        "the order must change, so that cache after-effects do not always affect the same contender"
    )


def test_the_first_samples_of_a_block_are_untimed(bench: Bench) -> None:
    """Two slow samples at the start of each block have no effect."""
    slow_at_first = bench.takes("a", *(10 * [0.001]), *(4 * PLAN.rounds * [1.0, 1.0, 0.001, 0.001, 0.001]))

    assert bench.time({"a": slow_at_first})["a"].milliseconds.max() == pytest.approx(1)


def test_a_fast_contender_has_more_samples(bench: Bench) -> None:
    """It fills the time of a block; a slow contender has the least number of samples."""
    plan = Plan(rounds=2, samples=3, untimed=2, seconds=0.04, untimed_seconds=0.02)
    timings = bench.time({"fast": bench.takes("fast", 0.003), "slow": bench.takes("slow", 0.1)}, plan)

    assert timings["fast"].milliseconds.shape == (4, 14)
    assert timings["slow"].milliseconds.shape == (4, 3)
    assert bench.calls.count("fast") == 10 + 4 * (7 + 14), "4 blocks of 7 untimed and 14 timed samples"


def test_a_plan_is_fitted_to_the_time_of_a_sample() -> None:
    """It has enough samples to fill its times, and never fewer than before."""
    plan = Plan(rounds=2, samples=3, untimed=2, seconds=0.04, untimed_seconds=0.02)

    assert (plan.fitted(0.003).samples, plan.fitted(0.003).untimed) == (14, 7)
    assert plan.fitted(0.1) == plan


def test_drift_has_no_effect_on_ratios(bench: Bench) -> None:
    """On a machine that slows down steadily, two equal contenders have a ratio of 1."""
    steps = iter(range(10_000))

    def slowing() -> None:
        bench.now += 0.001 * (1 + next(steps) / 10_000)

    timings = bench.time({"a": slowing, "b": slowing}, Plan(rounds=20, samples=3, seconds=0, untimed_seconds=0))
    speedup = ratio(timings["a"], timings["b"])

    assert speedup.value == pytest.approx(1, abs=0.002)
    assert speedup.low <= 1 <= speedup.high


def test_ratio_of_a_contender_that_is_three_times_faster(bench: Bench) -> None:
    """It is 3, and the controls of both pass."""
    timings = bench.time({"slow": bench.takes("slow", 0.003), "fast": bench.takes("fast", 0.001)})

    assert ratio(timings["slow"], timings["fast"]).value == pytest.approx(3)
    assert aa_control_passes(worst_control(list(timings.values())))


def test_the_worst_control_fails_if_one_fails() -> None:
    """The second blocks of one contender take twice as long as its first."""
    quiet, noisy = Timing(np.ones((8, 3))), Timing(np.array([[1.0] * 3, [2.0] * 3] * 4))

    assert aa_control_passes(quiet.control)
    assert not aa_control_passes(noisy.control)
    assert not aa_control_passes(worst_control([quiet, noisy]))
    assert worst_control([quiet, noisy]).value == pytest.approx(0.5)


class TestThrottled:
    """Rounds during which the device was throttled."""

    @pytest.mark.parametrize(
        "readings",
        [
            pytest.param([HOT, COOL, COOL], id="at the start"),
            pytest.param([COOL, HOT, COOL], id="between the blocks"),
            pytest.param([COOL, COOL, HOT], id="at the end"),
            pytest.param([COOL, COOL, Throttling((8,), (0,))], id="between two readings"),
        ],
    )
    def test_a_throttled_round_is_discarded_and_counted(self, bench: Bench, readings: list[Throttling]) -> None:
        """The slow samples of the throttled round are not among the times."""
        slow_once = bench.takes("a", *(10 * [0.001]), *(10 * [0.001]), *(10 * [0.005]), *(1000 * [0.001]))
        bench.readings = chain(READINGS * [COOL], readings, repeat(readings[-1] if readings[-1] != HOT else COOL))
        timing = bench.time({"a": slow_once})["a"]

        assert timing.discarded == 1
        assert timing.milliseconds.shape == (2 * (PLAN.rounds - 1), PLAN.samples)
        assert timing.milliseconds.max() == pytest.approx(1), "the round of 5 ms must be left out"

    def test_a_round_is_discarded_for_all_contenders(self, bench: Bench) -> None:
        """The remaining blocks of all contenders are from the same rounds, so they can be compared."""
        bench.readings = chain([COOL, COOL, HOT], repeat(COOL))
        timings = bench.time({name: bench.takes(name, 0.001) for name in "ab"})

        assert [timing.milliseconds.shape for timing in timings.values()] == 2 * [(6, 3)]

    def test_mostly_throttled_timing_is_refused(self, bench: Bench) -> None:
        """If more than half of the rounds are throttled."""
        bench.readings = chain(READINGS * [COOL], repeat(HOT))

        with pytest.raises(TooNoisyError, match=r"^too noisy: the device was throttled in 3 of 4 rounds; cool it"):
            bench.time({"a": bench.takes("a", 0.001)})

    @pytest.mark.parametrize(("reading", "discarded"), [(COOL, 0), (Throttling(), None)])
    def test_discarded_rounds_are_unknown_without_a_report(
        self, bench: Bench, reading: Throttling, discarded: int | None
    ) -> None:
        """0 if the device reports throttling and there was none, None if it does not report it."""
        bench.readings = repeat(reading)

        assert bench.time({"a": bench.takes("a", 0.001)})["a"].discarded == discarded


@pytest.mark.parametrize("wall", [5.0, -5.0])
def test_a_jumping_clock_is_refused(bench: Bench, wall: float) -> None:
    """A jump of the wall clock in either direction, in the middle of a block."""
    calls = iter(range(10_000))

    def jumping() -> None:
        bench.now += 0.001
        if next(calls) == 23:
            bench.wall = wall

    with pytest.raises(UserError, match=r"^'clock' must not jump \(got 0\.003 s for a block of a, -?[45]"):
        bench.time({"a": jumping})


@pytest.mark.parametrize("seconds", [0.0, -0.001])
def test_a_clock_that_stops_or_runs_backwards_is_refused(bench: Bench, seconds: float) -> None:
    """The error states the shortest time."""
    with pytest.raises(UserError, match=r"^'clock' must run forward \(got -?0"):
        bench.time({"a": bench.takes("a", seconds)})


def test_an_adjusted_wall_clock_is_no_jump(bench: Bench) -> None:
    """It runs 0.05 % too fast."""
    call = bench.takes("a", 10.0)

    clocks = Clocks(lambda: bench.now, lambda: bench.now * 1.0005)
    timings = time_interleaved({"a": call}, PLAN, clocks=clocks, throttling=Throttling, waiting=dict)

    assert timings["a"].median.value == pytest.approx(10_000)


def test_garbage_collector_is_off_during_timing(bench: Bench) -> None:
    """It is on again afterwards, even if a contender fails."""
    enabled = []

    def failing() -> None:
        enabled.append(gc.isenabled())
        bench.now += 0.001
        if len(enabled) > 20:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        bench.time({"a": failing})

    assert enabled == [True] * 10 + [False] * 11
    assert gc.isenabled()


def test_times_of_the_real_clock_are_positive() -> None:
    """With the clocks of this machine."""
    timings = time_interleaved({"a": lambda: sum(range(1000))}, PLAN, throttling=Throttling)["a"].milliseconds

    assert (timings > 0).all()


@pytest.mark.parametrize("plan", [{"rounds": 1}, {"samples": 0}, {"untimed": -1}, {"warm_ups": LEAST_WARM_UPS - 1}])
def test_a_plan_that_is_too_short_is_refused(plan: dict[str, int]) -> None:
    """Raises ValueError with the least numbers."""
    with pytest.raises(ValueError, match="'plan' must have 2 rounds, 1 sample and 10 warm-ups at least"):
        Plan(**plan)


def test_first_and_second_blocks_alternate(bench: Bench) -> None:
    """The rows are in the order of time, as the A/A control expects."""
    rising = bench.time({"a": bench.takes("a", *(0.001 * k for k in range(1, 200)))})["a"].milliseconds

    assert all(later.min() > earlier.max() for earlier, later in pairwise(rising))


def test_run_says_how_long_it_will_take_and_counts_its_rounds(bench: Bench) -> None:
    """The announced seconds are those from the first round to the last, if no sample is slower than a warm-up."""
    bench.time({"a": bench.takes("a", 0.25), "b": bench.takes("b", 1.5)})

    seconds, rounds = bench.announced
    assert (seconds, rounds) == (2 * 4 * 5 * 1.75, 4)
    assert bench.ends == pytest.approx([100 + 10 * 1.75 + 2 * 5 * 1.75 * one for one in (1, 2, 3, 4)])

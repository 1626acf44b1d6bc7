"""Properties of the statistics that hold for any data."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeai_repro.evidence import statistics
from edgeai_repro.evidence.measurement import Interval

COUNTS = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda cells: sum(cells) > 0)
VALUES = st.floats(-1e3, 1e3)


def _pair(cells: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([True, True, False, False], cells), np.repeat([True, False, True, False], cells)


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_failures_have_the_mirrored_interval_of_successes(drawn: tuple[int, int]) -> None:
    """Failures have the mirrored interval of successes, within 0 … 100."""
    successes, n = drawn
    interval, mirrored = statistics.wilson(successes, n), statistics.wilson(n - successes, n)

    assert np.allclose([interval.low, interval.high], [100 - mirrored.high, 100 - mirrored.low])
    assert 0 <= interval.low <= interval.high <= 100


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_interval_follows_successes_data_and_confidence(drawn: tuple[int, int]) -> None:
    """One success more moves both ends up; ten times the data narrow the interval; more confidence widens it."""
    successes, n = drawn
    interval, more = statistics.wilson(successes, n), statistics.wilson(successes + 1, n)
    narrow, sure = statistics.wilson(10 * successes, 10 * n), statistics.wilson(successes, n, 0.99)

    assert interval.low < more.low
    assert interval.high < more.high
    assert narrow.high - narrow.low < interval.high - interval.low < sure.high - sure.low


@settings(max_examples=25)
@given(st.floats(0.02, 0.98), st.integers(20, 400), st.integers(0, 2**32 - 1))
def test_wilson_interval_covers_the_true_share(share: float, n: int, seed: int) -> None:
    """Of many experiments, about 95 % have an interval that holds the true share, and never less than 88 %."""
    # Wilson's coverage dips to 0.89 at n ≥ 20 and shares in [0.02, 0.98] (Brown, Cai & DasGupta 2001, figure 5);
    # of 4,000 experiments the observed share errs by less than 2 points.
    successes, experiments = np.unique(np.random.default_rng(seed).binomial(n, share, 4000), return_counts=True)
    covered = [
        interval.low <= 100 * share <= interval.high
        for interval in (statistics.wilson(int(count), n) for count in successes)
    ]

    assert np.average(covered, weights=experiments) > 0.87


@settings(max_examples=30)
@given(COUNTS, st.randoms(use_true_random=False))
def test_paired_difference_ignores_the_order_of_images(cells: tuple[int, ...], random: np.random.Generator) -> None:
    """The value is the difference of the accuracies."""
    a, b = _pair(cells)
    order = list(range(len(a)))
    random.shuffle(order)

    interval = statistics.paired_difference(a, b)

    assert interval == statistics.paired_difference(a[order], b[order])
    assert np.isclose(interval.value, 100 * (b.mean() - a.mean()))


@settings(max_examples=20)
@given(st.floats(0.005, 0.15), st.floats(0.005, 0.15), st.integers(0, 2**32 - 1))
def test_paired_difference_covers_the_true_difference(only_a: float, only_b: float, seed: int) -> None:
    """The interval misses the true difference by more than half its width only rarely."""
    rng = np.random.default_rng(seed)
    truth = 100 * (only_b - only_a)
    missed = 0
    for _ in range(10):
        cells = rng.multinomial(5000, [0.7, only_a, only_b, 0.3 - only_a - only_b])
        interval = statistics.paired_difference(*_pair(tuple(cells)))
        slack = (interval.high - interval.low) / 2
        missed += not interval.low - slack <= truth <= interval.high + slack

    assert missed <= 1, "a 95 % interval, doubled, has a miss in about 10,000"


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=9), st.integers(-3, 3))
def test_kendall_tau_follows_the_direction_of_y(y: list[int], shift: int) -> None:
    """Negating y negates tau and keeps p; a rising change of scale keeps both."""
    x = range(len(y))
    trend = statistics.kendall_trend(x, y)
    turned = statistics.kendall_trend(x, [-value for value in y])
    scaled = statistics.kendall_trend(x, [float(value) ** 3 + shift for value in y])

    assert np.allclose([trend.tau, trend.p], [-turned.tau, turned.p])
    assert np.allclose([trend.tau, trend.p], [scaled.tau, scaled.p])
    assert -1 <= trend.tau <= 1
    assert 0 <= trend.p <= 1


@given(st.lists(VALUES, min_size=2, max_size=8), VALUES)
def test_seed_spread_moves_with_its_values(values: list[float], shift: float) -> None:
    """Adding a constant to every seed's result moves the interval by it."""
    spread = statistics.seed_spread(values)
    moved = statistics.seed_spread([value + shift for value in values])

    assert spread is not None
    assert moved is not None
    assert np.allclose([spread.low + shift, spread.high + shift], [moved.low, moved.high], atol=1e-6)


@given(st.lists(VALUES, min_size=3, max_size=3).map(sorted), st.lists(VALUES, min_size=2, max_size=5))
def test_widened_interval_contains_the_original(ends: list[float], values: list[float]) -> None:
    """The seeds' spread only widens an interval."""
    low, value, high = ends
    wide = statistics.with_seed_spread(Interval(value=value, low=low, high=high), statistics.seed_spread(values))

    assert wide.low <= low + 1e-9
    assert high - 1e-9 <= wide.high


@settings(max_examples=20)
@given(st.floats(0.2, 5.0), st.floats(0.1, 10.0), st.integers(0, 2**32 - 1))
def test_ratio_scales_with_the_times_and_ignores_their_unit(factor: float, unit: float, seed: int) -> None:
    """A model that is `factor` times as slow has the ratio `factor`, in any unit of time."""
    times = np.random.default_rng(seed).lognormal(0, 0.05, (6, 8))
    ratio = statistics.paired_ratio(factor * times, times)
    other_unit = statistics.paired_ratio(unit * factor * times, unit * times)

    assert np.allclose([ratio.low, ratio.value, ratio.high], factor)
    assert np.allclose([other_unit.low, other_unit.high], [ratio.low, ratio.high])

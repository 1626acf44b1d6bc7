"""The statistics give literal numbers that are published, tabulated, or worked out by hand in the comments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeai_repro.evidence import measurement, statistics
from edgeai_repro.evidence.measurement import Interval


def _pair(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Per-image results of two models with the given cells."""
    cells = [(True, True)] * both + [(True, False)] * only_a + [(False, True)] * only_b + [(False, False)] * neither
    return [a for a, _ in cells], [b for _, b in cells]


def _interval(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3
        (81, 263, 25.53, 36.62),
        (15, 148, 6.24, 16.05),
        (0, 20, 0.0, 16.11),
        (1, 29, 0.61, 17.18),
    ],
)
def test_wilson_interval_is_the_published_one(successes: int, n: int, low: float, high: float) -> None:
    """Wilson's interval is the one in Newcombe's table, in percent."""
    interval = statistics.wilson(successes, n)

    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.005)
    assert interval.value == 100 * successes / n


def test_accuracy_on_ten_thousand_images_is_known_to_half_a_point() -> None:
    """92.5 % of 10,000 images is known to half a point."""
    interval = statistics.wilson(9250, 10_000)

    assert (interval.high - interval.low) / 2 == pytest.approx(0.52, abs=0.005)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_impossible_count_is_refused(successes: int, n: int) -> None:
    """Raises ValueError for a count below 0 or above n."""
    with pytest.raises(ValueError, match="'successes' must be from 0"):
        statistics.wilson(successes, n)


@pytest.mark.parametrize("wrong", [[], [True], [[True, False]], [1, 0], [0.5, 1.0]])
def test_results_that_are_not_boolean_pairs_are_refused(wrong: list[object]) -> None:
    """Raises ValueError unless both are boolean vectors of one length."""
    for function in (statistics.paired_difference, statistics.relative_difference):
        with pytest.raises(ValueError, match="two boolean vectors"):
            function(wrong, [True, False])


def test_paired_difference_of_many_images_is_the_normal_interval() -> None:
    """With many images the bootstrap is the normal interval: variance (b + c − (b − c)² / n) / n²."""
    # b = 120, c = 220, n = 10,000: (340 − 1) / 1e8, so sd 0.18412 points, × 1.95996 = 0.3609
    interval = statistics.paired_difference(*_pair(9000, 120, 220, 660))

    assert interval.value == pytest.approx(1.0)
    assert (interval.low, interval.high) == pytest.approx((1 - 0.3609, 1 + 0.3609), abs=0.012)


def test_relative_difference_is_in_percent_of_the_baseline() -> None:
    """A gain of one point on a baseline of 50 % is 2 % of it, and so are the ends, nearly."""
    pair = _pair(4900, 100, 200, 4800)
    points, relative = statistics.paired_difference(*pair), statistics.relative_difference(*pair)

    assert relative.value == pytest.approx(2.0)
    assert (relative.low, relative.high) == pytest.approx((2 * points.low, 2 * points.high), abs=0.05)


def test_relative_difference_needs_a_baseline_that_gets_an_image_right() -> None:
    """Raises ValueError if the baseline gets no image right."""
    with pytest.raises(ValueError, match="'baseline' must get an image right"):
        statistics.relative_difference([False, False], [True, False])


def test_kendall_tau_of_a_perfect_order_is_one() -> None:
    """Nine points in perfect order: tau 1, and 2 of the 9! orders are as extreme."""
    trend = statistics.kendall_trend(range(9), [math.exp(x) for x in range(9)])

    assert (trend.tau, trend.p) == pytest.approx((1.0, 2 / math.factorial(9)))


def test_kendall_tau_of_four_points_is_the_one_worked_out_by_hand() -> None:
    """Of four points, one pair out of order: tau (5 − 1) / 6; 8 of 24 orders have at most one or at least five."""
    trend = statistics.kendall_trend([1, 2, 3, 4], [1, 2, 4, 3])

    assert (trend.tau, trend.p) == pytest.approx((4 / 6, 8 / 24))


def test_constant_values_have_no_trend() -> None:
    """A constant has tau 0 and p 1, without a warning."""
    assert statistics.kendall_trend([1, 2, 3], [5, 5, 5]) == statistics.Trend(0.0, 1.0)


def test_kendall_tau_corrects_for_ties() -> None:
    """Tau-b by hand: 5 pairs rise, 1 is tied in y: 5 / √(6 · 5)."""
    assert statistics.kendall_trend([1, 2, 3, 4], [1, 2, 2, 4]).tau == pytest.approx(5 / math.sqrt(30))


@pytest.mark.parametrize(
    ("x", "y"), [([1], [1]), ([1, 2], [1, 2, 3]), ([1, 2], [1, math.nan]), ([[1, 2]], [[1, 2]])]
)
def test_vectors_without_a_trend_are_refused(x: list[float], y: list[float]) -> None:
    """Raises ValueError unless both are finite vectors of one length."""
    with pytest.raises(ValueError, match="'x' and 'y' must be"):
        statistics.kendall_trend(x, y)


def test_spread_of_three_seeds_is_that_of_students_table() -> None:
    """Three seeds 1 apart: mean 2, t(2) = 4.303 of Student's table times 1 / √3."""
    spread = statistics.seed_spread([1.0, 2.0, 3.0])

    assert spread is not None
    assert (spread.value, spread.low) == pytest.approx((2.0, 2 - 4.303 / math.sqrt(3)), abs=1e-3)


def test_single_seed_has_no_spread() -> None:
    """A single seed says nothing about the next."""
    assert statistics.seed_spread([92.5]) is None


def test_spread_of_no_seed_is_refused() -> None:
    """Raises ValueError for no seed at all."""
    with pytest.raises(ValueError, match="at least one seed"):
        statistics.seed_spread([])


def test_errors_of_images_and_seeds_add_in_quadrature() -> None:
    """Half widths of 3 and 4 make 5; without a spread nothing changes."""
    interval, spread = _interval(50.0, 47.0, 53.0), _interval(49.0, 45.0, 53.0)

    assert statistics.with_seed_spread(interval, spread) == _interval(50.0, 45.0, 55.0)
    assert statistics.with_seed_spread(interval, None) == interval


def test_median_quartiles_and_p90_of_a_range() -> None:
    """The quartiles of 1 … 9 are 3, 5, 7; nine of ten samples of 0 … 10 don't exceed 9."""
    assert statistics.median_with_iqr([9, 1, 8, 2, 7, 3, 6, 4, 5]) == _interval(5.0, 3.0, 7.0)
    assert statistics.p90(range(11)) == 9.0


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_missing_or_infinite_samples_are_refused(samples: list[float]) -> None:
    """Raises ValueError for no samples, or samples that are not finite."""
    with pytest.raises(ValueError, match="'samples' must be finite"):
        statistics.median_with_iqr(samples)


def test_ratio_of_constant_times_is_exact() -> None:
    """Times without noise have an exact ratio."""
    assert statistics.paired_ratio(np.full((4, 5), 6.0), np.full((4, 5), 3.0)) == _interval(2.0, 2.0, 2.0)


def test_drift_that_neighbouring_blocks_share_cancels() -> None:
    """The ratio is exact although each side triples."""
    drift = np.array([[1.0], [1.5], [2.0], [3.0]]) * np.ones((4, 6))

    interval = statistics.paired_ratio(2 * drift, drift)

    assert (interval.low, interval.high) == pytest.approx((2.0, 2.0))


def test_change_of_speed_within_a_pair_changes_no_ratio() -> None:
    """The pair in which the machine changes its speed is an outlier, and the median ignores it."""
    fast, slow = [1.0, 1.0], [1.8, 1.8]

    interval = statistics.paired_ratio([fast] * 5 + [slow] * 5, [fast] * 6 + [slow] * 4)

    assert (interval.low, interval.value, interval.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("numerator", "denominator"),
    [([[1.0, 2.0]], [[1.0, 2.0]]), ([[1.0], [0.0]], [[1.0], [1.0]]), ([[1.0]] * 3, [[1.0]] * 2), ([1.0], [1.0])],
)
def test_times_that_are_not_paired_blocks_are_refused(numerator: list[object], denominator: list[object]) -> None:
    """Raises ValueError for fewer than two blocks, unequally many, or a time that is not positive."""
    with pytest.raises(ValueError, match=r"must (be positive times|have 3 blocks)"):
        statistics.paired_ratio(numerator, denominator)


@pytest.mark.parametrize(
    ("low", "high", "quiet"), [(0.95, 1.05, True), (0.99, 1.02, True), (0.94, 1.0, False), (1.0, 1.06, False)]
)
def test_aa_control_passes_only_if_the_interval_is_within_five_percent(
    low: float, high: float, quiet: bool
) -> None:
    """A machine is quiet enough only if the whole interval lies within 5 % of 1."""
    assert measurement.aa_control_passes(_interval(1.0, low, high)) == quiet


def test_bootstrap_repeats_under_its_seed() -> None:
    """The same data and seed give the same interval, another seed nearly the same."""
    pair = _pair(80, 5, 12, 3)

    assert statistics.paired_difference(*pair) == statistics.paired_difference(*pair)
    assert statistics.paired_difference(*pair).low == pytest.approx(
        statistics.paired_difference(*pair, seed=1).low, abs=1.0
    )

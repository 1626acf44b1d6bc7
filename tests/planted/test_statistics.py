"""Each check of the statistics fails for a planted wrong formula and passes for the right one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeai_repro.evidence import measurement, statistics
from edgeai_repro.evidence.measurement import Interval

Bits = NDArray[np.bool_]


def _interval(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=min(low, value), high=max(high, value))


def _wald(successes: int, n: int) -> Interval:
    """The normal approximation, which has no width at 0 successes."""
    share = successes / n
    half = 1.96 * math.sqrt(share * (1 - share) / n)
    return _interval(100 * share, 100 * (share - half), 100 * (share + half))


def _check_wilson(wilson: Callable[[int, int], Interval]) -> None:
    assert wilson(0, 20).high == pytest.approx(16.11, abs=0.005)


def _unpaired(baseline: Bits, candidate: Bits) -> Interval:
    """Two samples of images instead of one."""
    rng, n = np.random.default_rng(0), len(baseline)
    draws = 100 * (rng.binomial(n, candidate.mean(), 10_000) - rng.binomial(n, baseline.mean(), 10_000)) / n
    low, high = np.percentile(draws, [2.5, 97.5])
    return _interval(100 * (candidate.mean() - baseline.mean()), low, high)


def _reversed(baseline: Bits, candidate: Bits) -> Interval:
    return statistics.paired_difference(candidate, baseline)


def _check_paired(paired_difference: Callable[[Bits, Bits], Interval]) -> None:
    # 100 and 200 discordant of 10,000: difference 1 point, sd √(300 − 1) / 100 = 0.173 points
    interval = paired_difference(*_pair(9000, 100, 200, 700))
    assert interval.value == pytest.approx(1.0)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.173, abs=0.03)


def _pearson(x: list[float], y: list[float]) -> statistics.Trend:
    return statistics.Trend(float(np.corrcoef(x, y)[0, 1]), 0.0)


def _check_kendall(kendall_trend: Callable[[list[float], list[float]], statistics.Trend]) -> None:
    assert kendall_trend([0, 1, 2, 3], [1, 10, 100, 1000]).tau == pytest.approx(1.0)


def _normal_spread(values: list[float]) -> Interval:
    """1.96 standard errors, as if the spread of three seeds were known."""
    half = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return _interval(float(np.mean(values)), float(np.mean(values)) - half, float(np.mean(values)) + half)


def _check_spread(seed_spread: Callable[[list[float]], Interval]) -> None:
    assert seed_spread([1.0, 2.0, 3.0]).high == pytest.approx(2 + 4.303 / math.sqrt(3), abs=1e-3)


def _summed(interval: Interval, spread: Interval) -> Interval:
    """Half widths added as if both errors always agreed in sign."""
    return _interval(
        interval.value,
        interval.low - (spread.value - spread.low),
        interval.high + (spread.high - spread.value),
    )


def _check_widened(with_seed_spread: Callable[[Interval, Interval], Interval]) -> None:
    assert with_seed_spread(_interval(0, -3, 3), _interval(0, -4, 4)).high == pytest.approx(5.0)


def _by_samples(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> Interval:
    """Samples resampled as if those of one block were independent, which gives far too narrow an interval."""
    rng = np.random.default_rng(0)
    above, below = (
        np.median(rng.choice(side.ravel(), (2000, side.size)), axis=1) for side in (numerator, denominator)
    )
    low, high = np.percentile(above / below, [2.5, 97.5])
    return _interval(float(np.median(numerator) / np.median(denominator)), low, high)


def _check_ratio(paired_ratio: Callable[[Any, Any], Interval]) -> None:
    # Blocks differ by 20 %, the samples of one hardly: with 8 blocks a side the ratio isn't known to 5 %.
    rng = np.random.default_rng(3)
    sides = [np.exp(rng.normal(0, 0.2, (8, 1)) + rng.normal(0, 0.01, (8, 200))) for _ in range(2)]
    interval = paired_ratio(*sides)
    assert interval.high - interval.low > 0.2


def _only_value(ratio: Interval) -> bool:
    return 0.95 <= ratio.value <= 1.05


def _check_aa(aa_control: Callable[[Interval], bool]) -> None:
    assert not aa_control(_interval(1.0, 0.9, 1.1))


def _pair(*cells: int) -> tuple[Bits, Bits]:
    """Return per-image results of two models: how often both, only a, only b and neither are right."""
    return np.repeat([True, True, False, False], cells), np.repeat([True, False, True, False], cells)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        pytest.param(_check_wilson, statistics.wilson, _wald, id="Wald for Wilson"),
        pytest.param(_check_paired, statistics.paired_difference, _unpaired, id="unpaired bootstrap"),
        pytest.param(_check_paired, statistics.paired_difference, _reversed, id="difference reversed"),
        pytest.param(_check_kendall, statistics.kendall_trend, _pearson, id="Pearson for Kendall"),
        pytest.param(_check_spread, statistics.seed_spread, _normal_spread, id="normal for Student"),
        pytest.param(_check_widened, statistics.with_seed_spread, _summed, id="sum for quadrature"),
        pytest.param(_check_ratio, statistics.paired_ratio, _by_samples, id="samples for blocks"),
        pytest.param(_check_aa, measurement.aa_control_passes, _only_value, id="value for interval"),
    ],
)
def test_planted_formula_is_caught(check: Callable[[Any], None], right: object, wrong: object) -> None:
    """The right formula is the control."""
    check(right)

    with pytest.raises(AssertionError):
        check(wrong)

"""Intervals, paired differences and trends: thin functions on scipy that take values and return values.

Importing scipy.stats takes 0.6 s (observed with scipy 1.17 on two x86 cores), so only code that measures imports
this module. Accuracies are given as one boolean per test image and come out in percent; differences of
accuracies are in points of percent. Bootstraps are seeded: the same data give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from edgeai_repro.evidence.measurement import Interval

CONFIDENCE = 0.95
RESAMPLES = 10_000

Floats = NDArray[np.float64]


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the share of successes in percent with Wilson's score interval (Wilson 1927).

    Unlike the normal approximation it stays within 0 … 100 and has a width at 0 and at n successes. Raises
    ValueError unless 0 ≤ successes ≤ n and n > 0.
    """
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"'successes' must be from 0 to 'n', which is at least 1 (got {successes} of {n})")
    ends = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return _enclosing(100 * successes / n, 100 * ends.low, 100 * ends.high)


def paired_difference(
    baseline: ArrayLike, candidate: ArrayLike, *, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Return the candidate's accuracy minus the baseline's, in points, with a percentile bootstrap interval.

    Both are judged on the same images (one boolean each), which are resampled as pairs (Efron 1979). The interval
    is about other images, not about other training seeds. If both get the same images right, it is a point, though
    the truth may be up to 3 / n off (the rule of three). Raises ValueError unless both are boolean vectors of one
    length, at least 1.
    """
    cells = _contingency_table(baseline, candidate)
    draws = _resampled(cells, seed)
    differences = 100 * (draws[:, 2] - draws[:, 1]) / sum(cells)
    return percentile(100 * (cells[2] - cells[1]) / sum(cells), differences, confidence)


def relative_difference(
    baseline: ArrayLike, candidate: ArrayLike, *, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Return the candidate's accuracy minus the baseline's, in percent of the baseline's accuracy.

    All else is as in `paired_difference`. Raises ValueError also if the baseline gets no image right.
    """
    cells = _contingency_table(baseline, candidate)
    if cells[0] + cells[1] == 0:
        raise ValueError("'baseline' must get an image right for a relative difference (got none)")
    draws = _resampled(cells, seed)
    right = draws[:, 0] + draws[:, 1]
    defined = right > 0  # a draw without any right image has no ratio; of 20 right images, one draw in 1e9
    differences = 100 * (draws[:, 2] - draws[:, 1])[defined] / right[defined]
    return percentile(100 * (cells[2] - cells[1]) / (cells[0] + cells[1]), differences, confidence)


@dataclass(frozen=True)
class Trend:
    """Kendall's tau from −1 (always falls) to 1 (always rises), and its two-sided p."""

    tau: float
    p: float


def kendall_trend(x: ArrayLike, y: ArrayLike) -> Trend:
    """Return whether y rises or falls with x, by Kendall's tau-b (Kendall 1938, 1945 for ties).

    p is exact if no value occurs twice, else the normal approximation with its correction for ties. A constant
    x or y has no trend: tau 0, p 1. Raises ValueError unless both are finite vectors of one length, at least 2.
    """
    first, second = np.asarray(x, float), np.asarray(y, float)
    if first.ndim != 1 or first.shape != second.shape or first.size < 2:
        raise ValueError(
            f"'x' and 'y' must be vectors of one length, 2 or more (got {first.shape}, {second.shape})"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("'x' and 'y' must be finite (got nan or inf)")
    distinct = np.unique(first).size, np.unique(second).size
    if 1 in distinct:
        return Trend(0.0, 1.0)
    method = "exact" if distinct == (first.size, first.size) else "asymptotic"
    result = stats.kendalltau(first, second, method=method)
    return Trend(float(result.statistic), float(result.pvalue))


def seed_spread(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Return the mean over seeds with Student's t interval (Student 1908), in the values' unit.

    Return None for a single seed, which says nothing about the next. Raises ValueError for no value at all.
    """
    if not values:
        raise ValueError("'values' must hold at least one seed's result (got none)")
    if len(values) == 1:
        return None
    mean = float(np.mean(values))
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return _enclosing(mean, mean - half, mean + half)


def with_seed_spread(interval: Interval, spread: Interval | None) -> Interval:
    """Return `interval` widened by the spread over seeds, both in one unit; unchanged without a spread.

    The choice of images and the seed are independent sources of error, so their half widths add in quadrature. The
    value stays.
    """
    if spread is None:
        return interval
    value = interval.value
    low = math.hypot(value - interval.low, spread.value - spread.low)
    high = math.hypot(interval.high - value, spread.high - spread.value)
    return _enclosing(value, value - low, value + high)


def median_with_iqr(samples: ArrayLike) -> Interval:
    """Return the median with the quartiles as its ends, in the samples' unit. Raises ValueError for no sample."""
    low, median, high = (float(q) for q in np.percentile(_samples(samples), [25, 50, 75]))
    return Interval(value=median, low=low, high=high)


def p90(samples: ArrayLike) -> float:
    """Return the value that 90 % of the samples don't exceed, in their unit. Raises ValueError for no sample."""
    return float(np.percentile(_samples(samples), 90))


def paired_ratio(
    numerator: ArrayLike, denominator: ArrayLike, *, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Return the ratio of two sides' times: the median over pairs of blocks, with an interval by bootstrap.

    Both are positive times, (blocks, samples), the blocks alternating (A B B A). The medians of blocks are
    compared in pairs, one of each side, because neighbours share the machine's drift: a host that drops to half its
    speed in between moves the medians over all blocks, but few such ratios. Whole pairs are resampled, because the
    samples of a block share its disturbance (block bootstrap: Künsch 1989). Raises ValueError unless each
    side has two blocks or more, equally many.
    """
    above, below = _blocks(numerator, "numerator"), _blocks(denominator, "denominator")
    if len(above) != len(below):
        raise ValueError(f"'denominator' must have {len(above)} blocks like 'numerator' (got {len(below)})")
    rng = np.random.default_rng(seed)
    ratios = np.median(above, axis=1) / np.median(below, axis=1)
    drawn = ratios[rng.integers(len(ratios), size=(RESAMPLES, len(ratios)))]
    return percentile(float(np.median(ratios)), np.median(drawn, axis=1), confidence)


def _contingency_table(correct_a: ArrayLike, correct_b: ArrayLike) -> tuple[int, int, int, int]:
    """Count the images that both, only a, only b and neither get right."""
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    if a.dtype != np.bool_ or b.dtype != np.bool_ or a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(
            "per-image results must be two boolean vectors of one length, at least 1 "
            f"(got {a.dtype} {a.shape}, {b.dtype} {b.shape})"
        )
    both, only_a, only_b = int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum())
    return both, only_a, only_b, a.size - both - only_a - only_b


def _resampled(cells: tuple[int, int, int, int], seed: int) -> NDArray[np.int64]:
    """Draw the four cells of RESAMPLES resampled image sets: as one multinomial, which is the same distribution
    as drawing 10,000 images with replacement each time, without doing it."""
    n = sum(cells)
    return np.random.default_rng(seed).multinomial(n, np.array(cells) / n, size=RESAMPLES)


def _samples(samples: ArrayLike) -> Floats:
    values = np.asarray(samples, float).ravel()
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError("'samples' must be finite, and at least one (got none, nan or inf)")
    return values


def _blocks(times: ArrayLike, name: str) -> Floats:
    blocks = np.asarray(times, float)
    positive = np.isfinite(blocks) & (blocks > 0)
    if blocks.ndim != 2 or len(blocks) < 2 or blocks.size == 0 or not positive.all():
        raise ValueError(f"'{name}' must be positive times in two or more blocks (got shape {blocks.shape})")
    return blocks


def percentile(value: float, draws: Floats, confidence: float) -> Interval:
    """Return a value with the interval that holds the middle of some draws, widened to hold the value."""
    low, high = np.percentile(draws, [50 * (1 - confidence), 50 * (1 + confidence)])
    return _enclosing(value, float(low), float(high))


def _enclosing(value: float, low: float, high: float) -> Interval:
    """Return an interval that contains its value, even if rounding or few draws would leave the value out."""
    return Interval(value=value, low=min(low, value), high=max(high, value))

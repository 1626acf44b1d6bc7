"""Kendall's tau with intervals: for other things of the kind, and for the noise of their times. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from edgeai_repro.evidence.measurement import Interval
from edgeai_repro.evidence.statistics import CONFIDENCE, RESAMPLES, Floats, kendall_trend, percentile

NOISE_DRAWS = 1_000  # a whole correlation each


def rank_correlation(x: ArrayLike, y: ArrayLike, *, confidence: float = CONFIDENCE, seed: int = 0) -> Interval:
    """Return Kendall's tau-b of two vectors, with a percentile bootstrap interval over their pairs (Efron 1979).

    The interval is about other things of the kind. Raises ValueError unless both are finite vectors of one length,
    at least 2.
    """
    tau = kendall_trend(x, y).tau
    signs = _signs(x), _signs(y)
    n = len(signs[0])
    # Drawing with replacement gives each thing a weight; a pair counts as often as the product of its weights.
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
    agreeing, first, second = (
        _of_pairs(weights, pairs) for pairs in (signs[0] * signs[1], np.abs(signs[0]), np.abs(signs[1]))
    )
    defined = (first > 0) & (second > 0)
    return percentile(tau, agreeing[defined] / np.sqrt(first[defined] * second[defined]), confidence)


def rank_correlation_of_times(
    x: ArrayLike, times: Sequence[ArrayLike], *, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """Return Kendall's tau-b of a vector and the medians of times, one array (blocks, samples) per entry.

    The interval is that of the times: the blocks of each entry are resampled, because the samples of a block share
    its disturbance. Raises ValueError as `rank_correlation`.
    """
    rng = np.random.default_rng(seed)
    medians = [float(np.median(np.asarray(one, float))) for one in times]
    blocks = [np.median(np.asarray(one, float), axis=1) for one in times]
    drawn = [np.median(each[rng.integers(len(each), size=(NOISE_DRAWS, len(each)))], axis=1) for each in blocks]
    order = _signs(x)
    taus = [_tau(order, _signs(draw)) for draw in np.transpose(drawn)]
    return percentile(kendall_trend(x, medians).tau, np.array(taus), confidence)


def _signs(values: ArrayLike) -> Floats:
    """Return for each pair of values which is larger: 1, -1, or 0 for equal ones."""
    signs: Floats = np.sign(np.subtract.outer(np.asarray(values, float), np.asarray(values, float)))
    return signs


def _tau(first: Floats, second: Floats) -> float:
    """Return Kendall's tau-b of two orders, which each must tell some pair apart; else 0, no trend."""
    pairs = math.sqrt(float(np.abs(first).sum()) * float(np.abs(second).sum()))
    return float((first * second).sum()) / pairs if pairs else 0.0


def _of_pairs(weights: Floats, pairs: Floats) -> Floats:
    sums: Floats = ((weights @ pairs) * weights).sum(axis=1)
    return sums

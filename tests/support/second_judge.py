"""A second judge, written from DESIGN section 5 without a look at `judge/`. It enumerates instead of reasoning.

Whatever is uncertain (an interval, a count with unknown operators, a row that is missing) is replaced by every
place that it may have: below the band, inside, or above. Each combination is a world in which all values are known
and DESIGN's table gives one verdict. The claim has a verdict if all worlds agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measured, Measurement, Setting

BELOW, INSIDE, ABOVE = -1, 0, 1
Places = frozenset[int]
QUIET = (0.95, 1.05)  # DESIGN, section 7


@dataclass(frozen=True)
class Rules:
    """What the judge is told of a metric: which end is better, and whether its actual value is a count."""

    better: Literal["higher", "lower"] | None
    is_count: bool


@dataclass(frozen=True)
class Value:
    """One value of the open setting, or the whole claim: may it hold by either quantity, and is anything missing?

    `fits` are the pairs (holds by the deciding quantity, holds by the reported one) that are possible.
    """

    fits: frozenset[tuple[bool, bool]]
    missing: bool


def second_opinion(
    claim: Claim,
    measured: Measured,
    rules: Rules,
    accuracy: tuple[Claim, Sequence[Measurement]] | None = None,
) -> str:
    """Return the verdict on a claim; `accuracy` is the claim of its choice with the rows of trained models."""
    if measured.obstacle is not None:
        return "inconclusive" if measured.obstacle.kind == "noise" else "not_testable"
    counted = [row for row in measured.rows if row.model in claim.models and row.scale == "full"]
    if any(row.control and not (QUIET[0] <= row.control.low and row.control.high <= QUIET[1]) for row in counted):
        return "inconclusive"
    tried: Sequence[Setting | None] = claim.values_of(claim.choice.name) if claim.choice else [None]
    by_value = {value: _value(claim, counted, rules, value) for value in tried}
    kept, lost = _accuracy(claim, accuracy, tried)
    worlds = (dict(zip(by_value, world, strict=True)) for world in product(*(v.fits for v in by_value.values())))
    verdicts = {_verdict(world, kept, lost) for world in worlds}
    if len(verdicts) == 1:
        return verdicts.pop()
    return "not_testable" if any(value.missing for value in by_value.values()) else "inconclusive"


def _verdict(world: Mapping[Setting | None, tuple[bool, bool]], kept: set[Setting], lost: set[Setting]) -> str:
    """Return the verdict in a world where it is known which values fit by (actual, reported)."""
    holding = {value for value, (actual, _) in world.items() if actual}
    if len(holding) == len(world):
        return "reproduced"
    if not holding:
        return "artefact" if any(reported for _, reported in world.values()) else "contradicted"
    if holding & kept:
        return "reproduced"
    return "contradicted" if holding <= lost else "attainable"


def _value(claim: Claim, counted: Sequence[Measurement], rules: Rules, value: Setting | None) -> Value:
    """Return what is possible at a value of the choice (None: the claim has none)."""
    actual, reported, has_actual, missing = [], [], False, False
    for model in claim.models:
        for settings, conditions in claim.variants_for(model):
            variant = {**settings, **conditions}
            if claim.choice and variant[claim.choice.name] != value:
                continue
            rows = [row for row in counted if row.model == model and _matches(row, variant)]
            if not rows:
                missing = True
                actual.append(_places(claim, -math.inf, math.inf))
                reported.append(_places(claim, -math.inf, math.inf))
            for row in rows:
                has_actual |= row.actual is not None
                actual.append(_deciding_places(claim, row, rules))
                reported.append(_places(claim, row.reported.low, row.reported.high))
    by_actual = {_holds(claim, world, rules) for world in product(*actual)}
    if not has_actual:
        return Value(frozenset((fits, fits) for fits in by_actual), missing)
    by_reported = {_holds(claim, world, rules) for world in product(*reported)}
    return Value(frozenset(product(by_actual, by_reported)), missing)


def _matches(row: Measurement, variant: Mapping[str, Setting]) -> bool:
    """Return whether a row is of a variant; a row that does not name a setting is of all its values."""
    return all(row.value_of(name) in (None, value) for name, value in variant.items())


def _holds(claim: Claim, places: Sequence[int], rules: Rules) -> bool:
    """Return whether a claim holds by values at these places: `up_to` by the best, else by all."""
    if claim.quantifier != "up_to":
        return all(place == INSIDE for place in places)
    return (max if rules.better == "higher" else min)(places) == INSIDE


def _deciding_places(claim: Claim, row: Measurement, rules: Rules) -> Places:
    if row.actual is None:
        return _places(claim, row.reported.low, row.reported.high)
    if not row.uncounted:
        return _places(claim, row.actual.low, row.actual.high)
    return _places(claim, row.actual.low if rules.is_count else -math.inf, math.inf)


def _places(claim: Claim, low: float, high: float) -> Places:
    bottom, top = claim.edges

    def possible() -> Iterator[int]:
        if low < bottom:
            yield BELOW
        if high > top:
            yield ABOVE
        if low <= top and high >= bottom:
            yield INSIDE

    return frozenset(possible())


def _accuracy(
    claim: Claim, accuracy: tuple[Claim, Sequence[Measurement]] | None, tried: Sequence[Setting | None]
) -> tuple[set[Setting], set[Setting]]:
    """Return the values of the choice at which models trained at full scale surely keep, or lose, accuracy."""
    kept: set[Setting] = set()
    lost: set[Setting] = set()
    if accuracy is None or claim.choice is None:
        return kept, lost
    limit, rows = accuracy
    for value in tried:
        if value is None:
            continue
        places = []
        for model in claim.models:
            same = [row for row in rows if row.model == model and row.scale == "full"]
            found = [_interval(row) for row in same if row.value_of(claim.choice.name) == value]
            places += [_places(limit, interval.low, interval.high) for interval in found] or [
                _places(limit, -math.inf, math.inf)
            ]
        outcomes = {all(place == INSIDE for place in world) for world in product(*places)}
        if outcomes == {True}:
            kept.add(value)
        if outcomes == {False}:
            lost.add(value)
    return kept, lost


def _interval(row: Measurement) -> Interval:
    return row.actual or row.reported


def farthest_outside(claim: Claim, rows: Sequence[Measurement]) -> float:
    """Return how far the worst of the rows lies outside of the band; negative if all lie inside."""
    bottom, top = claim.edges
    return max(max(bottom - _interval(row).value, _interval(row).value - top) for row in rows)

"""Judges rows against the band of a claim: by the quantity that decides, and by the reported one. Pure; no torch.

A claim has a verdict only if it is the same for all values that the intervals and the missing rows allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from edgeai_repro.claims.paper_info import Decided
from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measurement, Setting

# `error` is no verdict: it takes the place of one if a measurement failed.
VerdictName = Literal[
    "reproduced", "attainable", "artefact", "contradicted", "inconclusive", "not_testable", "error"
]
DECIDED: tuple[str, ...] = get_args(Decided)
Location = Literal["inside", "outside", "straddles"]
Quantity = Literal["actual", "reported"]
Ends = tuple[float, float]
ANYTHING: Ends = (-math.inf, math.inf)


@dataclass(frozen=True)
class Standing:
    """How a claim stands by one quantity of its rows.

    `location` is where the quantity lies that the quantifier asks for; "straddles" if that is open. `row`
    represents it. `margin` is the least shift of values or edges that changes a location that is not open.
    """

    quantity: Quantity
    location: Location
    row: Measurement
    margin: float


@dataclass(frozen=True)
class Outcome:
    """How a claim stands by its rows, or by those at one value of a choice.

    `deciding` is its standing by the actual quantity, or by the reported one for rows without an actual one.
    `reported` is None for such rows. `missing` describes the rows that were not measured.
    """

    rows: tuple[Measurement, ...]
    deciding: Standing
    reported: Standing | None
    missing: tuple[str, ...] = ()

    @property
    def row(self) -> Measurement:
        """The row that decides."""
        return self.deciding.row

    @property
    def is_open(self) -> bool:
        """Whether it is open if the claim holds, or what to call a claim that doesn't."""
        return self.verdict not in DECIDED

    @property
    def verdict(self) -> VerdictName:
        """The verdict on these rows."""
        if self.deciding.location == "inside":
            return "reproduced"
        if self.deciding.location == "outside":
            if self.reported is None or self.reported.location == "outside":
                return "contradicted"
            if self.reported.location == "inside":
                return "artefact"
        return "not_testable" if self.missing else "inconclusive"


Outcomes = dict[Setting, Outcome]  # by value of a choice


def judge_rows(claim: Claim, rows: Sequence[Measurement], missing: Sequence[str] = ()) -> Outcome:
    """Judge a claim by rows that share a value of its choice, if it has one. `missing` describes rows not measured.

    "up to" is judged by the best row, every other quantifier by the worst.
    """
    has_actual = any(row.actual is not None for row in rows)
    return Outcome(
        rows=tuple(rows),
        deciding=_standing(claim, rows, "actual" if has_actual else "reported", is_open=bool(missing)),
        reported=_standing(claim, rows, "reported", is_open=bool(missing)) if has_actual else None,
        missing=tuple(missing),
    )


def interval_of(row: Measurement, quantity: Quantity = "actual") -> Interval:
    """Return the interval of a quantity of a row. A row without an actual quantity has only the reported one."""
    return row.reported if row.actual is None or quantity == "reported" else row.actual


def is_lower_bound(row: Measurement, quantity: Quantity = "actual") -> bool:
    """Return whether a quantity of a row rests on a count that leaves operators out."""
    return quantity == "actual" and row.actual is not None and bool(row.uncounted)


def ends_of(claim: Claim, row: Measurement, quantity: Quantity = "actual") -> Ends:
    """Return the ends between which the true value of a quantity lies.

    What is not counted can only add to a count. It can change any other quantity, such as a reduction, both ways.
    """
    interval = interval_of(row, quantity)
    if not is_lower_bound(row, quantity):
        return interval.low, interval.high
    return (interval.low, math.inf) if METRICS[claim.metric].is_count else ANYTHING


def missing_rows(claim: Claim, rows: Sequence[Measurement], at: Setting | None = None) -> list[str]:
    """Describe each model, and each variant of a model, that no row covers; with `at`, at one value of the choice.

    A row without a value of a setting covers all of its values: a trend, for example, is one row. So does any row
    if the claim gives only one value: a network may have its own number of classes instead.
    """
    missing = []
    for model in claim.models:
        measured = [row for row in rows if row.model == model]
        if not measured:
            missing.append(model)
            continue
        for settings, conditions in claim.variants_for(model):
            given = {**settings, **conditions}
            if at is not None and claim.choice is not None and given[claim.choice.name] != at:
                continue
            variant = {name: value for name, value in given.items() if len(claim.values_of(name)) > 1}
            if not any(_covers(row, variant) for row in measured):
                varied = {name: value for name, value in variant.items() if len(claim.values_of(name)) > 1}
                details = " and ".join(f"{name} {value}" for name, value in (varied or variant).items())
                missing.append(f"{model} with {details}")
    return missing


def _covers(row: Measurement, variant: dict[str, Setting]) -> bool:
    return all(row.value_of(name) in (None, value) for name, value in variant.items())


def _standing(claim: Claim, rows: Sequence[Measurement], quantity: Quantity, *, is_open: bool) -> Standing:
    """Return how a claim stands by one quantity; `is_open` if a row is missing, whose value could be anything."""
    ends = [ends_of(claim, row, quantity) for row in rows]
    if claim.quantifier == "up_to":
        best = max if _wants_highest(claim) else min
        lows, highs = zip(*ends, *([ANYTHING] if is_open else []), strict=True)
        low, high = best(lows), best(highs)
        location = claim.locate(low, high)
        margin = _margin(claim, low, high)
    else:
        located = [claim.locate(*pair) for pair in ends]
        if "outside" in located:
            location = "outside"
            broken = [pair for pair, where in zip(ends, located, strict=True) if where == "outside"]
            margin = max(_margin(claim, *pair) for pair in broken)
        else:
            location = "straddles" if is_open or "straddles" in located else "inside"
            margin = min(_margin(claim, *pair) for pair in ends)
    return Standing(quantity, location, _deciding_row(claim, rows, quantity, location), margin)


def _wants_highest(claim: Claim) -> bool:
    return METRICS[claim.metric].better != "lower"


def _margin(claim: Claim, low: float, high: float) -> float:
    """Return the least shift that moves an interval across an edge of the band; it may be infinite."""
    bottom, top = claim.edges
    if claim.locate(low, high) == "outside":
        return max(bottom - high, low - top)
    inner = [low - bottom] if math.isfinite(bottom) else []
    return min([*inner, top - high] if math.isfinite(top) else inner)


def _deciding_row(claim: Claim, rows: Sequence[Measurement], quantity: Quantity, location: Location) -> Measurement:
    """Return the best row for "up to", else the worst one, of those that lie where the claim stands.

    The worst row is the one that lies farthest outside of the band, or, if all lie inside, nearest to an edge.
    """
    candidates = [row for row in rows if claim.locate(*ends_of(claim, row, quantity)) == location] or rows
    other: Quantity = "reported" if quantity == "actual" else "actual"
    sign = 1 if _wants_highest(claim) else -1

    def rank(row: Measurement) -> tuple[float, float, float, int]:
        values = interval_of(row, quantity).value, interval_of(row, other).value
        ties = (-values[1], -claim.models.index(row.model) if row.model in claim.models else 0)
        if claim.quantifier == "up_to":
            return (sign * values[0], sign * values[1], *ties)
        return (_outwardness(claim, row, quantity), _outwardness(claim, row, other), *ties)

    return max(candidates, key=rank)


def _outwardness(claim: Claim, row: Measurement, quantity: Quantity) -> float:
    """Return how far a row lies outside of the band; negative if it lies inside."""
    ends = ends_of(claim, row, quantity)
    margin = _margin(claim, *ends)
    return margin if claim.locate(*ends) == "outside" else -margin

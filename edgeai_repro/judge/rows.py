"""Judges rows against the band of a claim, and computes flip margins. Pure; no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from edgeai_repro.claims.schema import Claim, Decided
from edgeai_repro.evidence.measurement import Frozen, Measurement, Setting, aa_control_passes
from edgeai_repro.judge.formatting import (
    difference_unit,
    format_band,
    format_interval,
    format_number,
    unit_of,
    value_with_model,
)

# `error` is no verdict: it takes the place of one if a measurement failed.
VerdictName = Literal[
    "reproduced", "attainable", "artefact", "contradicted", "inconclusive", "not_testable", "error"
]
DECIDED: tuple[str, ...] = get_args(Decided)
Location = Literal["inside", "outside", "straddles"]


class FlipMargin(Frozen):
    """The least change that would give another verdict: of the measured value, the band's width, or a choice."""

    of: Literal["value", "band", "choice"]
    amount: float
    text: str


@dataclass(frozen=True)
class Outcome:
    """The verdict on rows that share one value of a choice (or on all rows), the deciding row and the reason."""

    verdict: VerdictName
    row: Measurement
    reason: str


Outcomes = dict[Setting, Outcome]  # by value of a choice


def judge_rows(claim: Claim, rows: Sequence[Measurement], models: Sequence[str]) -> Outcome:
    """Judge a claim by the rows of some of `models`, all at one value of its choice if it has one.

    "up to" is judged by the best row, every other quantifier by the worst.
    """
    wants_highest = _wants_highest(claim)
    row = (max if wants_highest else min)(rows, key=_rank)
    measured = {row.model for row in rows}
    missing = [model for model in models if model not in measured]
    if row.control is not None and not aa_control_passes(row.control):
        control = f"{row.control.low:.2f} … {row.control.high:.2f}"
        return Outcome("inconclusive", row, f"too noisy: the A/A control is {control}, not 1 ± 0.05; try again")
    # An unmeasured model could push the deciding value arbitrarily further, so that end is unbounded.
    low = -math.inf if missing and not wants_highest else row.reported.low
    high = math.inf if missing and wants_highest else row.reported.high
    reported = claim.locate(low, high)
    actual: Location = "inside"
    if row.actual is not None:
        actual = "straddles" if missing else claim.locate(row.actual.low, row.actual.high)
    return _outcome(claim, row, reported, actual, missing)


def _wants_highest(claim: Claim) -> bool:
    """Return whether the highest row decides: the best one for "up to", else the worst one."""
    upper_bound = claim.band.side == "at_most"
    return (claim.quantifier == "up_to") != upper_bound


def _rank(row: Measurement) -> tuple[float, float]:
    """Return the sort key of a row: its reported value, and for ties the actual one."""
    return row.reported.value, 0.0 if row.actual is None else row.actual.value


def _outcome(
    claim: Claim, row: Measurement, reported: Location, actual: Location, missing: Sequence[str]
) -> Outcome:
    """Return the outcome for the deciding row, from where its quantities lie."""
    value, band = value_with_model(claim, row), format_band(claim)
    if reported == "outside":
        edge = claim.nearest_edge(row.reported.value)
        side = "under" if row.reported.value < edge else "over"
        distance = format_number(abs(row.reported.value - edge), difference_unit(claim))
        return Outcome("contradicted", row, f"{value} lies {distance} {side} the band, {band}")
    if "straddles" in (reported, actual):
        if missing:
            reason = f"{value} can't decide the claim without {', '.join(missing)}; add them to --claims-models"
            return Outcome("not_testable", row, reason)
        return Outcome("inconclusive", row, f"{value} straddles an edge of the band, {band}; measure more")
    if actual == "outside" and row.actual is not None:
        removed = format_interval(row.actual, unit_of(claim))
        return Outcome("artefact", row, f"counters report {value}; actually {removed}")
    return Outcome("reproduced", row, f"{value} lies in the band, {band}")


def row_margin(claim: Claim, outcome: Outcome, choice: str | None = None) -> FlipMargin | None:
    """Return the least shift that moves an interval of the deciding row across an edge of the band.

    None for an undecided outcome. `choice` names the choice whose value is added to the text.
    """
    if outcome.verdict not in DECIDED:
        return None
    low, high = claim.edges
    shifts = []
    for name, interval in [("reported", outcome.row.reported), ("actual", outcome.row.actual)]:
        if interval is None or (outcome.verdict == "contradicted" and name == "actual"):
            continue
        if claim.locate(interval.low, interval.high) == "inside":
            shifts.append((min(interval.low - low, high - interval.high), name))
        else:
            shifts.append((max(low - interval.high, interval.low - high), name))
    amount, name = min(shifts)
    by = format_number(amount, difference_unit(claim))
    at = f" ({choice} {outcome.row.value_of(choice)})" if choice else ""
    if outcome.verdict == "contradicted":
        return FlipMargin(of="band", amount=amount, text=f"the band widens by {by}{at}")
    return FlipMargin(of="value", amount=amount, text=f"the {name} value moves by {by}{at}")


def smallest_margin(margins: Iterable[FlipMargin | None]) -> FlipMargin | None:
    """Return the smallest of several margins, None if there is none."""
    return min(filter(None, margins), key=lambda margin: margin.amount, default=None)

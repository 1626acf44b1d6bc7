"""What measured rows say of a claim, held against its band, and by what margin. Pure; no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim, Decided
from edgeai_repro.evidence.measurement import Frozen, Measurement, Setting, aa_control_passes
from edgeai_repro.judge.formatting import describe_row, difference_unit, format_band, format_interval, format_number

# `error` is no verdict: it stands for one where what should have been measured broke.
VerdictName = Literal[
    "reproduced", "attainable", "artefact", "contradicted", "inconclusive", "not_testable", "error"
]
DECIDED: tuple[str, ...] = get_args(Decided)


class FlipMargin(Frozen):
    """The least change that would turn a verdict: of the measured value, the band's width, or a free choice."""

    of: Literal["value", "band", "choice"]
    amount: float
    text: str


@dataclass(frozen=True)
class Outcome:
    """What the rows of one value of a free choice say; without one, what all rows say."""

    verdict: VerdictName
    row: Measurement
    reason: str


Outcomes = dict[Setting, Outcome]  # by value of a free choice


def judge_rows(claim: Claim, rows: Sequence[Measurement], models: Sequence[str]) -> Outcome:
    """Judge a claim by rows of some of `models`, all at one value of its free choice if it has one.

    The best row decides of "up to", the worst of all else. Raises ValueError for no row.
    """
    unit = METRICS[claim.metric].unit
    # Of what is said to be at most something, the least is best; of all else the most.
    highest = (claim.quantifier == "up_to") == (claim.band.side != "at_most")
    row = (max if highest else min)(rows, key=_rank)
    missing = [model for model in models if model not in {row.model for row in rows}]
    # A model that wasn't measured could only move the best (worst) row further the same way, without limit.
    low = -math.inf if missing and not highest else row.reported.low
    high = math.inf if missing and highest else row.reported.high
    reported, actual = claim.locate(low, high), "inside"
    if row.actual is not None:
        actual = "straddles" if missing else claim.locate(row.actual.low, row.actual.high)
    says = f"{format_interval(row.reported, unit)} ({describe_row(claim, row)})"
    band = format_band(claim, unit)
    if row.control is not None and not aa_control_passes(row.control):
        control = f"{row.control.low:.2f} … {row.control.high:.2f}"
        return Outcome("inconclusive", row, f"too noisy: the A/A control gives {control}, not 1 ± 0.05; try again")
    if reported == "outside":
        edge = claim.nearest_edge(row.reported.value)
        side = "under" if row.reported.value < edge else "over"
        off = format_number(abs(row.reported.value - edge), difference_unit(claim))
        return Outcome("contradicted", row, f"{says} lies {off} {side} the band, {band}")
    if missing and "straddles" in (reported, actual):
        text = f"{says} alone can't settle it: {', '.join(missing)} left out; run without --claims-models"
        return Outcome("not_testable", row, text)
    if "straddles" in (reported, actual):
        return Outcome("inconclusive", row, f"{says} straddles an edge of the band, {band}; measure more")
    if actual == "outside":
        assert row.actual is not None
        real = format_interval(row.actual, unit)
        return Outcome("artefact", row, f"{says} is what counters report, {real} is what was removed")
    return Outcome("reproduced", row, f"{says} lies in the band, {band}")


def _rank(row: Measurement) -> tuple[float, float]:
    """Return what rows are ranked by: the reported value, and between equals the actual one."""
    return row.reported.value, 0.0 if row.actual is None else row.actual.value


def row_margin(claim: Claim, outcome: Outcome, choice: str | None = None) -> FlipMargin | None:
    """Return the least shift of an interval that moves it across an edge of the band, at a value of the choice."""
    if outcome.verdict not in DECIDED:
        return None
    unit = difference_unit(claim)
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
    at = f" ({choice} {outcome.row.params[choice]})" if choice else ""
    if outcome.verdict == "contradicted":
        return FlipMargin(of="band", amount=amount, text=f"a band wider by {format_number(amount, unit)}{at}")
    return FlipMargin(of="value", amount=amount, text=f"{name} value by {format_number(amount, unit)}{at}")


def smallest_margin(margins: Iterable[FlipMargin | None]) -> FlipMargin | None:
    """Return the smallest of some margins, or None where there is none."""
    return min(filter(None, margins), key=lambda margin: margin.amount, default=None)

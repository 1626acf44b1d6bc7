"""Judging: a claim and what was measured of it give a verdict. Pure; no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from edgeai_repro.claims import Choice, Claim, Decided
from edgeai_repro.errors import Condition
from edgeai_repro.evidence import Measurement, Parameter, Record
from edgeai_repro.registry import METRICS
from edgeai_repro.wording import difference_unit, show, show_band, show_interval, show_range, where

VerdictName = Literal["reproduced", "attainable", "artefact", "contradicted", "inconclusive", "not_testable"]
DECIDED: tuple[str, ...] = get_args(Decided)
# An A/A comparison times the same file against itself: where its ratio isn't 1 within 5 %, nothing else is told.
CONTROL = (0.95, 1.05)
# Of a free choice the first of these that a value gives is said; attainable where some hold and some fail.
UNSETTLED: tuple[VerdictName, ...] = ("inconclusive", "not_testable")
FAILING: tuple[VerdictName, ...] = ("artefact", "contradicted")


class FlipMargin(Record):
    """The least change that would turn a verdict: of the measured value, the band's width, or a free choice."""

    of: Literal["value", "band", "choice"]
    amount: float
    text: str


class Choices(Record):
    """The values of a free choice that were tried, and those with which the claim holds."""

    name: str
    tried: tuple[Parameter, ...]
    holding: tuple[Parameter, ...]


class Verdict(Record):
    """What is to be said of a claim. `row` is the measurement that decided, `rows` are all."""

    claim: Claim
    verdict: VerdictName
    reason: str
    row: Measurement | None = None
    rows: tuple[Measurement, ...] = ()
    flip_margin: FlipMargin | None = None
    choices: Choices | None = None
    condition: Condition | None = None

    @property
    def drifted(self) -> bool:
        """Whether the claim was decided, and otherwise than its file expects."""
        return self.verdict in DECIDED and self.verdict != self.claim.expect.verdict


@dataclass(frozen=True)
class Kept:
    """Whether accuracy is kept at the values of a free choice: the claim that says so, and its rows."""

    claim: Claim
    rows: tuple[Measurement, ...]


@dataclass(frozen=True)
class _Outcome:
    """What the rows of one value of the free choice say; without one, what all rows say."""

    verdict: VerdictName
    row: Measurement
    reason: str


def untestable(claim: Claim, condition: Condition, remedy: str, rows: Iterable[Measurement] = ()) -> Verdict:
    """Return the verdict of a claim that waits for a condition; `remedy` says how to supply it.

    Rows at reduced scale are a finding beside it: the reason tells what they would say.
    """
    rows = tuple(rows)
    reduced = [row for row in rows if row.scale == "reduced"]
    findings = [_outcome(claim, [row], [row.model]) for row in reduced]
    beside = "".join(f"; at reduced scale it would be {found.verdict}: {found.reason}" for found in findings)
    return Verdict(claim=claim, verdict="not_testable", reason=remedy + beside, condition=condition, rows=rows)


def judge(claim: Claim, rows: Sequence[Measurement], kept: Kept | None = None) -> Verdict:
    """Judge a claim by the rows of all models and settings that were measured.

    Rows at reduced scale and rows of neighbours are shown and don't count. Where models that are missing from the
    rows could turn the verdict, it is `not_testable`. `kept` tells of a claim with a free choice whether accuracy
    is kept: where it is, with a value that holds, `attainable` becomes `reproduced`; where it is with none,
    `contradicted`. Raises ValueError for no row, or none with the choice.
    """
    if not rows:
        raise ValueError(f"'rows' of {claim.id!r} must be at least one (got none)")
    counting = [row for row in rows if row.scale == "full" and row.model in claim.models]
    if not counting:
        return untestable(claim, *_nothing_counts(claim, rows), rows)
    if claim.choice is None:
        outcome = _outcome(claim, counting, claim.models)
        name, margin, choices = outcome.verdict, _row_margin(claim, outcome), None
    else:
        outcomes = _outcomes(claim, claim.choice, counting)
        choices = Choices(
            name=claim.choice.name,
            tried=tuple(outcomes),
            holding=tuple(value for value, outcome in outcomes.items() if outcome.verdict == "reproduced"),
        )
        name, outcome = _combined(claim, outcomes, claim.choice)
        margins = [_row_margin(claim, other, choices.name) for other in outcomes.values() if other.verdict == name]
        margin = min(filter(None, margins), key=lambda margin: margin.amount, default=None)
        if name == "attainable":
            margin = _choice_margin(outcome, outcomes, choices.name)
    reason = outcome.reason
    if name == "attainable" and choices is not None:
        name, reason = _accuracy_at(choices, kept)
    return Verdict(
        claim=claim,
        verdict=name,
        reason=reason,
        row=outcome.row,
        rows=(*rows, *(kept.rows if kept else ())),
        flip_margin=margin,
        choices=choices,
        condition="models" if name == "not_testable" else None,
    )


def _outcomes(claim: Claim, choice: Choice, rows: Sequence[Measurement]) -> dict[Parameter, _Outcome]:
    """Judge each value of a free choice on its own: all models at the recipe's, elsewhere those that sweep."""
    outcomes = {}
    for value in claim.settings[choice.name]:
        swept = claim.models if value == choice.recipe else choice.swept_on
        of_value = [row for row in rows if row.params.get(choice.name) == value and row.model in swept]
        if of_value:
            outcomes[value] = _outcome(claim, of_value, [model for model in claim.models if model in swept])
    if not outcomes:
        raise ValueError(f"'params' of a row of {claim.id!r} must hold its {choice.name!r} (got none that does)")
    return outcomes


def _combined(claim: Claim, outcomes: dict[Parameter, _Outcome], choice: Choice) -> tuple[VerdictName, _Outcome]:
    """Return what the values of a free choice say together, and the value's outcome that stands for it.

    Where some hold and some fail, it is the choice that makes the claim true. As long as that is open, because a
    value is undecided or wasn't tried, so is the verdict.
    """
    standing: dict[VerdictName, _Outcome] = {}
    for value in sorted(outcomes, key=lambda value: value != choice.recipe):
        standing.setdefault(outcomes[value].verdict, outcomes[value])
    if "reproduced" in standing and not standing.keys().isdisjoint(FAILING):
        return "attainable", standing["reproduced"]
    if untried := [value for value in claim.settings[choice.name] if value not in outcomes]:
        text = f"{choice.name} {', '.join(map(str, untried))} not tried; run without --claims-models"
        standing.setdefault("not_testable", _Outcome("not_testable", next(iter(standing.values())).row, text))
    name = next(verdict for verdict in (*UNSETTLED, "reproduced", *FAILING) if verdict in standing)
    return name, standing[name]


def _outcome(claim: Claim, rows: Sequence[Measurement], models: Sequence[str]) -> _Outcome:
    unit = METRICS[claim.metric].unit
    # Of what is said to be at most something, the least is best; of all else the most.
    highest = (claim.quantifier == "up_to") == (claim.band.side != "at_most")
    row = (max if highest else min)(rows, key=_extent)
    missing = [model for model in models if model not in {row.model for row in rows}]
    # A model that wasn't measured could only move the best (worst) row further the same way, without limit.
    low = -math.inf if missing and not highest else row.reported.low
    high = math.inf if missing and highest else row.reported.high
    reported, logical = claim.locate(low, high), "inside"
    if row.logical is not None:
        logical = "straddles" if missing else claim.locate(row.logical.low, row.logical.high)
    says = f"{show_interval(row.reported, unit)} ({where(claim, row)})"
    band = show_band(claim, unit)
    if row.control is not None and not CONTROL[0] <= row.control.low <= row.control.high <= CONTROL[1]:
        control = f"{row.control.low:.2f} … {row.control.high:.2f}"
        return _Outcome("inconclusive", row, f"too noisy: the A/A control gives {control}, not 1 ± 0.05; try again")
    if reported == "outside":
        edge = claim.nearest_edge(row.reported.value)
        side = "under" if row.reported.value < edge else "over"
        off = show(abs(row.reported.value - edge), difference_unit(claim))
        return _Outcome("contradicted", row, f"{says} lies {off} {side} the band, {band}")
    if missing and "straddles" in (reported, logical):
        text = f"{says} alone can't settle it: {', '.join(missing)} left out; run without --claims-models"
        return _Outcome("not_testable", row, text)
    if "straddles" in (reported, logical):
        return _Outcome("inconclusive", row, f"{says} straddles an edge of the band, {band}; measure more")
    if logical == "outside":
        assert row.logical is not None
        real = show_interval(row.logical, unit)
        return _Outcome("artefact", row, f"{says} is what counters report, {real} is what was removed")
    return _Outcome("reproduced", row, f"{says} lies in the band, {band}")


def _extent(row: Measurement) -> tuple[float, float]:
    """Return what rows are ranked by: the reported value, and between equals the logical one."""
    return row.reported.value, 0.0 if row.logical is None else row.logical.value


def _nothing_counts(claim: Claim, rows: Sequence[Measurement]) -> tuple[Condition, str]:
    if any(row.scale == "reduced" for row in rows):
        return "weights", "no trained weights at full scale"
    return "models", f"{', '.join(claim.models)} left out; run without --claims-models"


def _row_margin(claim: Claim, outcome: _Outcome, choice: str | None = None) -> FlipMargin | None:
    """Return the least shift of an interval that moves it across an edge of the band, at a value of the choice."""
    if outcome.verdict not in DECIDED:
        return None
    unit = difference_unit(claim)
    low, high = claim.edges
    shifts = []
    for name, interval in [("reported", outcome.row.reported), ("logical", outcome.row.logical)]:
        if interval is None or (outcome.verdict == "contradicted" and name == "logical"):
            continue
        if claim.locate(interval.low, interval.high) == "inside":
            shifts.append((min(interval.low - low, high - interval.high), name))
        else:
            shifts.append((max(low - interval.high, interval.low - high), name))
    amount, name = min(shifts)
    at = f" ({choice} {outcome.row.params[choice]})" if choice else ""
    if outcome.verdict == "contradicted":
        return FlipMargin(of="band", amount=amount, text=f"a band wider by {show(amount, unit)} would reach it{at}")
    return FlipMargin(of="value", amount=amount, text=f"the {name} value is {show(amount, unit)} from an edge{at}")


def _choice_margin(outcome: _Outcome, outcomes: dict[Parameter, _Outcome], choice: str) -> FlipMargin:
    """Return the step of the free choice, from the row that stands for it, to the nearest value that fails."""
    here = outcome.row.params[choice]

    def step(value: Parameter) -> float:
        return 1.0 if isinstance(value, str) or isinstance(here, str) else abs(float(value) - here)

    nearest = min((value for value, other in outcomes.items() if other.verdict in FAILING), key=step)
    text = f"fails with {choice} {nearest} instead of {here}"
    return FlipMargin(of="choice", amount=step(nearest), text=text)


def _accuracy_at(choices: Choices, kept: Kept | None) -> tuple[VerdictName, str]:
    """Return the verdict on a claim that some values of a choice make true, and why, by the accuracy they leave."""
    first = choices.tried.index(choices.holding[0])
    unbroken = choices.holding == choices.tried[first : first + len(choices.holding)]
    holding = show_range(choices.holding) if unbroken else ", ".join(map(str, choices.holding))
    tried = f"(tried {show_range(choices.tried)})"
    says = f"holds with {choices.name} {holding} {tried}, a choice that the paper doesn't state"
    if kept is None:
        return "attainable", f"{says}; accuracy at that choice isn't shown here"
    places = {
        row.params[choices.name]: kept.claim.locate(row.reported.low, row.reported.high)
        for row in kept.rows
        if row.scale == "full" and row.params[choices.name] in choices.holding
    }
    good = [value for value, place in places.items() if place == "inside"]
    if good:
        return "reproduced", f"{says}, and accuracy is kept at {choices.name} {show_range(good)}"
    if set(places) == set(choices.holding) and set(places.values()) == {"outside"}:
        return "contradicted", f"{says}, but accuracy isn't kept at any of these"
    return "attainable", f"{says}; accuracy at that choice isn't shown at full scale{_at_reduced_scale(kept)}"


def _at_reduced_scale(kept: Kept) -> str:
    rows = [row for row in kept.rows if row.scale == "reduced"]
    if not rows:
        return ""
    unit = METRICS[kept.claim.metric].unit
    return "; at reduced scale " + ", ".join(
        f"{show_interval(row.reported, unit)} ({where(kept.claim, row)})" for row in rows
    )

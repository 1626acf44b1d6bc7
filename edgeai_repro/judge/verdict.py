"""Judging: a claim and what was measured of it give a verdict. Pure; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Choice, Claim
from edgeai_repro.errors import Requirement
from edgeai_repro.evidence.measurement import Frozen, Measurement, Setting
from edgeai_repro.judge.formatting import describe_row, format_interval, format_range
from edgeai_repro.judge.rows import (
    DECIDED,
    FlipMargin,
    Outcome,
    Outcomes,
    VerdictName,
    judge_rows,
    row_margin,
    smallest_margin,
)

# Of a free choice the first of these that a value gives is said; attainable where some hold and some fail.
UNDECIDED: tuple[VerdictName, ...] = ("inconclusive", "not_testable")
FAILING: tuple[VerdictName, ...] = ("artefact", "contradicted")


class Choices(Frozen):
    """The values of a free choice that were tried, and those with which the claim holds."""

    name: str
    tried: tuple[Setting, ...]
    holding: tuple[Setting, ...]


class Verdict(Frozen):
    """What is to be said of a claim. `row` is the measurement that decided, `rows` are all of the claim.

    `kept` are rows of the claim, in its own unit, that tells whether a free choice keeps the accuracy.
    """

    claim: Claim
    verdict: VerdictName
    reason: str
    row: Measurement | None = None
    rows: tuple[Measurement, ...] = ()
    accuracy_rows: tuple[Measurement, ...] = ()
    flip_margin: FlipMargin | None = None
    choices: Choices | None = None
    condition: Requirement | None = None

    @property
    def drifted(self) -> bool:
        """Whether the claim was decided, and otherwise than its file expects."""
        return self.verdict in DECIDED and self.verdict != self.claim.expect.verdict


@dataclass(frozen=True)
class AccuracyCheck:
    """Whether accuracy is kept at the values of a free choice: the claim that says so, and its rows."""

    claim: Claim
    rows: tuple[Measurement, ...]


def not_testable(claim: Claim, condition: Requirement, remedy: str, rows: Iterable[Measurement] = ()) -> Verdict:
    """Return the verdict of a claim that waits for a condition; `remedy` says how to supply it.

    Rows at reduced scale are a finding beside it: the reason tells what each would say.
    """
    rows = tuple(rows)
    findings = [
        f"{_value_with_budget(claim, row)} would be {judge_rows(claim, [row], [row.model]).verdict}"
        for row in rows
        if row.scale == "reduced"
    ]
    beside = f"; at reduced scale {'; '.join(findings)}" if findings else ""
    return Verdict(claim=claim, verdict="not_testable", reason=remedy + beside, condition=condition, rows=rows)


def error_verdict(claim: Claim, reason: str) -> Verdict:
    """Return what stands for a verdict where measuring broke: an error is never graded as science."""
    return Verdict(claim=claim, verdict="error", reason=reason)


def judge(claim: Claim, rows: Sequence[Measurement], kept: AccuracyCheck | None = None) -> Verdict:
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
        return not_testable(claim, *_why_no_row_counts(claim, rows), rows)
    choices = None
    if claim.choice is None:
        outcome = judge_rows(claim, counting, claim.models)
        margin = row_margin(claim, outcome)
    else:
        outcomes = _outcomes(claim, claim.choice, counting)
        choices = Choices(
            name=claim.choice.name,
            tried=tuple(outcomes),
            holding=tuple(value for value, outcome in outcomes.items() if outcome.verdict == "reproduced"),
        )
        name, outcome = _combine_choices(claim, outcomes, claim.choice)
        if name == "attainable":
            outcome, margin = _settle_by_accuracy(claim, outcomes, outcome, choices, kept)
        else:
            same = [other for other in outcomes.values() if other.verdict == name]
            margin = smallest_margin(row_margin(claim, other, choices.name) for other in same)
    return Verdict(
        claim=claim,
        verdict=outcome.verdict,
        reason=outcome.reason,
        row=outcome.row,
        rows=tuple(rows),
        accuracy_rows=kept.rows if kept else (),
        flip_margin=margin,
        choices=choices,
        condition="models" if outcome.verdict == "not_testable" else None,
    )


def _outcomes(claim: Claim, choice: Choice, rows: Sequence[Measurement]) -> Outcomes:
    """Judge each value of a free choice on its own: all models at the recipe's, elsewhere those that sweep."""
    outcomes = {}
    for value in claim.settings[choice.name]:
        swept = claim.models if value == choice.default else choice.swept_on
        of_value = [row for row in rows if row.params.get(choice.name) == value and row.model in swept]
        if of_value:
            outcomes[value] = judge_rows(claim, of_value, [model for model in claim.models if model in swept])
    if not outcomes:
        raise ValueError(f"'params' of a row of {claim.id!r} must hold its {choice.name!r} (got none that does)")
    return outcomes


def _combine_choices(claim: Claim, outcomes: Outcomes, choice: Choice) -> tuple[VerdictName, Outcome]:
    """Return what the values of a free choice say together, and the value's outcome that stands for it.

    Where some hold and some fail, it is the choice that makes the claim true. As long as that is open, because a
    value is undecided or wasn't tried, so is the verdict.
    """
    standing: dict[VerdictName, Outcome] = {}
    for value in sorted(outcomes, key=lambda value: value != choice.default):
        standing.setdefault(outcomes[value].verdict, outcomes[value])
    if "reproduced" in standing and not standing.keys().isdisjoint(FAILING):
        return "attainable", standing["reproduced"]
    if untried := [value for value in claim.settings[choice.name] if value not in outcomes]:
        text = f"{choice.name} {', '.join(map(str, untried))} not tried; run without --claims-models"
        standing.setdefault("not_testable", Outcome("not_testable", next(iter(standing.values())).row, text))
    name = next(verdict for verdict in (*UNDECIDED, "reproduced", *FAILING) if verdict in standing)
    return name, standing[name]


def _why_no_row_counts(claim: Claim, rows: Sequence[Measurement]) -> tuple[Requirement, str]:
    if any(row.scale == "reduced" for row in rows):
        return "weights", "no trained weights at full scale"
    return "models", f"{', '.join(claim.models)} left out; run without --claims-models"


def _choice_margin(outcome: Outcome, outcomes: Outcomes, choice: str) -> FlipMargin:
    """Return the step of the free choice, from the row that stands for it, to the nearest value that fails."""
    here = outcome.row.params[choice]

    def step(value: Setting) -> float:
        return 1.0 if isinstance(value, str) or isinstance(here, str) else abs(float(value) - here)

    nearest = min((value for value, other in outcomes.items() if other.verdict in FAILING), key=step)
    text = f"{choice} {nearest} instead of {here}"
    return FlipMargin(of="choice", amount=step(nearest), text=text)


def _settle_by_accuracy(
    claim: Claim, outcomes: Outcomes, standing: Outcome, choices: Choices, kept: AccuracyCheck | None
) -> tuple[Outcome, FlipMargin | None]:
    """Return what is to be said of a claim that some values of a choice make true, by the accuracy they leave.

    `standing` is the outcome that stands for those values. Of several rows of one value the worst counts.
    """
    name = choices.name
    says = (
        f"holds with {name} {_listed(choices.holding, choices.tried)} (tried {format_range(choices.tried)}), "
        "a choice that the paper doesn't state"
    )
    left = {} if kept is None else _accuracy_left(kept, choices)
    good = [value for value in choices.holding if value in left and left[value].verdict == "reproduced"]
    lost = [value for value in choices.tried if value in left and left[value].verdict == "contradicted"]
    if kept and good:
        row = standing.row if standing.row.params[name] in good else outcomes[good[0]].row
        reason = f"{says}, and accuracy is kept at {name} {_listed(good, choices.tried)}"
        margins = [
            smallest_margin([row_margin(claim, outcomes[value], name), _accuracy_margin(kept, left[value], name)])
            for value in good
        ]
        # It turns when the last of these values fails.
        return Outcome("reproduced", row, reason), max(filter(None, margins), key=lambda margin: margin.amount)
    if kept and set(choices.holding) <= set(lost):
        failing = [outcomes[v] for v in choices.tried if outcomes[v].verdict == "contradicted" and v not in lost]
        margin = smallest_margin(
            [
                *(_accuracy_margin(kept, left[value], name) for value in choices.holding),
                *(row_margin(claim, other, name) for other in failing),
            ]
        )
        reason = f"{says}, but accuracy isn't kept at any of these"
        return Outcome("contradicted", standing.row, reason), margin
    if "weights" not in claim.needs:  # else it is trained models that tell of it
        shown = f"at full scale{_at_reduced_scale(kept)}" if kept else "here"
        says = f"{says}; accuracy at that choice isn't shown {shown}"
    return Outcome("attainable", standing.row, says), _choice_margin(standing, outcomes, name)


def _accuracy_left(kept: AccuracyCheck, choices: Choices) -> Outcomes:
    """Judge the accuracy at each value of a free choice of which a model was trained at full scale."""
    left = {}
    for value in choices.tried:
        rows = [row for row in kept.rows if row.scale == "full" and row.params[choices.name] == value]
        if rows:
            left[value] = judge_rows(kept.claim, rows, kept.claim.models)
    return left


def _accuracy_margin(kept: AccuracyCheck, outcome: Outcome, choice: str) -> FlipMargin | None:
    margin = row_margin(kept.claim, outcome, choice)
    return margin and margin.model_copy(update={"text": f"{kept.claim.id}: {margin.text}"})


def _listed(values: Sequence[Setting], tried: Sequence[Setting]) -> str:
    """Return the first and the last of some values of a choice, or where others lie between, all of them."""
    first = tried.index(values[0])
    unbroken = tuple(values) == tuple(tried[first : first + len(values)])
    return format_range(values) if unbroken else ", ".join(map(str, values))


def _at_reduced_scale(kept: AccuracyCheck) -> str:
    rows = [row for row in kept.rows if row.scale == "reduced"]
    told = "; ".join(_value_with_budget(kept.claim, row) for row in rows)
    return f"; at reduced scale {told}" if told else ""


def _value_with_budget(claim: Claim, row: Measurement) -> str:
    """Return a row's value, and in brackets what it is of and what its training took."""
    of = [describe_row(claim, row)]
    for name in ("epochs", "seeds"):
        if name in row.params:
            of.append(f"{row.params[name]} {name if row.params[name] != 1 else name.removesuffix('s')}")
    return f"{format_interval(row.reported, METRICS[claim.metric].unit)} ({', '.join(of)})"

"""Judges a claim that depends on a choice which the paper leaves open. Pure; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeai_repro.claims.schema import Choice, Claim
from edgeai_repro.evidence.measurement import Frozen, Measurement, Setting
from edgeai_repro.judge.formatting import format_range, format_values, value_with_budget
from edgeai_repro.judge.rows import (
    FlipMargin,
    Outcome,
    Outcomes,
    VerdictName,
    judge_rows,
    row_margin,
    smallest_margin,
)

# If the values of a choice give different verdicts, the first of these wins; some true and some false give
# "attainable".
UNDECIDED: tuple[VerdictName, ...] = ("inconclusive", "not_testable")
FAILING: tuple[VerdictName, ...] = ("artefact", "contradicted")


class Choices(Frozen):
    """The values of a choice that were tried, and those that make the claim true."""

    name: str
    tried: tuple[Setting, ...]
    holding: tuple[Setting, ...]


@dataclass(frozen=True)
class AccuracyCheck:
    """The claim whose band decides whether a value of a choice maintains the accuracy, and its rows."""

    claim: Claim
    rows: tuple[Measurement, ...]


def judge_choice(
    claim: Claim, choice: Choice, rows: Sequence[Measurement], check: AccuracyCheck | None
) -> tuple[Outcome, FlipMargin | None, Choices]:
    """Judge a claim at each value of its choice, and combine the outcomes.

    Raises ValueError if no row has a value of the choice.
    """
    outcomes = _judge_values(claim, choice, rows)
    choices = Choices(
        name=choice.name,
        tried=tuple(outcomes),
        holding=tuple(value for value, outcome in outcomes.items() if outcome.verdict == "reproduced"),
    )
    verdict, outcome = _combine(claim, outcomes, choice)
    if verdict == "attainable":
        return (*_settle_by_accuracy(claim, outcomes, outcome, choices, check), choices)
    same = [other for other in outcomes.values() if other.verdict == verdict]
    return outcome, smallest_margin(row_margin(claim, other, choice.name) for other in same), choices


def _judge_values(claim: Claim, choice: Choice, rows: Sequence[Measurement]) -> Outcomes:
    """Judge each value of a choice: the default by all models, any other by the models that sweep the choice."""
    outcomes = {}
    for value in claim.values_of(choice.name):
        models = claim.models if value == choice.default else choice.swept_on
        at_value = [row for row in rows if row.value_of(choice.name) == value and row.model in models]
        if at_value:
            outcomes[value] = judge_rows(claim, at_value, [model for model in claim.models if model in models])
    if not outcomes:
        raise ValueError(f"a row of {claim.id!r} must have a value of {choice.name!r} (none has)")
    return outcomes


def _combine(claim: Claim, outcomes: Outcomes, choice: Choice) -> tuple[VerdictName, Outcome]:
    """Return the verdict on all values of a choice, and the outcome that represents them.

    If some values make the claim true and some false, the choice decides. If that is open, because a value is
    undecided or was not tried, so is the verdict.
    """
    representative: dict[VerdictName, Outcome] = {}
    for value in sorted(outcomes, key=lambda value: value != choice.default):
        representative.setdefault(outcomes[value].verdict, outcomes[value])
    if "reproduced" in representative and not representative.keys().isdisjoint(FAILING):
        return "attainable", representative["reproduced"]
    if untried := [value for value in claim.values_of(choice.name) if value not in outcomes]:
        reason = f"{choice.name} {', '.join(map(str, untried))} not tried; run without --claims-models"
        row = next(iter(representative.values())).row
        representative.setdefault("not_testable", Outcome("not_testable", row, reason))
    verdict = next(name for name in (*UNDECIDED, "reproduced", *FAILING) if name in representative)
    return verdict, representative[verdict]


def _settle_by_accuracy(
    claim: Claim, outcomes: Outcomes, attainable: Outcome, choices: Choices, check: AccuracyCheck | None
) -> tuple[Outcome, FlipMargin | None]:
    """Return the outcome of a claim that some values of a choice make true, by the accuracy at these values.

    `attainable` is the outcome that represents them. The claim is reproduced if the accuracy is maintained at one
    of these values, and contradicted if it is lost at all of them.
    """
    name = choices.name
    reason = (
        f"holds with {name} {format_values(choices.holding, choices.tried)} (tried {format_range(choices.tried)}), "
        "a choice that the paper does not state"
    )
    accuracy = {} if check is None else _judge_accuracy(check, choices)
    maintained = [value for value in choices.holding if _verdict_at(accuracy, value) == "reproduced"]
    lost = [value for value in choices.tried if _verdict_at(accuracy, value) == "contradicted"]
    if check and maintained:
        row = attainable.row if attainable.row.value_of(name) in maintained else outcomes[maintained[0]].row
        reason = f"{reason}, and the accuracy is maintained at {name} {format_values(maintained, choices.tried)}"
        margins = [
            smallest_margin(
                [row_margin(claim, outcomes[value], name), _accuracy_margin(check, accuracy[value], name)]
            )
            for value in maintained
        ]
        # The verdict flips when the last of these values fails.
        return Outcome("reproduced", row, reason), max(filter(None, margins), key=lambda margin: margin.amount)
    if check and set(choices.holding) <= set(lost):
        failing = [
            outcomes[value]
            for value in choices.tried
            if outcomes[value].verdict == "contradicted" and value not in lost
        ]
        margin = smallest_margin(
            [
                *(_accuracy_margin(check, accuracy[value], name) for value in choices.holding),
                *(row_margin(claim, outcome, name) for outcome in failing),
            ]
        )
        return Outcome(
            "contradicted", attainable.row, f"{reason}, but the accuracy is lost at all of these"
        ), margin
    if "weights" not in claim.needs:  # otherwise the claim itself is about accuracy
        scale = f"at full scale{_at_reduced_scale(check)}" if check else "here"
        reason = f"{reason}; the accuracy at that choice is not shown {scale}"
    return Outcome("attainable", attainable.row, reason), _choice_margin(attainable, outcomes, name)


def _verdict_at(outcomes: Outcomes, value: Setting) -> VerdictName | None:
    return outcomes[value].verdict if value in outcomes else None


def _judge_accuracy(check: AccuracyCheck, choices: Choices) -> Outcomes:
    """Judge the accuracy at each value of a choice for which a model was trained at full scale."""
    outcomes = {}
    for value in choices.tried:
        rows = [row for row in check.rows if row.scale == "full" and row.value_of(choices.name) == value]
        if rows:
            outcomes[value] = judge_rows(check.claim, rows, check.claim.models)
    return outcomes


def _choice_margin(outcome: Outcome, outcomes: Outcomes, choice: str) -> FlipMargin:
    """Return the step of the choice from the representing row to the nearest value that fails."""
    present = outcome.row.value_of(choice)

    def step(value: Setting) -> float:
        if isinstance(value, str) or isinstance(present, str) or present is None:
            return 1.0
        return abs(float(value) - present)

    nearest = min((value for value, other in outcomes.items() if other.verdict in FAILING), key=step)
    return FlipMargin(of="choice", amount=step(nearest), text=f"{choice} is {nearest} instead of {present}")


def _accuracy_margin(check: AccuracyCheck, outcome: Outcome, choice: str) -> FlipMargin | None:
    margin = row_margin(check.claim, outcome, choice)
    return margin and margin.model_copy(update={"text": f"{check.claim.id}: {margin.text}"})


def _at_reduced_scale(check: AccuracyCheck) -> str:
    rows = [row for row in check.rows if row.scale == "reduced"]
    values = "; ".join(value_with_budget(check.claim, row) for row in rows)
    return f"; at reduced scale {values}" if values else ""

"""Judges a claim that depends on a choice which the paper leaves open. Pure; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from edgeai_repro.claims.paper_info import Choice
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Frozen, Measurement, Setting
from edgeai_repro.judge.formatting import format_range, format_values, value_with_budget
from edgeai_repro.judge.margins import FlipMargin, flip_margin, smallest_margin
from edgeai_repro.judge.reasons import reason
from edgeai_repro.judge.rows import DECIDED, Location, Outcome, Outcomes, VerdictName, judge_rows, missing_rows


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


@dataclass(frozen=True)
class Judged:
    """A verdict with the row that represents it, its reason, its flip margin, and the choice behind it."""

    verdict: VerdictName
    row: Measurement
    reason: str
    margin: FlipMargin | None
    choices: Choices | None = None


def judge_choice(claim: Claim, choice: Choice, rows: Sequence[Measurement], check: AccuracyCheck | None) -> Judged:
    """Judge a claim at each value of its choice, and combine the outcomes.

    Raises ValueError if no row has a value of the choice.
    """
    outcomes = _judge_values(claim, choice, rows)
    choices = Choices(name=choice.name, tried=tuple(outcomes), holding=_located(outcomes, "inside"))
    accuracy = {} if check is None else _judge_accuracy(check, choice.name, claim.values_of(choice.name))
    missing = missing_rows(claim, rows)
    verdict = _combine(claim, outcomes, accuracy, missing)
    default_first = sorted(outcomes, key=lambda value: value != choice.default)
    all_fail = len(_located(outcomes, "outside")) == len(outcomes)
    all_hold = choices.holding == tuple(claim.values_of(choice.name))
    if verdict in DECIDED and not (all_fail or all_hold):
        true = next(outcomes[value] for value in default_first if value in (choices.holding or outcomes))
        return _by_accuracy(claim, outcomes, accuracy, Judged(verdict, true.row, "", None, choices), check)
    same = [outcomes[value] for value in default_first if outcomes[value].verdict == verdict]
    outcome = (same or [outcomes[default_first[0]]])[0]
    text = reason(claim, replace(outcome, missing=tuple(missing)), verdict)
    margin = flip_margin(claim, list(outcomes.values()), verdict, choice.name)
    return Judged(verdict, outcome.row, text, margin, choices)


def _judge_values(claim: Claim, choice: Choice, rows: Sequence[Measurement]) -> Outcomes:
    """Judge each value of a choice that a row has."""
    outcomes = {}
    for value in claim.values_of(choice.name):
        at_value = [row for row in rows if row.value_of(choice.name) == value]
        if at_value:
            outcomes[value] = judge_rows(claim, at_value, missing_rows(claim, rows, value))
    if not outcomes:
        raise ValueError(f"a row of {claim.id!r} must have a value of {choice.name!r} (none has)")
    return outcomes


def _combine(claim: Claim, outcomes: Outcomes, accuracy: Outcomes, missing: Sequence[str]) -> VerdictName:
    """Return the verdict on all values of the choice: the one that is the same whichever open values hold."""
    assert claim.choice is not None
    values = claim.values_of(claim.choice.name)
    holding, failing = _located(outcomes, "inside"), _located(outcomes, "outside")
    is_open = [value for value in values if value not in (*holding, *failing)]
    if_none_holds = _if_none_holds(list(outcomes.values()), untried=len(outcomes) < len(values))
    possible = {
        _if_these_hold({*holding, *more}, values, accuracy) or if_none_holds
        for count in range(len(is_open) + 1)
        for more in combinations(is_open, count)
    }
    if len(possible) == 1 and possible <= set(DECIDED):
        return possible.pop()
    return "not_testable" if missing else "inconclusive"


def _if_these_hold(holding: set[Setting], values: Sequence[Setting], accuracy: Outcomes) -> VerdictName | None:
    """Return the verdict on a claim that is true at these values of its choice, None if it is true at none.

    If it is true at some and false at others, the accuracy there decides: the claim is reproduced if the accuracy
    is maintained at one of these values, contradicted if it is lost at all of them, and otherwise attainable.
    """
    if not holding or holding >= set(values):
        return "reproduced" if holding else None
    if holding & set(_located(accuracy, "inside")):
        return "reproduced"
    return "contradicted" if holding <= set(_located(accuracy, "outside")) else "attainable"


def _if_none_holds(outcomes: Sequence[Outcome], *, untried: bool) -> VerdictName:
    """Return the verdict on a claim that is true at no value: an artefact if its number is reported at one."""
    reported = [outcome.reported.location for outcome in outcomes if outcome.reported is not None]
    if "inside" in reported:
        return "artefact"
    return "inconclusive" if "straddles" in reported or (untried and reported) else "contradicted"


def _by_accuracy(
    claim: Claim, outcomes: Outcomes, accuracy: Outcomes, judged: Judged, check: AccuracyCheck | None
) -> Judged:
    """Return the verdict on a claim that some values of its choice make true, with its reason and its margin.

    `judged` has the verdict, and the row of one of these values.
    """
    assert judged.choices is not None
    name, holding, tried = judged.choices.name, judged.choices.holding, judged.choices.tried
    failing, lost = _located(outcomes, "outside"), _located(accuracy, "outside")
    true = holding or tuple(value for value in tried if value not in failing)
    verb = "holds" if holding else "may hold"
    text = (
        f"{verb} with {name} {format_values(true, tried)} (tried {format_range(tried)}), "
        "a choice that the paper does not state"
    )
    if check and judged.verdict == "reproduced":
        kept = [value for value in holding if value in _located(accuracy, "inside")]
        row = judged.row if judged.row.value_of(name) in kept else outcomes[kept[0]].row
        text = f"{text}, and the accuracy is maintained at {name} {format_values(kept, tried)}"
        margins = [
            smallest_margin(
                [
                    flip_margin(claim, [outcomes[value]], "reproduced", name),
                    _accuracy_margin(check, accuracy[value], name),
                ]
            )
            for value in kept
        ]
        # The verdict flips when the last of these values fails.
        margin = max(filter(None, margins), key=lambda margin: margin.amount)
        return replace(judged, row=row, reason=text, margin=margin)
    if check and judged.verdict == "contradicted":
        others = [outcomes[value] for value in failing if value not in lost]
        margins = [_accuracy_margin(check, accuracy[value], name) for value in true]
        margins += [flip_margin(claim, [replace(one, reported=None)], "contradicted", name) for one in others]
        text = f"{text}, but the accuracy is lost at all of these"
        return replace(judged, reason=text, margin=smallest_margin(margins))
    # A condition, such as a way to count, changes no network; a claim that needs weights is itself about accuracy.
    if name in claim.settings and "weights" not in claim.needs:
        scale = f"at full scale{_at_reduced_scale(check)}" if check else "here"
        text = f"{text}; the accuracy at that choice is not shown {scale}"
    at = next(outcomes[value] for value in holding if outcomes[value].row == judged.row)
    return replace(judged, reason=text, margin=_choice_margin(at, outcomes, name))


def _located(outcomes: Outcomes, location: Location) -> tuple[Setting, ...]:
    """Return the values of a choice at which the quantity that decides lies there."""
    return tuple(value for value, outcome in outcomes.items() if outcome.deciding.location == location)


def _judge_accuracy(check: AccuracyCheck, choice: str, values: Sequence[Setting]) -> Outcomes:
    """Judge the accuracy at each value of a choice for which a model was trained at full scale."""
    outcomes = {}
    for value in values:
        rows = [row for row in check.rows if row.scale == "full" and row.value_of(choice) == value]
        measured = {row.model for row in rows}
        if rows:
            missing = [model for model in check.claim.models if model not in measured]
            outcomes[value] = judge_rows(check.claim, rows, missing)
    return outcomes


def _choice_margin(outcome: Outcome, outcomes: Outcomes, choice: str) -> FlipMargin:
    """Return the step of the choice from the representing row to the nearest value that fails."""
    present = outcome.row.value_of(choice)

    def step(value: Setting) -> float:
        if isinstance(value, str) or isinstance(present, str) or present is None:
            return 1.0
        return abs(float(value) - present)

    nearest = min(_located(outcomes, "outside"), key=step)
    return FlipMargin(of="choice", amount=step(nearest), text=f"{choice} is {nearest} instead of {present}")


def _accuracy_margin(check: AccuracyCheck, outcome: Outcome, choice: str) -> FlipMargin | None:
    margin = flip_margin(check.claim, [outcome], outcome.verdict, choice)
    return margin and margin.model_copy(update={"text": f"{check.claim.id}: {margin.text}"})


def _at_reduced_scale(check: AccuracyCheck) -> str:
    rows = [row for row in check.rows if row.scale == "reduced"]
    values = "; ".join(value_with_budget(check.claim, row) for row in rows)
    return f"; at reduced scale {values}" if values else ""

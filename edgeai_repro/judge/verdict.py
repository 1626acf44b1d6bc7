"""Judges a claim by its measurements. Pure; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from edgeai_repro.claims.schema import Claim
from edgeai_repro.errors import Requirement
from edgeai_repro.evidence.measurement import Frozen, Measured, Measurement, Obstacle, aa_control_passes
from edgeai_repro.judge.choices import AccuracyCheck, Choices, Judged, judge_choice
from edgeai_repro.judge.formatting import value_with_budget
from edgeai_repro.judge.margins import FlipMargin, flip_margin
from edgeai_repro.judge.reasons import reason
from edgeai_repro.judge.rows import DECIDED, VerdictName, judge_rows, missing_rows


class Verdict(Frozen):
    """The verdict on a claim, with the measurements behind it.

    `row` is the measurement that decided; `rows` are all rows of the claim. `accuracy_rows` are rows of the claim
    that decides whether a choice maintains the accuracy, in that claim's unit. `requirement` is what is missing.
    """

    claim: Claim
    verdict: VerdictName
    reason: str
    row: Measurement | None = None
    rows: tuple[Measurement, ...] = ()
    accuracy_rows: tuple[Measurement, ...] = ()
    flip_margin: FlipMargin | None = None
    choices: Choices | None = None
    requirement: Requirement | None = None

    @property
    def drifted(self) -> bool:
        """Whether the claim was decided with another verdict than its file expects."""
        return self.verdict in DECIDED and self.verdict != self.claim.expect.verdict


def judge(claim: Claim, measured: Measured, check: AccuracyCheck | None = None) -> Verdict:
    """Judge a claim by its rows, or by the obstacle that keeps it from being measured.

    Rows at reduced scale and rows of models that are only shown do not count. If a row that is missing could change
    the verdict, the claim is not testable. `check` decides, for a claim with a choice, whether the accuracy is
    maintained: an attainable claim is then reproduced or contradicted. Raises ValueError for no rows, and for rows
    without a value of the choice.
    """
    if measured.obstacle is not None:
        return _blocked(claim, measured.obstacle, measured.rows)
    if not measured.rows:
        raise ValueError(f"the rows of {claim.id!r} must not be empty")
    counting = [row for row in measured.rows if row.scale == "full" and row.model in claim.models]
    if not counting:
        return _blocked(claim, _why_no_row_counts(claim, measured.rows), measured.rows)
    judged = _judge_digits(claim, counting, check)
    return Verdict(
        claim=claim,
        verdict=judged.verdict,
        reason=judged.reason,
        row=judged.row,
        rows=measured.rows,
        accuracy_rows=check.rows if check else (),
        flip_margin=judged.margin,
        choices=judged.choices,
        requirement=_requirement(claim, measured.rows) if judged.verdict == "not_testable" else None,
    )


def _judge_digits(claim: Claim, rows: Sequence[Measurement], check: AccuracyCheck | None) -> Judged:
    """Judge a claim by its rounded digits. If it fails, and holds if the paper cut its digits, it is attainable.

    A paper doesn't say which it did, so this is a choice that every claim leaves open.
    """
    rounded = _judge_counting(claim, rows, check)
    if rounded.verdict not in ("artefact", "contradicted") or not claim.digits_may_be_cut:
        return rounded
    cut = _judge_counting(claim.with_cut_digits(), rows, check)
    if cut.verdict not in ("reproduced", "attainable"):
        return rounded
    return replace(
        cut,
        verdict="attainable",
        reason=f"{cut.reason}; only if the printed digits are cut, not rounded",
        margin=FlipMargin(of="choice", amount=1.0, text="digits are rounded instead of cut"),
        choices=cut.choices or Choices(name="digits", tried=("rounded", "cut"), holding=("cut",)),
    )


def _judge_counting(claim: Claim, rows: Sequence[Measurement], check: AccuracyCheck | None) -> Judged:
    for row in rows:
        if row.control is not None and not aa_control_passes(row.control):
            control = f"{row.control.low:.2f} … {row.control.high:.2f}"
            text = f"too noisy: the A/A control is {control}, not 1 ± 0.05; try again"
            return Judged("inconclusive", row, text, None)
    if claim.choice is not None:
        return judge_choice(claim, claim.choice, rows, check)
    outcome = judge_rows(claim, rows, missing_rows(claim, rows))
    verdict = outcome.verdict
    return Judged(verdict, outcome.row, reason(claim, outcome, verdict), flip_margin(claim, [outcome], verdict))


def error_verdict(claim: Claim, reason: str) -> Verdict:
    """Return a placeholder for a claim whose measurement failed: an error says nothing about the claim."""
    return Verdict(claim=claim, verdict="error", reason=reason)


def _blocked(claim: Claim, obstacle: Obstacle, rows: Iterable[Measurement]) -> Verdict:
    """Return the verdict on a claim that can't be judged here; findings at reduced scale are part of the reason."""
    rows = tuple(rows)
    if obstacle.kind == "noise":
        return Verdict(claim=claim, verdict="inconclusive", reason=obstacle.remedy, rows=rows)
    findings = [
        f"{value_with_budget(claim, row)} would be {judge_rows(claim, [row]).verdict}"
        for row in rows
        if row.scale == "reduced"
    ]
    reduced = f"; at reduced scale {'; '.join(findings)}" if findings else ""
    return Verdict(
        claim=claim,
        verdict="not_testable",
        reason=obstacle.remedy + reduced,
        requirement=obstacle.kind,
        rows=rows,
    )


def _why_no_row_counts(claim: Claim, rows: Iterable[Measurement]) -> Obstacle:
    if any(row.scale == "reduced" for row in rows):
        return Obstacle("weights", "no trained weights at full scale are here")
    return Obstacle("models", f"{', '.join(claim.models)} not in --claims-models; add it or drop the option")


def _requirement(claim: Claim, rows: Iterable[Measurement]) -> Requirement:
    """Return what the rows lack that are missing: their models, if these have no row, or trained weights."""
    measured = {row.model for row in rows}
    return "weights" if "weights" in claim.needs and measured >= set(claim.models) else "models"

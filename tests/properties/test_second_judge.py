"""The judge agrees with a second one, written from the design alone, on generated cases.

EDGEAI_JUDGED_CASES sets their number: 100000 takes some minutes.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Measured
from edgeai_repro.judge.verdict import Verdict, judge
from tests.support.judged_cases import Case, Generator
from tests.support.second_judge import Rules, farthest_outside, second_opinion

CASES = int(os.environ.get("EDGEAI_JUDGED_CASES", "1500"))


def _judge(case: Case) -> Verdict:
    return judge(case.claim, case.measured, case.check)


def _second(case: Case) -> str:
    metric = METRICS[case.claim.metric]
    accuracy = case.check and (case.check.claim, case.check.rows)
    return second_opinion(case.claim, case.measured, Rules(metric.better, metric.is_count), accuracy)


def _disagreement(case: Case) -> str | None:
    """Return how the judges differ on a case, None if they agree."""
    verdict, expected = _judge(case), _second(case)
    if verdict.verdict != expected:
        return f"verdict={verdict.verdict}, but should be {expected} [{verdict.reason}]"
    return _wrong_row(case.claim, verdict)


def _wrong_row(asked: Claim, verdict: Verdict) -> str | None:
    """Return how the deciding row of a broken "every" is wrong: it must be the one that lies farthest outside."""
    counted = [measured for measured in verdict.rows if measured.model in asked.models and measured.scale == "full"]
    exact = all(one.low == one.high for measured in counted for one in (measured.actual or measured.reported,))
    if verdict.row is None or asked.choice or asked.quantifier == "up_to" or not exact or verdict.requirement:
        return None
    if any(measured.uncounted for measured in counted) or verdict.verdict == "inconclusive":
        return None
    worst, named = farthest_outside(asked, counted), farthest_outside(asked, [verdict.row])
    return None if named == worst else f"the deciding row is {named} outside, but should be {worst}"


def test_two_judges_agree() -> None:
    """They agree on every generated case, and every verdict occurs among them."""
    generator = Generator(seed=11)
    verdicts: Counter[str] = Counter()
    for number in range(CASES):
        case = generator.case()
        problem = _disagreement(case)
        assert problem is None, f"case {number}: {problem}\n{case}"
        verdicts[_second(case)] += 1

    occurring = {"reproduced", "attainable", "artefact", "contradicted", "inconclusive", "not_testable"}
    assert set(verdicts) == occurring
    assert min(verdicts.values()) > CASES / 50, verdicts


def _ranked_by_reported(case: Case) -> Case:
    """Swap the two quantities, as a judge would that lets the reported one decide."""
    rows = [
        measured.model_copy(update={"reported": measured.actual, "actual": measured.reported, "uncounted": ()})
        if measured.actual
        else measured
        for measured in case.measured.rows
    ]
    return replace(case, measured=Measured(tuple(rows), case.measured.obstacle))


def _one_edge_only(case: Case) -> Case:
    """Open the band upwards, as a judge would that looks at one extreme of "every"."""
    if case.claim.band.side != "both":
        return case
    band = case.claim.band.model_copy(update={"side": "at_least"})
    return replace(case, claim=case.claim.model_copy(update={"band": band}))


def _missing_ignored(case: Case) -> Case:
    """Ask only for the models that were measured."""
    measured = {measured.model for measured in case.measured.rows if measured.scale == "full"}
    models = [model for model in case.claim.models if model in measured] or case.claim.models
    return replace(case, claim=case.claim.model_copy(update={"models": models}))


def _uncounted_ignored(case: Case) -> Case:
    """Take a lower bound for the count."""
    rows = [measured.model_copy(update={"uncounted": ()}) for measured in case.measured.rows]
    return replace(case, measured=Measured(tuple(rows), case.measured.obstacle))


def _noise_ignored(case: Case) -> Case:
    """Take the times of a noisy run."""
    rows = [measured.model_copy(update={"control": None}) for measured in case.measured.rows]
    return replace(case, measured=Measured(tuple(rows), case.measured.obstacle))


def _accuracy_ignored(case: Case) -> Case:
    """Call a claim attainable whatever becomes of the accuracy."""
    return replace(case, check=None)


@cache
def _some_cases() -> list[tuple[Case, str]]:
    """Return 300 cases with the second judge's verdicts."""
    generator = Generator(seed=11)
    cases = [generator.case() for _ in range(300)]
    return [(case, _second(case)) for case in cases]


@pytest.mark.parametrize(
    "mistake",
    [_ranked_by_reported, _one_edge_only, _missing_ignored, _uncounted_ignored, _noise_ignored, _accuracy_ignored],
)
def test_judge_with_a_planted_mistake_disagrees(mistake: Any) -> None:
    """A judge that makes one of the usual mistakes is noticed among 300 cases."""
    wrong = [case for case, expected in _some_cases() if _judge(mistake(case)).verdict != expected]

    assert len(wrong) >= 3

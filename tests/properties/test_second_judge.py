"""The judge agrees with a second one, written from the design alone, on generated cases.

EDGEAI_JUDGED_CASES sets their number: 100000 takes some minutes.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measured, Measurement, Obstacle
from edgeai_repro.judge.choices import AccuracyCheck
from edgeai_repro.judge.verdict import Verdict, judge
from tests.support.factories import claim, row
from tests.support.second_judge import Rules, farthest_outside, second_opinion

CASES = int(os.environ.get("EDGEAI_JUDGED_CASES", "1500"))
MODELS = ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large", "convnext_atto", "convnext_femto")
SHOWN = "convnext_xlarge"
TARGETS = (0.5, 0.6, 0.7, 0.8)
# Of each kind of metric one: better is higher, better is lower, with and without an actual quantity, a count.
KINDS = ("params_reduction", "size_reduction", "linear_share_params", "macs")
CHANCE_OF_FITTING = 0.6


@dataclass(frozen=True)
class Case:
    """What one judgement is given."""

    claim: Claim
    measured: Measured
    check: AccuracyCheck | None


class Generator:
    """Draws cases from a seed. The band is 9 … 11; values are quarters, so that they often fall on an edge."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def case(self) -> Case:
        """Return the next case."""
        asked = self._claim()
        # Most cases lean to one side, so that all verdicts occur even among many rows.
        lean = self._random.choice((0.1, CHANCE_OF_FITTING, 0.97))
        reported_lean = self._random.choice((lean, 0.1, 0.97))
        rows = [drawn for drawn in self._rows(asked, lean, reported_lean) if not self._chance(0.02)]
        left_out = {model for model in asked.models if self._chance(0.06)}
        rows = [drawn for drawn in rows if drawn.model not in left_out]
        if self._chance(0.2) or not rows:
            rows.append(row(99.0, model=SHOWN, settings={"target": 0.8}))
        self._random.shuffle(rows)
        obstacle = None
        if self._chance(0.02):
            obstacle = Obstacle(self._random.choice(("noise", "edge", "data")), "supply it")
        check = self._check(asked) if asked.choice and self._chance(0.6) else None
        return Case(asked, Measured(tuple(rows), obstacle), check)

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _claim(self) -> Claim:
        models = self._random.sample(MODELS, self._random.randint(1, 6))
        fields: dict[str, Any] = {
            "metric": self._random.choice(KINDS),
            "conditions": {},
            "models": models,
            "also_shown": [SHOWN],
            "quantifier": "named" if len(models) == 1 else self._random.choice(("up_to", "every")),
            "band": {
                "rounding": 1.0,
                "side": self._random.choice(("both", "at_least", "at_most")),
                "derivation": "for the test",
            },
        }
        if self._chance(0.5):
            fields["settings"] = {"target": list(TARGETS[: self._random.randint(1, 4)])}
        if len(fields.get("settings", {}).get("target", [])) > 1 and self._chance(0.7):
            default = self._random.choice(fields["settings"]["target"])
            fields["choice"] = {"name": "target", "default": default, "swept_on": models}
        return claim(**fields)

    def _rows(self, asked: Claim, lean: float, reported_lean: float) -> list[Measurement]:
        has_actual = METRICS[asked.metric].has_actual
        uncertain = self._random.choice((0.0, 0.1, 0.4))
        noisy, reduced, uncounted = (self._random.choice((0.0, 0.0, 0.0, 0.1)) for _ in range(3))
        return [
            row(
                self._ends(reported_lean if has_actual else lean, uncertain),
                self._ends(lean, uncertain) if has_actual else None,
                model=model,
                settings=settings,
                scale="reduced" if self._chance(reduced) else "full",
                uncounted=("aten::stft",) if has_actual and self._chance(uncounted) else (),
                control=self._control(noisy) if self._chance(0.3) else None,
            )
            for model in asked.models
            for settings, _ in asked.variants_for(model)
        ]

    def _ends(self, lean: float, uncertain: float) -> tuple[float, float]:
        inside = self._chance(lean)
        quarters = self._random.randint(36, 44) if inside else self._random.choice((30, 33, 35, 45, 47, 50))
        width = self._random.choice((0.25, 1.0, 2.5)) if self._chance(uncertain) else 0.0
        return quarters / 4 - width, quarters / 4 + width

    def _control(self, noisy: float) -> Interval:
        low, high = self._random.choice(((0.9, 1.0), (1.0, 1.1))) if self._chance(noisy) else (0.95, 1.05)
        return Interval(value=1.0, low=low, high=high)

    def _check(self, asked: Claim) -> AccuracyCheck:
        limit = {"interpretation": 1.0, "side": "at_least", "derivation": "for the test"}
        of_accuracy = claim(
            metric="accuracy_change",
            models=asked.models,
            quantifier="named" if len(asked.models) == 1 else "every",
            value=0.0,
            band=limit,
        )
        keeps, evaluated = self._random.choice((0.1, 0.5, 0.98)), self._random.choice((0.3, 0.98))
        rows = [
            row(
                self._change(keeps),
                model=model,
                settings={"target": target},
                scale="reduced" if self._chance(0.1) else "full",
            )
            for model in asked.models
            for target in asked.values_of("target")
            if self._chance(evaluated)
        ]
        return AccuracyCheck(of_accuracy, tuple(rows))

    def _change(self, keeps: float) -> tuple[float, float]:
        change = self._random.choice((-1.0, 0.5)) if self._chance(keeps) else self._random.choice((-1.25, -3.0))
        width = self._random.choice((0.0, 0.0, 0.5))
        return change - width, change + width


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

"""Draws claims and measurements from a seed, for judges to agree on."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measured, Measurement, Obstacle
from edgeai_repro.judge.choices import AccuracyCheck
from tests.support.factories import claim, row

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

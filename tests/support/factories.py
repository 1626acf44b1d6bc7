"""Claims, rows and claims files for tests: complete defaults; a test overrides only what matters to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from edgeai_repro.claims.schema import Claim, ClaimCase, Paper
from edgeai_repro.evidence.measurement import Interval, Measured, Measurement
from edgeai_repro.judge.choices import AccuracyCheck
from edgeai_repro.judge.verdict import Verdict, judge

PAPER = {"id": "paper", "title": "A Paper", "authors": "A. Author", "year": 2024, "url": "https://example.org"}
TINY, SMALL = "convnext_tiny", "convnext_small"
CHOICE = {"name": "target", "default": 0.8, "swept_on": [TINY]}
AT_32 = {"resolution": [32], "classes": [10]}
ELSEWHERE = ("accuracy", "pretraining", "latency", "speedup")  # metrics of trained and deployed models begin so


def claim_entry(**fields: Any) -> dict[str, Any]:
    """Return a claim as its file has it: exactly 10 ± 1 by the one model; `fields` replace or add.

    Metrics that count networks get CIFAR-10's images and classes, unless the conditions are among the fields.
    """
    counted = not fields.get("metric", "").startswith(ELSEWHERE)
    entry = {
        "id": "a-claim",
        "quote": "it is 10 % smaller",
        "source": "abstract",
        "locator": "sentence 1",
        "printed": "10 %",
        "metric": "params_reduction",
        "technique": "dynamic_quantization",
        "models": ["convnext_tiny"],
        "quantifier": "named",
        "value": 10.0,
        "band": {"rounding": 1.0, "derivation": "for the test"},
        "conditions": AT_32 if counted else {},
        "expect": {"verdict": "reproduced", "reason": "the test says so"},
    }
    return {**entry, **fields}


def claim(**fields: Any) -> Claim:
    """Return `claim_entry` as a claim."""
    return Claim.model_validate(claim_entry(**fields))


def case(claim: Claim, **fields: Any) -> ClaimCase:
    """Return a claim with a paper that contains it only; `fields` replace or add to the paper's."""
    paper = Paper.model_validate(paper_entry(claim.model_dump(), **fields))
    return ClaimCase(paper, claim)


def paper_entry(*claims: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a claims file's document with the given claims; `fields` replace or add."""
    return {"schema_version": 2, "paper": PAPER, "claims": list(claims or [claim_entry()]), **fields}


def paper_yaml(*claims: dict[str, Any], **fields: Any) -> str:
    """Return `paper_entry` as YAML."""
    return yaml.safe_dump(paper_entry(*claims, **fields), sort_keys=False, allow_unicode=True)


def row(
    reported: float | Sequence[float],
    actual: float | Sequence[float] | None = None,
    *,
    model: str = "convnext_tiny",
    **fields: Any,
) -> Measurement:
    """Return a measurement; an interval is one number (exact), or low and high with the value in the middle."""
    return Measurement(
        model=model,
        technique="dynamic_quantization",
        reported=interval(reported),
        actual=None if actual is None else interval(actual),
        **fields,
    )


def judged(claim: Claim, rows: Iterable[Measurement], check: AccuracyCheck | None = None) -> Verdict:
    """Return the verdict on a claim by its rows."""
    return judge(claim, Measured(tuple(rows)), check)


def band(side: str = "both", **fields: Any) -> dict[str, Any]:
    """Return the band 10 ± 1, open on one side or closed on both; `fields` replaces or adds entries."""
    return {"rounding": 1.0, "side": side, "derivation": "for the test", **fields}


def with_choice(**fields: Any) -> Claim:
    """Return `claim` with a choice of the target: 0.5, 0.7 or the default of 0.8."""
    return claim(**{"settings": {"target": [0.5, 0.7, 0.8]}, "choice": CHOICE, **fields})


def swept(*reported: Any, actual: Any = None, model: str = "convnext_tiny") -> list[Measurement]:
    """Return one row of a model at each target of `with_choice`, in their order."""
    targets = (0.5, 0.7, 0.8)
    return [
        row(value, actual, model=model, settings={"target": t}) for value, t in zip(reported, targets, strict=True)
    ]


def interval(given: float | Sequence[float]) -> Interval:
    """Return an interval from one number (exact), or from low and high with the value in the middle."""
    if isinstance(given, int | float):
        return Interval.exact(given)
    low, high = given
    return Interval(value=(low + high) / 2, low=low, high=high)

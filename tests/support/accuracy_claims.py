"""Claims about accuracy, records of trained runs for them, and the rows that they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.evidence.trained_run import TrainedRun
from edgeai_repro.evidence.training_record import TrainingRecord
from edgeai_repro.training.comparable_runs import ComparableRuns
from edgeai_repro.training.trained_models import recorded_evaluation
from tests.support.factories import claim
from tests.support.records import FULL_SCALE, evaluated, record

WEIGHTS = "weights.safetensors"  # as the start of a run: the weights of another run
CHANGE: dict[str, Any] = {
    "metric": "accuracy_change",
    "technique": "combined",
    "models": ["convnext_small"],
    "value": 0.0,
    "band": {"rounding": 0.0, "tolerance": 1.0, "side": "at_least", "derivation": "for the test"},
    "settings": {"target": [0.8]},
    "needs": ["data", "weights"],
}
GAIN = claim(**{**CHANGE, "metric": "pretraining_gain", "technique": "structured_pruning"})
TREND = claim(
    **{
        **CHANGE,
        "metric": "accuracy_trend",
        "technique": "unstructured_pruning",
        "value": 1.0,
        "settings": {"sparsity": [0.1, 0.5, 0.9]},
    }
)


def change_claim(**fields: Any) -> Claim:
    """Return a claim about the change of accuracy by pruning and quantization; `fields` replaces entries."""
    return claim(**{**CHANGE, **fields})


def rows_of(claim: Claim, **records: TrainingRecord) -> list[Measurement]:
    """Return the rows of a claim from recorded runs with these names, in the order of the names."""
    groups: dict[Any, list[TrainedRun]] = {}
    for name, training_record in sorted(records.items()):
        run = TrainedRun(name, Path(name), training_record)
        groups.setdefault(run.comparison_key, []).append(run)
    return [
        row
        for runs in groups.values()
        for row in ComparableRuns(runs, "recorded", recorded_evaluation).rows(claim, FULL_SCALE)
    ]


def swept_run(*counts: int, sparsities: tuple[float, ...] = (0.1, 0.5, 0.9), **recipe: Any) -> TrainingRecord:
    """Return the record of a dense model that was also evaluated after pruning to some sparsities."""
    sweep = [
        evaluated("unstructured_pruning", count, sparsity=sparsity)
        for count, sparsity in zip(counts, sparsities, strict=True)
    ]
    return record(evaluated("none", 900), *sweep, **recipe)


def finetuned_run(count: int, sparsity: float, **recipe: Any) -> TrainingRecord:
    """Return the record of a model that was pruned to a sparsity and fine-tuned for one epoch."""
    evaluation = evaluated("unstructured_pruning", count, sparsity=sparsity)
    return record(evaluation, **{"unstructured": sparsity, "epochs": 1, "lr": 5e-4, "init": WEIGHTS, **recipe})

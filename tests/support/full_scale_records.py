"""Training records at full scale, by the accuracies that they contain."""

from __future__ import annotations

from typing import Any

from edgeai_repro.evidence.training_record import TrainingRecord
from tests.support.records import FULL, evaluated, record

IMAGES = 10_000  # as in CIFAR-10's test split, so that the intervals are those of real runs


def full_scale(top1: float, compressed: float, target: float = 0.8, **recipe: Any) -> dict[str, TrainingRecord]:
    """Return the records of a dense and of a pruned run at full scale; `recipe` replaces entries.

    The top-1 accuracies are those of the dense and of the pruned model, in percent. int8 changes nothing.
    """
    dense, pruned = (round(IMAGES * percent / 100) for percent in (top1, compressed))
    return {
        "dense": record(evaluated("none", dense, images=IMAGES), **{**FULL, **recipe}),
        f"target-{target}": record(
            *(evaluated(name, pruned, images=IMAGES, target=target) for name in ("structured_pruning", "combined")),
            structured=target,
            **{**FULL, **recipe},
        ),
    }


def full_scale_sweep(*top1: float) -> dict[str, TrainingRecord]:
    """Return the record of a dense ConvNeXt-Tiny with its top-1 at sparsities of 0.1, 0.2, 0.3 …"""
    evaluations = [
        evaluated("unstructured_pruning", round(IMAGES * percent / 100), images=IMAGES, sparsity=tenths / 10)
        for tenths, percent in enumerate(top1, start=1)
    ]
    recipe = {**FULL, "model": "convnext_tiny"}
    return {"dense": record(evaluated("none", 9200, images=IMAGES), *evaluations, **recipe)}


def full_scale_starts(scratch: float, pretrained: float) -> dict[str, TrainingRecord]:
    """Return the records of two pruned runs, from scratch and from the paper's start, by their top-1."""
    return {
        "scratch": full_scale(92.0, scratch, init="scratch")["target-0.8"],
        "pretrained": full_scale(92.0, pretrained)["target-0.8"],
    }

"""Records of training runs for tests: what of the recipe matters, and how many images were right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.claims.schema import FullScale, Paper
from edgeai_repro.evidence.measurement import Environment
from edgeai_repro.evidence.store import add_training_record
from edgeai_repro.evidence.training_record import RESULT, Evaluation, TrainingRecord
from edgeai_repro.training.recipe import Recipe
from tests.support.factories import paper_entry

IMAGES = 1000  # of the test split where a test doesn't say: one image is 0.1 points
FULL_SCALE = FullScale(init="imagenet", epochs=30, resolution=32, stem_stride=4)
FULL: dict[str, Any] = {"model": "convnext_small", "epochs": 30, "stem_stride": 4, "init": "imagenet"}
HERE = Environment(python="3.11", machine="x86_64", cpu="cpu", cores=2, versions={})


def right(count: int, images: int = IMAGES) -> NDArray[np.bool_]:
    """Return which images were right: the first `count`."""
    return np.arange(images) < count


def evaluated(technique: str, count: int, *, images: int = IMAGES, **params: float) -> Evaluation:
    """Return an evaluation in which the first `count` images were right."""
    return Evaluation.of(technique, right(count, images), **params)


def record(*evaluations: Evaluation, test_split: str = "test", **recipe: Any) -> TrainingRecord:
    """Return a run's record: a small model, 12 epochs from scratch; `recipe` replaces or adds."""
    made = Recipe("convnext_atto", epochs=12, stem_stride=2).as_dict() | recipe
    return TrainingRecord(
        recipe=made,
        precision="fp32",
        command="edgeai-repro train",
        commit="0" * 40,
        environment=HERE,
        curve=(),
        seconds=100.0,
        hidden_widths=(8,) * 12,
        weights_sha256="0" * 64,
        init_sha256=None,
        data_sha256={"train": "train", "test": test_split},
        evaluations=evaluations,
    )


def dense(count: int, **recipe: Any) -> TrainingRecord:
    """Return the record of a dense model."""
    return record(evaluated("none", count), **recipe)


def pruned(count: int, target: float = 0.8, int8: int | None = None, **recipe: Any) -> TrainingRecord:
    """Return the record of a model pruned while it trained; `int8` of its images are right once quantized."""
    forms = [
        evaluated("structured_pruning", count, target=target),
        evaluated("combined", count if int8 is None else int8, target=target),
    ]
    return record(*forms, structured=target, **recipe)


def keep(folder: Path, **records: TrainingRecord) -> Path:
    """Keep records as evidence in a folder, under their names, as `edgeai-repro evidence add` does."""
    for name, kept in records.items():
        run = folder.parent / f"run-{name}"
        run.mkdir(parents=True, exist_ok=True)
        (run / RESULT).write_text(kept.model_dump_json(), encoding="utf-8")
        add_training_record(run / RESULT, folder, name)
    return folder


def paper(*claims: dict[str, Any]) -> Paper:
    """Return a paper of these claims, which asks for runs of `FULL`."""
    return Paper.model_validate(paper_entry(*claims, full_scale=FULL_SCALE.model_dump()))

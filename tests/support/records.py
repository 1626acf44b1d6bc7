"""Training records for tests: complete defaults; a test overrides only the entries that matter to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.claims.paper_info import FullScale
from edgeai_repro.claims.schema import Claim, ClaimCase
from edgeai_repro.evidence.measurement import Environment
from edgeai_repro.evidence.store import add_training_record
from edgeai_repro.evidence.training_record import RESULT, Evaluation, TrainingRecord
from edgeai_repro.training.recipe import Recipe
from tests.support.factories import case

IMAGES = 1000  # size of the test split by default, so that one image is 0.1 points
FULL_SCALE = FullScale(init="imagenet", epochs=30, resolution=32, stem_stride=4)
# The entries of a recipe at full scale.
FULL: dict[str, Any] = {"model": "convnext_small", "epochs": 30, "stem_stride": 4, "init": "imagenet"}
ENVIRONMENT = Environment(python="3.11", machine="x86_64", cpu="cpu", cores=2, versions={})


def right(count: int, images: int = IMAGES) -> NDArray[np.bool_]:
    """Return the correctness of each image, bool (images,): the first `count` are right."""
    return np.arange(images) < count


def evaluated(technique: str, count: int, *, images: int = IMAGES, **settings: float) -> Evaluation:
    """Return an evaluation of a technique in which the first `count` images are right."""
    return Evaluation.of(technique, right(count, images), **settings)


def record(*evaluations: Evaluation, test_split: str = "test", **recipe: Any) -> TrainingRecord:
    """Return the record of a run: convnext_atto, 12 epochs from scratch; `recipe` replaces or adds entries."""
    return TrainingRecord(
        recipe=Recipe("convnext_atto", epochs=12, stem_stride=2).as_dict() | recipe,
        precision="fp32",
        command="edgeai-repro train",
        commit="0" * 40,
        environment=ENVIRONMENT,
        curve=(),
        seconds=100.0,
        hidden_widths=(8,) * 12,
        weights_sha256="0" * 64,
        init_sha256=None,
        data_sha256={"train": "train", "test": test_split},
        evaluations=evaluations,
    )


def dense(count: int, **recipe: Any) -> TrainingRecord:
    """Return the record of an uncompressed model with `count` images right."""
    return record(evaluated("none", count), **recipe)


def pruned(count: int, target: float = 0.8, int8: int | None = None, **recipe: Any) -> TrainingRecord:
    """Return the record of a model pruned during training; `int8` images are right when it is quantized, too."""
    return record(
        evaluated("structured_pruning", count, target=target),
        evaluated("combined", count if int8 is None else int8, target=target),
        structured=target,
        **recipe,
    )


def keep(folder: Path, **records: TrainingRecord) -> Path:
    """Add records to an evidence folder under their names, as `edgeai-repro evidence add` does; return it."""
    for name, training_record in records.items():
        run = folder.parent / f"run-{name}"
        run.mkdir(parents=True, exist_ok=True)
        (run / RESULT).write_text(training_record.model_dump_json(), encoding="utf-8")
        add_training_record(run / RESULT, folder, name)
    return folder


def trained_case(claim: Claim) -> ClaimCase:
    """Return a claim with a paper whose full scale is `FULL_SCALE`."""
    return case(claim, full_scale=FULL_SCALE.model_dump())

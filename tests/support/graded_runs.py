"""Three trained runs with random weights on disk, and their records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from edgeai_repro.checksums import sha256
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.data import cifar
from edgeai_repro.evidence.trained_run import TrainedRun
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS, load_record
from edgeai_repro.networks import convnext
from edgeai_repro.training.recipe import Recipe
from edgeai_repro.training.train import evaluations
from tests.support.helpers import awaken
from tests.support.records import record

ATTO = Recipe("convnext_atto", epochs=30)
NARROW = [40, 40, 80, 80, *[160] * 6, 320, 320]  # a quarter of the hidden widths
SPARSITY = 0.5


def write_runs(root: Path, images: Path) -> Path:
    """Write three runs with random weights: dense, with narrow MLPs, and with zero weights. Return their folder."""
    dense = awaken(convnext.build("convnext_atto", seed=1), seed=1)
    narrow = awaken(convnext.build("convnext_atto", hidden_widths=NARROW, seed=2), seed=2)
    _save_run(root / "dense", images, dense, ATTO, sparsities=[SPARSITY])
    _save_run(root / "narrow", images, narrow, replace(ATTO, structured=0.8))
    finetuned = replace(ATTO, unstructured=SPARSITY, init=str(root / "dense" / WEIGHTS))
    _save_run(root / "zeros", images, prune(dense, SPARSITY), finetuned)
    return root


def _save_run(
    folder: Path, images: Path, model: nn.Module, recipe: Recipe, sparsities: Sequence[float] = ()
) -> None:
    """Write the weights and the record of a run, as if it had started from ImageNet's weights."""
    folder.mkdir()
    save_file(model.state_dict(), folder / WEIGHTS)
    recorded = evaluations(model, recipe, cifar.load_split(images, "test"), sparsities)
    training_record = record(*recorded, **{**recipe.as_dict(), "init": "imagenet"}).model_copy(
        update={"hidden_widths": convnext.hidden_widths(model), "weights_sha256": sha256(folder / WEIGHTS)}
    )
    (folder / RESULT).write_text(training_record.model_dump_json(), encoding="utf-8")


def run_in(folder: Path) -> TrainedRun:
    """Return the run that a folder contains."""
    return TrainedRun(folder.name, folder, load_record(folder / RESULT))

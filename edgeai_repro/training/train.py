"""Trains a network, evaluates it with every technique that its recipe allows, and writes its weights and record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from safetensors.torch import save
from torch import nn

from edgeai_repro.checksums import sha256
from edgeai_repro.compress.quantization import has_static, quantize, static
from edgeai_repro.compress.unstructured import sweep
from edgeai_repro.data.cifar import Split
from edgeai_repro.data.transforms import normalise
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.training_record import WEIGHTS, Evaluation, Point, TrainingRecord, write_record
from edgeai_repro.files import atomic_write
from edgeai_repro.measure.accuracy import evaluate
from edgeai_repro.networks import cifar, convnext
from edgeai_repro.training.initial_weights import start
from edgeai_repro.training.progress import Report
from edgeai_repro.training.recipe import Recipe
from edgeai_repro.training.trainer import Trainer

FILTER_PRUNING, FILTER_PRUNING_INT8 = "filter_pruning", "filter_pruning_int8"
CALIBRATION_IMAGES = 128  # of static quantization


def train(
    recipe: Recipe, folder: Path, out: Path, *, command: str, sparsities: Sequence[float] = ()
) -> TrainingRecord:
    """Do as `train_without_record`, with a progress bar on a terminal, and write the record to `out`."""
    record = train_without_record(recipe, folder, out, command=command, sparsities=sparsities)
    write_record(record, out)
    return record


def train_without_record(
    recipe: Recipe,
    folder: Path,
    out: Path,
    *,
    command: str,
    sparsities: Sequence[float] = (),
    report: Report | None = None,
) -> TrainingRecord:
    """Train a network by `recipe` on the data under `folder`, or resume the run in `out`, and return its record.

    Writes `weights.safetensors` (of the smaller network, if it was pruned) and the last checkpoint to `out`. A
    dense network is also evaluated at the unstructured `sparsities`. `command` is recorded: it repeats the run.
    `report` is called at the start and after each epoch; without it, a terminal shows a progress bar. Raises
    UserError if the loss is not finite, if the checkpoint is damaged or belongs to another run, and if `out` can't
    be written. Raises MissingRequirement if the data are missing.
    """
    made_by = environment.commit(Path(__file__).parent)  # at the start: files may change while training runs
    trainer = Trainer(recipe, folder, out)
    trainer.run(report)
    model = trainer.result().cpu()
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with atomic_write(out / WEIGHTS) as file:
        file.write(save(state))
    splits = {"train": trainer.train_split, "test": trainer.test_split}
    return TrainingRecord(
        recipe=recipe.as_dict(),
        precision=trainer.precision,
        command=command,
        commit=made_by,
        environment=environment.describe(),
        curve=tuple(Point.model_validate(point) for point in trainer.curve),
        seconds=trainer.seconds,
        hidden_widths=convnext.hidden_widths(model) if recipe.is_convnext else cifar.widths(model),
        weights_sha256=sha256(out / WEIGHTS),
        init_sha256=trainer.started.init_sha256,
        data_sha256={name: split.sha256 for name, split in splits.items() if split is not None},
        evaluations=evaluations(model, recipe, trainer.test_split, sparsities, trainer.train_split),
    )


def evaluations(
    model: nn.Module,
    recipe: Recipe,
    split: Split | None,
    sparsities: Sequence[float] = (),
    train_split: Split | None = None,
) -> tuple[Evaluation, ...]:
    """Return the evaluations of a trained network on `split`: unchanged, and dynamically quantized.

    A dense network is also evaluated at each of the unstructured `sparsities`, without fine-tuning. A network whose
    filters were removed is also evaluated before the removal and before the retraining, and after it in int8,
    calibrated on the first images of `train_split`, if there is one and this torch has static quantization.
    """
    if split is None:
        return ()
    return tuple(
        Evaluation.of(name, evaluate(form, split, resolution=recipe.resolution).correct, **params)
        for name, params, form in _forms(model, recipe, split.classes, sparsities, train_split)
    )


def _forms(
    model: nn.Module, recipe: Recipe, classes: int, sparsities: Sequence[float], train_split: Split | None
) -> Iterator[tuple[str, dict[str, float | str], nn.Module]]:
    """Yield the name of a technique, its settings, and the trained network compressed by it."""
    if recipe.filters is not None:
        yield from _filter_forms(model, recipe, classes, train_split)
    elif recipe.structured is not None:
        target: dict[str, float | str] = {"target": recipe.structured}
        yield "structured_pruning", target, model
        yield "combined", target, quantize(model)
    elif recipe.unstructured is not None:
        yield "unstructured_pruning", {"sparsity": recipe.unstructured}, model
    else:
        yield "none", {}, model
        yield "dynamic_quantization", {}, quantize(model)
        for sparsity, pruned in sweep(model, sparsities):
            yield "unstructured_pruning", {"sparsity": sparsity}, pruned


def _filter_forms(
    model: nn.Module, recipe: Recipe, classes: int, train_split: Split | None
) -> Iterator[tuple[str, dict[str, float | str], nn.Module]]:
    """Yield the network before filter pruning, after it, retrained, and in int8; from scratch only the last two."""
    cut: dict[str, float | str] = {"plan": recipe.plan or str(recipe.filters), "ranking": recipe.ranking}
    initial = start(recipe, classes)
    if initial.unpruned is not None:
        yield "none", {}, initial.unpruned
        yield FILTER_PRUNING, {**cut, "retraining": "none"}, initial.model
    trained = {**cut, "retraining": "scratch" if initial.unpruned is None else "finetuned"}
    yield FILTER_PRUNING, trained, model
    if train_split is not None and has_static():
        images = normalise(train_split.images[:CALIBRATION_IMAGES], recipe.resolution)
        yield FILTER_PRUNING_INT8, trained, static().quantize(model, [images])

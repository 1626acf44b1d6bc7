"""`edgeai-repro train` and `evaluate`: train models on CIFAR-10, and evaluate saved ones."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

HELP_RECIPE = "A recipe of claims/training/*.yaml, li2017-retrain for one; options given too replace its values."
HELP_INIT = "scratch, imagenet (torchvision's weights), or a safetensors state_dict of the unpruned model."


def train(
    model: Annotated[
        str,
        typer.Argument(metavar="NETWORK", help="convnext_atto, convnext_tiny, …, resnet20, …, vgg16_cifar"),
    ],
    recipe: Annotated[str | None, typer.Option(help=HELP_RECIPE)] = None,
    plan: Annotated[
        str | None, typer.Option(help="Cut filters by this plan of claims/training/*.yaml, then train.")
    ] = None,
    ranking: Annotated[
        str, typer.Option(help="Filters to cut: l1 (the smallest norms), random or largest.")
    ] = "l1",
    widths: Annotated[
        str | None, typer.Option(help="Filters of each convolution, or of each block: 32,64,…")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training images (default: the recipe's, or 30).")
    ] = None,
    structured: Annotated[
        float | None, typer.Option(help="Prune this share of the hidden channels with OTOv3 during training.")
    ] = None,
    unstructured: Annotated[
        float | None, typer.Option(help="Fine-tune with this share of the weights set to zero.")
    ] = None,
    init: Annotated[str, typer.Option(help=HELP_INIT)] = "scratch",
    resolution: Annotated[int, typer.Option(help="Side of the input in pixels; images are resized to it.")] = 32,
    stem_stride: Annotated[int, typer.Option(help="Stride and kernel size of the stem.")] = 4,
    batch_size: Annotated[int | None, typer.Option(help="Images per step (default: the recipe's, or 128).")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate (default: the recipe's, or 0.002).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the weights, the order and the augmentation.")] = 0,
    dataset: Annotated[str, typer.Option(help="cifar10 or cifar100_pool.")] = "cifar10",
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    sweep: Annotated[
        bool, typer.Option(help="Also evaluate unstructured pruning at sparsities of 10 to 90 %.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the run (default: under EDGEAI_MODELS).")] = None,
) -> None:
    """Train a network on the data in EDGEAI_DATA. An interrupted run continues if started again.

    The run's folder gets the weights, a checkpoint and the record (result.json).

    Examples: edgeai-repro train convnext_small --init=imagenet --structured=0.8,
    edgeai-repro train resnet56 --recipe=li2017-retrain --plan=li2017-resnet56-b --init=resnet56.safetensors
    """
    from edgeai_repro.compress.saved_models import default_root
    from edgeai_repro.data.cifar import data_folder
    from edgeai_repro.training.options import TrainOptions, run_name
    from edgeai_repro.training.train import train as run_training

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    options = TrainOptions(
        recipe=recipe,
        plan=plan,
        ranking=ranking,
        widths=widths,
        epochs=epochs,
        structured=structured,
        unstructured=unstructured,
        init=init,
        resolution=resolution,
        stem_stride=stem_stride,
        batch_size=batch_size,
        lr=lr,
        dataset=dataset,
        precision=precision,
        sweep=sweep,
    )
    made = options.recipe_for(model, seed)
    data = data_folder()
    out = default_root() / run_name(made) if out is None else out
    command = " ".join(["edgeai-repro", *sys.argv[1:]])
    record = run_training(made, data, out, command=command, sparsities=options.sparsities)
    for evaluation in record.evaluations:
        settings = dict(evaluation.settings) or ""
        typer.echo(f"{evaluation.technique} {settings}: {evaluation.top1:.2f} % of {evaluation.n}")
    typer.echo(out)


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="a saved model: a folder with model.json")],
) -> None:
    """Evaluate a saved model on CIFAR-10's test images.

    Prints its top-1 accuracy with Wilson's 95 % interval.

    Example: edgeai-repro evaluate evidence/models/convnext_atto--combined--…
    """
    from edgeai_repro.compress import saved_models
    from edgeai_repro.data.cifar import data_folder, load_split
    from edgeai_repro.evidence.statistics import wilson
    from edgeai_repro.measure.accuracy import BATCH
    from edgeai_repro.measure.accuracy import evaluate as evaluate_model
    from edgeai_repro.report import console

    saved = saved_models.read(folder)
    model = saved_models.load(folder)
    split = load_split(data_folder(), "test")
    with console.progress(saved.model, -(-len(split) // BATCH)) as step:
        result = evaluate_model(model, split, resolution=saved.resolution, on_progress=step)
    top1, images = wilson(result.successes, len(result.correct)), len(result.correct)
    typer.echo(f"{folder.resolve().name}: {top1.value:.2f} % [{top1.low:.2f}, {top1.high:.2f}] of {images}")

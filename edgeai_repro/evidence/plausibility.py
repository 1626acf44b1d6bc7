"""Checks whether a training record that someone hands in is consistent, and looks like the work of a network.

A bitmap cannot prove that a network was trained. But its accuracy must be that of the learning curve, and its right
answers must differ by class: every network finds cats harder than ships. A bitmap that was drawn at random, or that
has another order than the test split, does not show that. This check needs CIFAR-10's test labels and is left out
without them. No torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.data.cifar import data_folder, load_arrays
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence.training_record import Evaluation, TrainingRecord

IMAGES, CLASSES = 10_000, 10
TOLERANCE = 1.0  # points: the curve may be in bf16, in which some images change sides
LEAST_CHI_SQUARE = 27.9  # with 9 degrees of freedom, equal classes exceed it in one of 1000 bitmaps
UNPRUNED = "none"
Labels = NDArray[np.uint8]


def check_plausible(record: TrainingRecord, labels: Labels | None = None) -> None:
    """Raise UserError, in one line, for the first part of a CIFAR-10 record that does not fit the rest.

    `labels` are the classes of the test images; without them the right answers are not compared by class. Records
    of other data sets and of runs without a test split pass.
    """
    if record.recipe["dataset"] != "cifar10":
        return
    for evaluation in record.evaluations:
        if evaluation.n != IMAGES:
            raise UserError(
                f"{evaluation.technique!r} must be evaluated on CIFAR-10's {IMAGES} test images "
                f"(got {evaluation.n}); evaluate all of them"
            )
        if labels is not None:
            _check_classes(evaluation, labels)
    epochs = [point.epoch for point in record.curve]
    if epochs != list(range(1, len(epochs) + 1)) or len(epochs) != record.recipe["epochs"]:
        raise UserError(
            f"'curve' must have the recipe's {record.recipe['epochs']} epochs in order (got {len(epochs)}); "
            "hand in the whole record of a finished run"
        )
    _check_curve(record)


def _check_curve(record: TrainingRecord) -> None:
    trained = trained_evaluation(record)
    last = record.curve[-1].test_top1
    if trained is None or last is None:
        return
    if abs(trained.top1 - last) > TOLERANCE:
        raise UserError(
            f"the accuracy of the bitmap must be that of the last epoch, {last:.2f} % (got {trained.top1:.2f} %); "
            "hand in the record as the run wrote it"
        )


def _check_classes(evaluation: Evaluation, labels: Labels) -> None:
    right = np.bincount(labels[evaluation.bits()], minlength=CLASSES).astype(float)
    share = evaluation.successes / evaluation.n
    if not 0 < share < 1:
        return
    expected = np.bincount(labels, minlength=CLASSES) * share
    chi_square = float((((right - expected) ** 2) / (expected * (1 - share))).sum())
    if chi_square < LEAST_CHI_SQUARE:
        raise UserError(
            f"the right answers of {evaluation.technique!r} must differ by class, as those of every network do "
            f"(got {int(right.min())} to {int(right.max())} of 1000); check that the bitmap is in the split's order"
        )


def trained_evaluation(record: TrainingRecord) -> Evaluation | None:
    """Return the evaluation of the network as the last epoch left it; None if the record has none."""
    recipe = record.recipe
    technique = UNPRUNED
    if recipe.get("filters") is not None:
        technique = "filter_pruning"
    elif recipe["structured"] is not None:
        technique = "structured_pruning"
    elif recipe["unstructured"] is not None:
        technique = "unstructured_pruning"
    for evaluation in record.evaluations:
        if evaluation.technique == technique and evaluation.settings.get("retraining") != "none":
            return evaluation
    return None


def cifar10_test_labels() -> Labels | None:
    """Return the classes of CIFAR-10's test images in the split's order, uint8 (10000,); None without the data."""
    try:
        return load_arrays(data_folder(), "test")[1]
    except MissingRequirement:
        return None

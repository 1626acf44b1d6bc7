"""Checks of a training record that someone hands in: do its parts fit each other, and does it look like a network?

A bitmap cannot prove that a network was trained. But its accuracy must be that of the learning curve, and its right
answers must differ by class: every network finds cats harder than ships, and a bitmap that was drawn at random, or
is in another order than the test split, does not show that. No torch, and no data but CIFAR-10's test labels.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.training_record import Evaluation, TrainingRecord

IMAGES, CLASSES = 10_000, 10
TOLERANCE = 1.0  # points: the curve may be in bf16, in which some images change sides
LEAST_CHI_SQUARE = 27.9  # with 9 degrees of freedom, equal classes exceed it in one of 1000 bitmaps
UNPRUNED = "none"


def check_plausible(record: TrainingRecord) -> None:
    """Raise UserError, in one line, for the first thing in a CIFAR-10 record that does not fit the rest.

    Records of other data sets and of runs without a test split pass.
    """
    if record.recipe["dataset"] != "cifar10":
        return
    for evaluation in record.evaluations:
        if evaluation.n != IMAGES:
            raise UserError(
                f"{evaluation.technique!r} must be evaluated on CIFAR-10's {IMAGES} test images "
                f"(got {evaluation.n}); evaluate all of them"
            )
        _check_classes(evaluation)
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


def _check_classes(evaluation: Evaluation) -> None:
    right = np.bincount(cifar10_test_labels()[evaluation.bits()], minlength=CLASSES).astype(float)
    share = evaluation.successes / evaluation.n
    if not 0 < share < 1:
        return
    expected = np.bincount(cifar10_test_labels(), minlength=CLASSES) * share
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


@cache
def cifar10_test_labels() -> NDArray[np.uint8]:
    """Return the classes of CIFAR-10's test images in the split's order, uint8 (10000,)."""
    text = resources.files("edgeai_repro.evidence").joinpath("cifar10_test_labels.txt").read_text(encoding="ascii")
    return np.frombuffer(text.replace("\n", "").encode(), np.uint8) - ord("0")

"""A record that someone hands in must fit itself; the refusal says in one line what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.plausibility import check_plausible, cifar10_test_labels
from edgeai_repro.evidence.store import read_folder
from edgeai_repro.evidence.training_record import Evaluation, TrainingRecord, load_record

EVIDENCE = Path(__file__).parents[2] / "evidence"


@pytest.fixture
def record() -> TrainingRecord:
    """Return a record of this repository."""
    return load_record(EVIDENCE / "tiny-dense-s0.json")


def _with_bits(record: TrainingRecord, bits: np.ndarray[Any, np.dtype[np.bool_]]) -> TrainingRecord:
    """Return the record with another bitmap of its first technique."""
    first, *rest = record.evaluations
    changed = Evaluation.of(first.technique, bits, **first.settings)
    return record.model_copy(update={"evaluations": (changed, *rest)})


@pytest.mark.parametrize("name", read_folder(EVIDENCE))
def test_the_records_of_this_repository_are_plausible(name: str) -> None:
    """What real networks wrote passes, from an accuracy of 10 % on."""
    check_plausible(read_folder(EVIDENCE)[name])


def test_the_labels_are_balanced() -> None:
    """CIFAR-10's test split has 1000 images of each class."""
    assert np.bincount(cifar10_test_labels()).tolist() == [1000] * 10


def test_a_bitmap_drawn_at_random_is_refused(record: TrainingRecord) -> None:
    """As many right answers, at random places: no class is harder than another."""
    right = record.evaluations[0].successes
    bits = np.random.default_rng(0).permutation(np.arange(10_000) < right)

    with pytest.raises(UserError, match="the right answers of 'none' must differ by class"):
        check_plausible(_with_bits(record, bits))


def test_a_bitmap_in_another_order_is_refused(record: TrainingRecord) -> None:
    """The true answers, shuffled, are as good as drawn."""
    bits = np.random.default_rng(0).permutation(record.evaluations[0].bits())

    with pytest.raises(UserError, match="check that the bitmap is in the split's order"):
        check_plausible(_with_bits(record, bits))


def test_an_accuracy_off_the_curve_is_refused(record: TrainingRecord) -> None:
    """Some hundred wrong answers turned right make a better accuracy than the last epoch's."""
    bits = record.evaluations[0].bits().copy()
    bits[np.flatnonzero(~bits)[:300]] = True

    with pytest.raises(UserError, match=r"must be that of the last epoch, 56.24 % \(got 59.22 %\)"):
        check_plausible(_with_bits(record, bits))


def test_another_number_of_images_is_refused(record: TrainingRecord) -> None:
    """An evaluation on a part of the test images is none on all."""
    with pytest.raises(UserError, match=r"must be evaluated on CIFAR-10's 10000 test images \(got 9000\)"):
        check_plausible(_with_bits(record, record.evaluations[0].bits()[:9000]))


def test_a_curve_of_fewer_epochs_is_refused(record: TrainingRecord) -> None:
    """A run that was cut short is no run of its recipe."""
    with pytest.raises(UserError, match=r"'curve' must have the recipe's 4 epochs in order \(got 3\)"):
        check_plausible(record.model_copy(update={"curve": record.curve[:3]}))


def test_other_data_sets_pass(record: TrainingRecord) -> None:
    """The labels are CIFAR-10's, so nothing is known of another data set."""
    check_plausible(record.model_copy(update={"recipe": {**record.recipe, "dataset": "other"}, "curve": ()}))

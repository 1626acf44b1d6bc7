"""A record that someone hands in must fit itself; the refusal says in one line what does not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_repro.errors import UserError
from edgeai_repro.evidence.plausibility import check_plausible, cifar10_test_labels
from edgeai_repro.evidence.store import read_folder
from edgeai_repro.evidence.training_record import Evaluation, TrainingRecord, load_record

EVIDENCE = Path(__file__).parents[2] / "evidence"
LABELS = np.repeat(np.arange(10, dtype=np.uint8), 1000)


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
    """Records of real networks pass, from an accuracy of 10 % on; by class, too, if the test labels are here."""
    check_plausible(read_folder(EVIDENCE)[name], cifar10_test_labels())


def test_the_labels_are_known_only_with_the_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without CIFAR-10 the right answers are not compared by class."""
    monkeypatch.setenv("EDGEAI_DATA", str(tmp_path))

    assert cifar10_test_labels() is None


def test_bitmap_that_finds_one_class_harder_passes(record: TrainingRecord) -> None:
    """The control: the wrong answers lie in some classes more than in others."""
    first = record.evaluations[0]
    bitmap = Evaluation.of(first.technique, np.arange(10_000) < first.successes)

    check_plausible(record.model_copy(update={"evaluations": (bitmap,)}), LABELS)


def test_a_bitmap_drawn_at_random_is_refused(record: TrainingRecord) -> None:
    """As many right answers, at random places: no class is harder than another."""
    right = record.evaluations[0].successes
    bits = np.random.default_rng(0).permutation(np.arange(10_000) < right)

    with pytest.raises(UserError, match="the right answers of 'none' must differ by class"):
        check_plausible(_with_bits(record, bits), LABELS)


@pytest.mark.skipif("EDGEAI_DATA" not in os.environ, reason="EDGEAI_DATA names no folder with CIFAR-10")
def test_a_bitmap_in_another_order_is_refused(record: TrainingRecord) -> None:
    """The true answers in a random order are as good as drawn."""
    bits = np.random.default_rng(0).permutation(record.evaluations[0].bits())

    with pytest.raises(UserError, match="check that the bitmap is in the split's order"):
        check_plausible(_with_bits(record, bits), cifar10_test_labels())


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

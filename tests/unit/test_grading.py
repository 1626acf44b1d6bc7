"""Weights on disk, compressed and evaluated live, give the predictions that their training run recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from edgeai_repro.checksums import sha256
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.measurement import Settings
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS, TrainingRecord, load_record
from edgeai_repro.networks import convnext
from edgeai_repro.training import grading
from edgeai_repro.training.grading import LiveEvaluator
from edgeai_repro.training.trained_models import TrainedModels, live_runs, recorded_evaluation
from tests.support import small_cifar
from tests.support.factories import claim
from tests.support.graded_runs import NARROW, SPARSITY, run_in, write_runs
from tests.support.records import keep, record, trained_case

pytestmark = pytest.mark.usefixtures("one_thread")
CLAIM = claim(
    metric="accuracy_change",
    technique="combined",
    models=["convnext_atto"],
    value=0.0,
    band={"rounding": 100.0, "derivation": "for the test"},
    settings={"target": [0.8]},
    needs=["data", "weights"],
)


@pytest.fixture(scope="module")
def models(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of three runs with random weights: dense, with narrow MLPs, and with zero weights."""
    return write_runs(tmp_path_factory.mktemp("models"), images)


def _correct(evaluator: LiveEvaluator, run: Path, technique: str, settings: Settings) -> NDArray[np.bool_]:
    """Return the correctness of each image for a technique that the run has."""
    correct = evaluator(run_in(run), technique, settings)
    assert correct is not None
    return correct


def _records(models: Path) -> dict[str, TrainingRecord]:
    """Return the records of the dense and the narrow run."""
    return {name: load_record(models / name / RESULT) for name in ("dense", "narrow")}


EVALUATED: list[tuple[str, str, Settings]] = [
    ("dense", "none", {}),
    ("dense", "dynamic_quantization", {}),
    ("dense", "unstructured_pruning", {"sparsity": SPARSITY}),
    ("narrow", "structured_pruning", {"target": 0.8}),
    ("narrow", "combined", {"target": 0.8}),
    ("zeros", "unstructured_pruning", {"sparsity": SPARSITY}),
]
NOT_EVALUATED: list[tuple[str, str, Settings]] = [
    ("dense", "structured_pruning", {"target": 0.8}),
    ("dense", "combined", {"target": 0.8}),
    ("narrow", "none", {}),
    ("narrow", "dynamic_quantization", {}),
    ("narrow", "structured_pruning", {"target": 0.5}),
    ("narrow", "combined", {"target": 0.5}),
    ("narrow", "unstructured_pruning", {"sparsity": SPARSITY}),
    ("zeros", "none", {}),
    ("zeros", "unstructured_pruning", {"sparsity": 0.9}),
]


@pytest.mark.parametrize(("name", "technique", "settings"), EVALUATED)
def test_live_evaluation_gives_the_recorded_predictions(
    images: Path, models: Path, name: str, technique: str, settings: Settings
) -> None:
    """Weights that are read and compressed again get the same images right."""
    live = _correct(LiveEvaluator(images), models / name, technique, settings)

    recorded = recorded_evaluation(run_in(models / name), technique, settings)
    assert recorded is not None
    assert np.array_equal(live, recorded)


def test_two_models_get_different_images_right(images: Path, models: Path) -> None:
    """This is the control of the test above: equal predictions are no accident."""
    evaluator = LiveEvaluator(images)

    dense = _correct(evaluator, models / "dense", "none", {})
    narrow = _correct(evaluator, models / "narrow", "structured_pruning", {"target": 0.8})

    assert not np.array_equal(dense, narrow)


@pytest.mark.parametrize(("name", "technique", "settings"), NOT_EVALUATED)
def test_run_answers_only_for_the_technique_that_it_was_trained_with(
    images: Path, models: Path, name: str, technique: str, settings: Settings
) -> None:
    """Above all, a dense run does not answer for a model that is pruned after training."""
    run = run_in(models / name)

    assert LiveEvaluator(images)(run, technique, settings) is None
    assert recorded_evaluation(run, technique, settings) is None


def test_model_of_another_data_set_is_not_evaluated(images: Path, tmp_path: Path) -> None:
    """Its classes are not those of CIFAR-10's test images."""
    model = convnext.build("convnext_atto", num_classes=100, seed=3)
    save_file(model.state_dict(), tmp_path / WEIGHTS)
    training_record = record(dataset="cifar100_pool").model_copy(
        update={"weights_sha256": sha256(tmp_path / WEIGHTS)}
    )
    (tmp_path / RESULT).write_text(training_record.model_dump_json(), encoding="utf-8")

    assert LiveEvaluator(images)(run_in(tmp_path), "none", {}) is None


def test_model_is_evaluated_once(images: Path, models: Path, tmp_path: Path) -> None:
    """The second answer needs no weights any more."""
    run = shutil.copytree(models / "dense", tmp_path / "dense")
    evaluator = LiveEvaluator(images)

    first = _correct(evaluator, run, "none", {})
    (run / WEIGHTS).unlink()
    second = _correct(evaluator, run, "none", {})

    assert np.array_equal(first, second)


def test_loaded_model_has_the_widths_and_weights_of_the_run(models: Path) -> None:
    """They are compared with those in the file."""
    model = grading.load(run_in(models / "narrow"))

    assert convnext.hidden_widths(model) == tuple(NARROW)
    saved = load_file(models / "narrow" / WEIGHTS)
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


class TestRefusedWeights:
    """Weights that are not those of the record are refused in one line that names the file."""

    @pytest.fixture
    def run(self, models: Path, tmp_path: Path) -> Path:
        """A copy of the folder of the dense run, which a test may damage."""
        return shutil.copytree(models / "dense", tmp_path / "dense")

    def _assert_refused(self, images: Path, run: Path, complaint: str) -> None:
        __tracebackhide__ = True
        with pytest.raises(UserError, match=complaint) as caught:
            LiveEvaluator(images)(run_in(run), "none", {})
        assert "\n" not in str(caught.value)
        assert str(run / WEIGHTS) in str(caught.value)

    def test_changed_bit_is_refused(self, images: Path, run: Path) -> None:
        """The sha256 is not that of the record."""
        content = bytearray((run / WEIGHTS).read_bytes())
        content[-1] ^= 1
        (run / WEIGHTS).write_bytes(content)

        self._assert_refused(images, run, r"sha256 .* \(got .*; fetch it again")

    def test_weights_of_another_run_are_refused(self, images: Path, run: Path, models: Path) -> None:
        """They fit the network, but their sha256 is not that of the record."""
        shutil.copy(models / "zeros" / WEIGHTS, run / WEIGHTS)

        self._assert_refused(images, run, r"sha256 .* \(got .*; fetch it again")

    def test_truncated_file_is_refused(self, images: Path, run: Path) -> None:
        """The sha256 is not that of the record."""
        (run / WEIGHTS).write_bytes((run / WEIGHTS).read_bytes()[:-10])

        self._assert_refused(images, run, r"sha256 .* \(got .*; fetch it again")

    def test_missing_file_is_refused(self, images: Path, run: Path) -> None:
        """The record alone is not evaluated."""
        (run / WEIGHTS).unlink()

        self._assert_refused(images, run, r"(is missing|No such file).*; fetch it again")


class TestTrainedModels:
    """Claims that are judged with data and weights at hand."""

    @pytest.fixture(autouse=True)
    def data_and_models(self, images: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment names the data and the models."""
        monkeypatch.setenv("EDGEAI_DATA", str(images))
        monkeypatch.setenv("EDGEAI_MODELS", str(models))

    def test_comparable_runs_form_a_group(self, images: Path, models: Path) -> None:
        """The dense and the narrow run differ in their pruning only; fine-tuning has another budget."""
        groups = live_runs(models, images)

        assert [[run.name for run in group.runs] for group in groups] == [["dense", "narrow"], ["zeros"]]

    def test_folder_without_runs_has_no_groups(self, images: Path, tmp_path: Path) -> None:
        """It is not an error."""
        assert live_runs(tmp_path, images) == []

    def test_live_rows_replace_recorded_ones(self, models: Path, tmp_path: Path) -> None:
        """The values are the same, and the row names its source."""
        evidence = keep(tmp_path / "evidence", **_records(models))

        (live,) = TrainedModels(evidence).measure(trained_case(CLAIM)).rows
        (recorded,) = TrainedModels(evidence, recorded_only=True).measure(trained_case(CLAIM)).rows

        assert (live.source, recorded.source) == ("live", "recorded")
        assert (live.scale, live.evidence, live.n) == ("full", "dense, narrow", small_cifar.IMAGES)
        assert live.reported == recorded.reported

    def test_recorded_rows_count_if_the_weights_are_missing(
        self, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The data are here."""
        monkeypatch.setenv("EDGEAI_MODELS", str(tmp_path / "none"))

        measured = TrainedModels(keep(tmp_path / "evidence", **_records(models))).measure(trained_case(CLAIM))

        assert measured.obstacle is None
        assert [row.source for row in measured.rows] == ["recorded"]

    def test_models_at_reduced_scale_are_not_evaluated(self, models: Path, tmp_path: Path) -> None:
        """It would take minutes and decide nothing. Their weights are damaged here, so reading them would fail."""
        for name in ("dense", "narrow"):
            shutil.copytree(models / name, tmp_path / "damaged" / name)
            (tmp_path / "damaged" / name / WEIGHTS).write_bytes(b"")
        trained = TrainedModels(keep(tmp_path / "evidence", **_records(models)))
        about_tiny = CLAIM.model_copy(update={"models": ["convnext_tiny"]})

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGEAI_MODELS", str(tmp_path / "damaged"))
            measured = trained.measure(trained_case(about_tiny))

        assert [row.source for row in measured.rows] == ["recorded"]
        assert measured.obstacle is not None
        assert measured.obstacle.kind == "weights"
        assert "convnext_tiny" in measured.obstacle.remedy

"""Live grading: weights of a run's folder, compressed as asked, give what the run recorded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgeai_repro.claims.registry import Settings
from edgeai_repro.compress.unstructured import prune
from edgeai_repro.data import cifar
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence.training_record import RESULT, WEIGHTS, load_record
from edgeai_repro.files import sha256
from edgeai_repro.networks import convnext
from edgeai_repro.training import grading
from edgeai_repro.training.grading import LiveEvaluator
from edgeai_repro.training.recipe import Recipe
from edgeai_repro.training.train import evaluations
from edgeai_repro.training.trained_models import TrainedModels, TrainedRun, live_studies, recorded
from tests.support import small_cifar
from tests.support.factories import claim, claim_entry
from tests.support.helpers import awaken
from tests.support.records import keep, paper, record

pytestmark = pytest.mark.usefixtures("one_thread")

ATTO = Recipe("convnext_atto", epochs=30)
NARROW = [40, 40, 80, 80, *[160] * 6, 320, 320]  # a quarter of the hidden widths
SPARSITY = 0.5
CLAIM = {
    "metric": "accuracy_change",
    "technique": "combined",
    "models": ["convnext_atto"],
    "value": 0.0,
    "band": {"rounding": 100.0, "derivation": "for the test"},
    "settings": {"target": [0.8]},
    "needs": ["data", "weights"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of 500 and 100 images."""
    with pytest.MonkeyPatch.context() as patch:
        yield small_cifar.write(tmp_path_factory.mktemp("data"), patch)


@pytest.fixture(scope="module")
def runs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of three runs of random weights: dense, pruned by structure, and with single weights at zero."""
    root = tmp_path_factory.mktemp("models")
    dense = awaken(convnext.build("convnext_atto", seed=1), seed=1)
    narrow = awaken(convnext.build("convnext_atto", hidden_widths=NARROW, seed=2), seed=2)
    _save(root / "dense", folder, dense, ATTO, sparsities=[SPARSITY])
    _save(root / "narrow", folder, narrow, replace(ATTO, structured=0.8))
    tuned = replace(ATTO, unstructured=SPARSITY, init=str(root / "dense" / WEIGHTS))
    _save(root / "zeros", folder, prune(dense, SPARSITY), tuned)
    return root


def _save(out: Path, folder: Path, model: nn.Module, recipe: Recipe, sparsities: Sequence[float] = ()) -> None:
    """Leave in `out` what training leaves there, as if it had started from ImageNet: weights, and the record."""
    out.mkdir()
    save_file(model.state_dict(), out / WEIGHTS)
    made = evaluations(model, recipe, cifar.load_split(folder, "test"), sparsities)
    kept = record(*made, **{**recipe.as_dict(), "init": "imagenet"}).model_copy(
        update={"hidden_widths": convnext.hidden_widths(model), "weights_sha256": sha256(out / WEIGHTS)}
    )
    (out / RESULT).write_text(kept.model_dump_json(), encoding="utf-8")


def _run(folder: Path) -> TrainedRun:
    return TrainedRun(folder.name, folder, load_record(folder / RESULT))


FORMS: list[tuple[str, str, Settings]] = [
    ("dense", "none", {}),
    ("dense", "dynamic_quantization", {}),
    ("dense", "unstructured_pruning", {"sparsity": SPARSITY}),
    ("narrow", "structured_pruning", {"target": 0.8}),
    ("narrow", "combined", {"target": 0.8}),
    ("zeros", "unstructured_pruning", {"sparsity": SPARSITY}),
]
OTHERS: list[tuple[str, str, Settings]] = [
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


@pytest.mark.parametrize(("name", "technique", "settings"), FORMS)
def test_live_is_what_was_recorded(folder: Path, runs: Path, name: str, technique: str, settings: Settings) -> None:
    """Weights from disk, compressed anew, get the same images right as those that were recorded, one by one."""
    run = _run(runs / name)

    live = LiveEvaluator(folder)(run, technique, settings)

    expected = recorded(run, technique, settings)
    assert live is not None
    assert expected is not None
    assert np.array_equal(live, expected)


def test_models_differ(folder: Path, runs: Path) -> None:
    """The control of the test above: two models that should differ do, so equal grades are no accident."""
    grade = LiveEvaluator(folder)

    first = grade(_run(runs / "dense"), "none", {})
    second = grade(_run(runs / "narrow"), "structured_pruning", {"target": 0.8})

    assert not np.array_equal(first, second)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "technique", "settings"), OTHERS)
def test_what_a_run_is_not(folder: Path, runs: Path, name: str, technique: str, settings: Settings) -> None:
    """A run tells nothing of what it wasn't trained as: least of all is a dense one pruned without training."""
    run = _run(runs / name)

    assert LiveEvaluator(folder)(run, technique, settings) is None
    assert recorded(run, technique, settings) is None


def test_a_model_of_other_classes(folder: Path, runs: Path, tmp_path: Path) -> None:
    """What was trained on another data set isn't graded on CIFAR-10's test images."""
    pool = convnext.build("convnext_atto", num_classes=100, seed=3)
    save_file(pool.state_dict(), tmp_path / WEIGHTS)
    made = record(dataset="cifar100_pool").model_copy(update={"weights_sha256": sha256(tmp_path / WEIGHTS)})
    (tmp_path / RESULT).write_text(made.model_dump_json(), encoding="utf-8")

    assert LiveEvaluator(folder)(_run(tmp_path), "none", {}) is None


def test_graded_once(folder: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked twice, a model is evaluated once."""
    calls = []
    evaluate = grading.evaluate
    monkeypatch.setattr(grading, "evaluate", lambda *args, **kwargs: calls.append(1) or evaluate(*args, **kwargs))
    grade = LiveEvaluator(folder)

    first, second = (grade(_run(runs / "dense"), "none", {}) for _ in range(2))

    assert np.array_equal(first, second)  # type: ignore[arg-type]
    assert len(calls) == 1


class TestRefused:
    """Weights that can't be those of the record: one line, nothing graded."""

    @pytest.fixture
    def run(self, runs: Path, tmp_path: Path) -> Path:
        """A copy of the dense run's folder."""
        return shutil.copytree(runs / "dense", tmp_path / "dense")

    def _refused(self, folder: Path, run: Path, complaint: str) -> None:
        with pytest.raises(UserError, match=complaint) as refused:
            LiveEvaluator(folder)(_run(run), "none", {})
        assert "\n" not in str(refused.value)
        assert str(run / WEIGHTS) in str(refused.value)

    def test_altered(self, folder: Path, run: Path) -> None:
        """Raises UserError if one bit of the weights isn't that of the record's hash."""
        content = bytearray((run / WEIGHTS).read_bytes())
        content[-1] ^= 1
        (run / WEIGHTS).write_bytes(content)

        self._refused(folder, run, r"must have its manifest's sha256 .*; fetch it again")

    def test_of_another_run(self, folder: Path, run: Path, runs: Path) -> None:
        """Raises UserError if the weights are another run's."""
        shutil.copy(runs / "zeros" / WEIGHTS, run / WEIGHTS)

        self._refused(folder, run, r"must have its manifest's sha256 .*; fetch it again")

    def test_truncated(self, folder: Path, run: Path) -> None:
        """Raises UserError if the file ends early."""
        (run / WEIGHTS).write_bytes((run / WEIGHTS).read_bytes()[:-10])

        self._refused(folder, run, r"must be a safetensors file .*; fetch it again")

    def test_missing(self, folder: Path, run: Path) -> None:
        """Raises UserError if there are no weights."""
        (run / WEIGHTS).unlink()

        self._refused(folder, run, r"must be a safetensors file .*No such file.*; fetch it again")


class TestLive:
    """Studies of the models at hand."""

    @pytest.fixture(autouse=True)
    def here(self, folder: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The data and the models are where the environment says."""
        monkeypatch.setenv("EDGEAI_DATA", str(folder))
        monkeypatch.setenv("EDGEAI_MODELS", str(runs))

    def test_studies(self, folder: Path, runs: Path, tmp_path: Path) -> None:
        """Runs are found in the folders below the root: the dense and the pruned one are comparable."""
        studies = live_studies(runs, folder)

        assert [[run.name for run in study.runs] for study in studies] == [["dense", "narrow"], ["zeros"]]
        assert live_studies(tmp_path, folder) == []

    def test_live_goes_first(self, runs: Path, tmp_path: Path) -> None:
        """Where data and weights are here, a claim is judged by them, though it was recorded; the row says so."""
        records = {name: load_record(runs / name / RESULT) for name in ("dense", "narrow")}
        told = TrainedModels(keep(tmp_path / "evidence", **records))

        (live,) = told.rows(claim(**CLAIM), paper(claim_entry(**CLAIM)))
        (kept,) = told.recorded_rows(claim(**CLAIM), paper(claim_entry(**CLAIM)))

        assert (live.source, kept.source) == ("live", "recorded")
        assert (live.scale, live.evidence, live.n) == ("full", "dense, narrow", small_cifar.IMAGES)
        assert live.reported == kept.reported

    def test_recorded_where_weights_are_not(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With data but without the weights, what was recorded counts."""
        monkeypatch.setenv("EDGEAI_MODELS", str(tmp_path / "none"))
        records = {name: load_record(runs / name / RESULT) for name in ("dense", "narrow")}

        (found,) = TrainedModels(keep(tmp_path / "evidence", **records)).rows(
            claim(**CLAIM), paper(claim_entry(**CLAIM))
        )

        assert found.source == "recorded"

    def test_only_full_scale_is_graded(
        self, folder: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Live models below full scale aren't evaluated in a run: it would take minutes and decide nothing."""
        records = {name: load_record(runs / name / RESULT) for name in ("dense", "narrow")}
        kept = TrainedModels(keep(tmp_path / "evidence", **records))
        monkeypatch.setattr(grading, "evaluate", lambda *_, **__: pytest.fail("was evaluated"))
        asked = {**CLAIM, "models": ["convnext_tiny"]}

        assert len(kept.reduced_scale_rows(claim(**asked), paper(claim_entry(**asked)))) == 1
        with pytest.raises(MissingRequirement, match="no convnext_tiny trained at full scale is here"):
            kept.rows(claim(**asked), paper(claim_entry(**asked)))


def test_the_weights_are_the_runs(runs: Path) -> None:
    """What is loaded has the widths and the values that were saved."""
    model = grading.load(_run(runs / "narrow"))

    assert convnext.hidden_widths(model) == tuple(NARROW)
    saved = load_file(runs / "narrow" / WEIGHTS)
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())

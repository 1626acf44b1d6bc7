"""Accuracy claims are answered from trained models and records; what is missing is an obstacle."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeai_repro.claims.registry import measured_on
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.trained_run import TrainedRun
from edgeai_repro.options import Options
from edgeai_repro.session import Session
from edgeai_repro.training.trained_models import TrainedModels, recorded_evaluation
from tests.support.accuracy_claims import TREND, change_claim
from tests.support.records import FULL, dense, keep, pruned, right, trained_case

CLAIMS = Path(__file__).parents[2] / "claims"
# Two runs at full scale and two at reduced scale.
RECORDS = {"a": dense(900, **FULL), "b": pruned(895, **FULL), "c": dense(700), "d": pruned(650)}


class TestRecordedEvaluation:
    """A record answers for the evaluations that it contains."""

    RUN = TrainedRun("a", Path("a"), pruned(880, int8=870))

    def test_recorded_bits_are_returned(self) -> None:
        """They are those of the technique and its settings."""
        correct = recorded_evaluation(self.RUN, "combined", {"target": 0.8})

        assert correct is not None
        assert np.array_equal(correct, right(870))

    @pytest.mark.parametrize(("technique", "settings"), [("combined", {"target": 0.5}), ("none", {})])
    def test_other_evaluations_are_unknown(self, technique: str, settings: dict[str, float]) -> None:
        """Another setting or technique has no answer."""
        assert recorded_evaluation(self.RUN, technique, settings) is None


class TestTrainedModels:
    """Rows at full scale are live, or else recorded; if there are none, an obstacle says what is missing."""

    @pytest.fixture(autouse=True)
    def no_data(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Neither data nor trained models are here."""
        monkeypatch.delenv("EDGEAI_DATA", raising=False)
        monkeypatch.setenv("EDGEAI_MODELS", str(tmp_path / "none"))

    def test_recorded_rows_decide_without_data(self, tmp_path: Path) -> None:
        """Recorded rows at full scale come first; those at reduced scale are shown after them."""
        trained = TrainedModels(keep(tmp_path / "evidence", **RECORDS))

        measured = trained.measure(trained_case(change_claim()))

        assert measured.obstacle is None
        assert [(row.scale, row.source, row.evidence) for row in measured.rows] == [
            ("full", "recorded", "a, b"),
            ("reduced", "recorded", "c, d"),
        ]

    def test_data_are_missing_if_no_record_is_at_full_scale(self, tmp_path: Path) -> None:
        """The rows at reduced scale are shown next to the obstacle."""
        trained = TrainedModels(keep(tmp_path / "evidence", c=dense(700), d=pruned(650)))

        measured = trained.measure(trained_case(change_claim()))

        assert measured.obstacle is not None
        assert measured.obstacle.kind == "data"
        assert "EDGEAI_DATA" in measured.obstacle.remedy
        assert [row.evidence for row in measured.rows] == ["c, d"]

    @pytest.mark.parametrize(
        ("claim", "options"),
        [
            (change_claim(), ["--structured=0.8", "--init=imagenet", "--epochs=30"]),
            (TREND, ["--init=imagenet", "--epochs=30", "--sweep"]),
        ],
        ids=["change", "trend"],
    )
    def test_weights_are_missing_with_the_command_that_trains_them(
        self, tmp_path: Path, claim: Claim, options: list[str]
    ) -> None:
        """If only records count and none is at full scale, the remedy is a training run."""
        measured = TrainedModels(tmp_path / "none", recorded_only=True).measure(trained_case(claim))

        assert measured.obstacle is not None
        assert (measured.rows, measured.obstacle.kind) == ((), "weights")
        assert "`edgeai-repro train convnext_small " in measured.obstacle.remedy
        assert all(option in measured.obstacle.remedy for option in options)

    def test_only_the_command_of_a_trend_sweeps(self, tmp_path: Path) -> None:
        """A claim about a target needs a dense and a pruned run instead."""
        trained = TrainedModels(tmp_path / "none", recorded_only=True)

        remedies = [
            obstacle.remedy
            for claim in (change_claim(), TREND)
            if (obstacle := trained.measure(trained_case(claim)).obstacle)
        ]

        assert ["--sweep" in remedy for remedy in remedies] == [False, True]
        assert ["without and with --structured" in remedy for remedy in remedies] == [True, False]

    @pytest.mark.parametrize(("models", "evidence"), [(["convnext_tiny"], []), (["convnext_atto"], ["c, d"])])
    def test_run_restricted_to_other_models_says_which_is_left_out(
        self, tmp_path: Path, models: list[str], evidence: list[str]
    ) -> None:
        """Records of a model that is left out are not shown either."""
        trained = TrainedModels(keep(tmp_path / "evidence", **RECORDS), models=models)

        measured = trained.measure(trained_case(change_claim()))

        assert measured.obstacle is not None
        assert measured.obstacle.kind == "models"
        assert measured.obstacle.remedy.startswith("convnext_small not in --claims-models")
        assert [row.evidence for row in measured.rows] == evidence

    def test_run_restricted_to_the_model_uses_no_record_of_another(self, tmp_path: Path) -> None:
        """The claim is decided by its own model."""
        models = ["convnext_small", "convnext_tiny"]
        trained = TrainedModels(keep(tmp_path / "evidence", **RECORDS), models=models)

        measured = trained.measure(trained_case(change_claim()))

        assert measured.obstacle is None
        assert [row.evidence for row in measured.rows] == ["a, b"]


def test_accuracy_claim_that_names_a_runtime_is_not_measured_on_trained_models() -> None:
    """So models that were trained elsewhere are not shown with it either."""
    assert measured_on(change_claim()) == "trained"
    assert measured_on(change_claim(metric="accuracy", conditions={"runtime": "onnxruntime"})) == "deployed"


class TestRecordedOnly:
    """A session may judge from records only."""

    def test_trained_claims_are_those_that_need_weights_and_no_edge(self) -> None:
        """They are the claims that `edgeai-repro rejudge` judges."""
        session = Session(CLAIMS, Options(recorded_only=True))

        trained = [case.id for case in session.cases if measured_on(case.claim) == "trained"]

        assert trained
        assert trained == [
            case.id for case in session.cases if "weights" in case.claim.needs and "edge" not in case.claim.needs
        ]

    def test_record_at_reduced_scale_leaves_a_claim_not_testable(self, tmp_path: Path) -> None:
        """Its row is shown; the weights at full scale are missing."""
        folder = shutil.copytree(CLAIMS, tmp_path / "claims")
        keep(tmp_path / "evidence", dense=dense(900), otov3=pruned(880))
        session = Session(folder, Options(recorded_only=True))
        (case,) = (case for case in session.cases if case.id == "francy2024/maintained-accuracy")

        verdict = session.judge(case)

        assert (verdict.verdict, verdict.requirement, len(verdict.rows)) == ("not_testable", "weights", 1)

    def test_neither_torch_nor_data_are_needed(self, tmp_path: Path) -> None:
        """Judging all trained claims does not import torch."""
        shutil.copytree(CLAIMS, tmp_path / "claims")
        keep(tmp_path / "evidence", a=dense(900, **FULL), b=pruned(895, **FULL))
        script = """
import sys
from pathlib import Path
from edgeai_repro.claims.registry import measured_on
from edgeai_repro.session import Session
from edgeai_repro.options import Options
session = Session(Path("claims"), Options(recorded_only=True))
verdicts = {case.claim.id: session.judge(case) for case in session.cases if measured_on(case.claim) == "trained"}
print(verdicts["maintained-accuracy"].verdict, "torch" in sys.modules)
"""
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )

        assert done.stdout == "reproduced False\n", done.stderr

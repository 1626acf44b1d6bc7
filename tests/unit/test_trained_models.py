"""Accuracy claims are answered from comparable training runs; each row names its runs, its source and its scale."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_repro.claims.registry import measured_on
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Measured, Measurement, Obstacle
from edgeai_repro.evidence.statistics import paired_difference, relative_difference, wilson
from edgeai_repro.evidence.trained_run import TrainedRun
from edgeai_repro.evidence.training_record import TrainingRecord
from edgeai_repro.judge.formatting import format_interval
from edgeai_repro.judge.verdict import judge
from edgeai_repro.options import Options
from edgeai_repro.session import Session
from edgeai_repro.training.comparable_runs import ComparableRuns
from edgeai_repro.training.trained_models import TrainedModels, recorded_evaluation
from tests.support.factories import claim
from tests.support.records import FULL, FULL_SCALE, dense, evaluated, keep, pruned, record, right, trained_case

WEIGHTS = "weights.safetensors"  # as the start of a run: the weights of another run
CLAIMS = Path(__file__).parents[2] / "claims"
CHANGE: dict[str, Any] = {
    "metric": "accuracy_change",
    "technique": "combined",
    "models": ["convnext_small"],
    "value": 0.0,
    "band": {"rounding": 0.0, "tolerance": 1.0, "side": "at_least", "derivation": "for the test"},
    "settings": {"target": [0.8]},
    "needs": ["data", "weights"],
}
GAIN = claim(**{**CHANGE, "metric": "pretraining_gain", "technique": "structured_pruning"})
TREND = claim(
    **{
        **CHANGE,
        "metric": "accuracy_trend",
        "technique": "unstructured_pruning",
        "value": 1.0,
        "settings": {"sparsity": [0.1, 0.5, 0.9]},
    }
)
# Two runs at full scale and two at reduced scale.
RECORDS = {"a": dense(900, **FULL), "b": pruned(895, **FULL), "c": dense(700), "d": pruned(650)}


def _change(**fields: Any) -> Claim:
    return claim(**{**CHANGE, **fields})


def _rows(claim: Claim, **records: TrainingRecord) -> list[Measurement]:
    """Return the rows of a claim from recorded runs with these names, in the order of the names."""
    groups: dict[Any, list[TrainedRun]] = {}
    for name, training_record in sorted(records.items()):
        run = TrainedRun(name, Path(name), training_record)
        groups.setdefault(run.comparison_key, []).append(run)
    return [
        row
        for runs in groups.values()
        for row in ComparableRuns(runs, "recorded", recorded_evaluation).rows(claim, FULL_SCALE)
    ]


def _swept(*counts: int, sparsities: tuple[float, ...] = (0.1, 0.5, 0.9), **recipe: Any) -> TrainingRecord:
    """Return the record of a dense model that was also evaluated after pruning to some sparsities."""
    sweep = [
        evaluated("unstructured_pruning", count, sparsity=sparsity)
        for count, sparsity in zip(counts, sparsities, strict=True)
    ]
    return record(evaluated("none", 900), *sweep, **recipe)


def _finetuned(count: int, sparsity: float, **recipe: Any) -> TrainingRecord:
    """Return the record of a model that was pruned to a sparsity and fine-tuned for one epoch."""
    evaluation = evaluated("unstructured_pruning", count, sparsity=sparsity)
    return record(evaluation, **{"unstructured": sparsity, "epochs": 1, "lr": 5e-4, "init": WEIGHTS, **recipe})


class TestComparison:
    """A row compares runs of the same recipe, data and seed."""

    def test_change_is_paired_with_the_dense_run(self) -> None:
        """The compressed model is compared with the dense one of the same recipe and seed, image by image."""
        (row,) = _rows(_change(), dense=dense(900), otov3=pruned(910, int8=880))

        assert row.reported == paired_difference(right(900), right(880))
        assert (row.n, row.source, row.scale) == (1000, "recorded", "reduced")

    def test_row_names_its_settings_and_runs(self) -> None:
        """The evidence names both runs, and the seconds are the sum of theirs."""
        (row,) = _rows(_change(), dense=dense(900), otov3=pruned(880))

        assert (row.evidence, row.seconds) == ("dense, otov3", 200.0)
        assert row.settings == {"target": 0.8}
        assert row.notes == {"epochs": 12, "seeds": 1}

    def test_change_may_be_relative(self) -> None:
        """The condition `reading` gives a change in points, or relative to the accuracy of the dense model."""
        claim = _change(conditions={"reading": ["points", "relative"]})

        points, relative = _rows(claim, dense=dense(900), otov3=pruned(880))

        assert [row.conditions for row in (points, relative)] == [{"reading": "points"}, {"reading": "relative"}]
        assert points.reported == paired_difference(right(900), right(880))
        assert relative.reported == relative_difference(right(900), right(880))
        assert relative.reported.value == pytest.approx(-100 * 20 / 900)

    @pytest.mark.parametrize(
        "other",
        [
            {"epochs": 13},
            {"lr": 1e-3},
            {"resolution": 64},
            {"batch_size": 64},
            {"model": "convnext_tiny"},
            {"dataset": "cifar100_pool"},
            {"test_split": "other images"},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_run_of_another_recipe_is_not_compared(self, other: dict[str, Any]) -> None:
        """A compressed model of another recipe, or on other data, has no dense run to be compared with."""
        assert _rows(_change(), dense=dense(900), otov3=pruned(880, **other)) == []

    def test_each_target_has_a_row_at_reduced_scale(self) -> None:
        """Targets that the claim does not name are reported, too, if runs have them."""
        rows = _rows(_change(), dense=dense(900), half=pruned(890, 0.5), otov3=pruned(880))

        assert [(row.settings["target"], row.evidence) for row in rows] == [
            (0.5, "dense, half"),
            (0.8, "dense, otov3"),
        ]

    def test_seeds_are_averaged(self) -> None:
        """The value is the mean over seeds; the interval is wider than that of one seed."""
        records = {f"dense{seed}": dense(900, seed=seed) for seed in range(3)}
        records |= {f"otov3{seed}": pruned(880 + 10 * seed, seed=seed) for seed in range(3)}
        single = paired_difference(right(900), right(880))

        (row,) = _rows(_change(), **records)

        assert row.notes["seeds"] == 3
        assert row.reported.value == pytest.approx(-1.0)
        assert row.reported.high - row.reported.low > 2.0 > single.high - single.low

    def test_only_equal_seeds_are_compared(self) -> None:
        """A seed that one side lacks counts neither for the value, nor as a seed, nor as evidence."""
        records = {"dense0": dense(900), "dense1": dense(950, seed=1), "otov3": pruned(880)}

        (row,) = _rows(_change(), **records)

        assert row.reported.value == pytest.approx(-2.0)
        assert (row.notes["seeds"], row.evidence, row.seconds) == (1, "dense0, otov3", 200.0)

    def test_no_common_seed_gives_no_row(self) -> None:
        """It is not an error either."""
        assert _rows(_change(), dense=dense(900), otov3=pruned(880, seed=1)) == []

    def test_change_without_a_dense_run_gives_no_row(self) -> None:
        """The compressed model has nothing to be compared with."""
        assert _rows(_change(), otov3=pruned(880)) == []

    def test_accuracy_needs_no_dense_run(self) -> None:
        """Its interval is Wilson's."""
        (row,) = _rows(_change(metric="accuracy"), otov3=pruned(880))

        assert row.reported == wilson(880, 1000)

    @pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
    def test_the_worse_of_two_pruning_times_counts(self, names: tuple[str, str]) -> None:
        """Two runs of one seed and target may have pruned at different times. Their names do not matter."""
        late, early = pruned(890, prune_until=0.8), pruned(880)

        (row,) = _rows(_change(), dense=dense(900), **dict(zip(names, (late, early), strict=True)))

        assert row.reported.value == pytest.approx(-2.0)


class TestScale:
    """Runs of a model of the claim, with the paper's start and budget, are at full scale."""

    def test_runs_with_the_budget_of_the_paper_are_at_full_scale(self) -> None:
        """The row names the settings of the claim and the epochs of the runs."""
        (row,) = _rows(_change(), dense=dense(900, **FULL), otov3=pruned(895, **FULL))

        assert row.scale == "full"
        assert (row.settings, row.notes) == ({"target": 0.8}, {"epochs": 30, "seeds": 1})

    @pytest.mark.parametrize(
        "less",
        [
            {"model": "convnext_tiny"},
            {"epochs": 29},
            {"stem_stride": 2},
            {"resolution": 16},
            {"init": "scratch"},
            {"init": WEIGHTS},
        ],
        ids=lambda less: "-".join(map(str, *less.items())),
    )
    def test_anything_less_is_at_reduced_scale(self, less: dict[str, Any]) -> None:
        """That is another model, fewer epochs, another stem, fewer pixels, or another start."""
        recipe = {**FULL, **less}

        (row,) = _rows(_change(), dense=dense(900, **recipe), otov3=pruned(895, **recipe))

        assert row.scale == "reduced"

    def test_longer_training_is_at_full_scale(self) -> None:
        """More epochs and more pixels than the paper's count, too."""
        more = {**FULL, "epochs": 100, "resolution": 64}

        (row,) = _rows(_change(), dense=dense(900, **more), otov3=pruned(895, **more))

        assert row.scale == "full"

    def test_other_targets_have_no_row_at_full_scale(self) -> None:
        """At full scale only the settings of the claim count."""
        assert _rows(_change(), dense=dense(900, **FULL), otov3=pruned(895, 0.5, **FULL)) == []

    def test_full_scale_starts_as_the_paper(self) -> None:
        """Runs of the same recipe that started from scratch or from a file do not count."""
        records = {
            "a": dense(900, **FULL),
            "b": pruned(895, **FULL),
            "c": dense(500, **{**FULL, "init": "scratch"}),
            "d": pruned(900, **{**FULL, "init": "scratch"}),
            "e": pruned(500, **{**FULL, "init": WEIGHTS}),
        }

        (row,) = _rows(_change(), **records)

        assert (row.scale, row.evidence) == ("full", "a, b")

    def test_reduced_scale_prefers_runs_from_scratch(self) -> None:
        """Runs that started from weights are only used if none started from scratch."""
        pretrained = {"c": dense(950, init=WEIGHTS), "d": pruned(945, init=WEIGHTS)}

        (from_scratch,) = _rows(_change(), a=dense(900), b=pruned(880), **pretrained)
        (from_weights,) = _rows(_change(), **pretrained)

        assert (from_scratch.evidence, from_weights.evidence) == ("a, b", "c, d")


class TestTrend:
    """The trend of accuracy over sparsity, before and after fine-tuning."""

    def test_sweep_and_fine_tuned_runs_are_two_rows(self) -> None:
        """Each row notes its sparsities and its training."""
        finetuned = {f"tuned{s}": _finetuned(n, s) for s, n in ((0.5, 899), (0.7, 880), (0.9, 890))}

        before, after = _rows(TREND, dense=_swept(890, 800, 300), **finetuned)

        assert before.notes == {"sparsities": "3 from 0.1 to 0.9", "epochs": 12, "seeds": 1}
        assert after.notes == {"sparsities": "3 from 0.5 to 0.9", "finetuned": "1 epoch", "seeds": 1}
        assert before.settings == after.settings == {}
        assert [before.reported.value, after.reported.value] == pytest.approx([1.0, 1 / 3])
        assert {before.scale, after.scale} == {"reduced"}
        assert (before.evidence, after.evidence) == ("dense", "tuned0.5, tuned0.7, tuned0.9")

    def test_fine_tuned_run_does_not_join_the_sweep_of_a_dense_run(self) -> None:
        """Not even if it has the recipe of the dense run."""
        finetuned = _finetuned(100, 0.5, epochs=12, lr=2e-3)

        (row,) = _rows(TREND, dense=_swept(890, 800, 300, init=WEIGHTS), tuned=finetuned)

        assert row.evidence == "dense"

    @pytest.mark.parametrize("sparsities", [(0.5,), (0.5, 0.9)])
    def test_one_or_two_sparsities_are_no_trend(self, sparsities: tuple[float, ...]) -> None:
        """There is no row, and no error."""
        assert _rows(TREND, **{f"tuned{s}": _finetuned(880, s) for s in sparsities}) == []

    def test_sparsities_of_different_seeds_are_no_trend(self) -> None:
        """A trend needs one seed that has all sparsities."""
        finetuned = {f"tuned{s}": _finetuned(880, s, seed=seed) for seed, s in enumerate((0.5, 0.7, 0.9))}

        assert _rows(TREND, **finetuned) == []

    @pytest.mark.parametrize(
        ("sweep", "rows"),
        [(_swept(890, 300, sparsities=(0.1, 0.9), **FULL), 0), (_swept(890, 800, 300, **FULL), 1)],
        ids=["some", "all"],
    )
    def test_full_scale_needs_all_sparsities_of_the_claim(self, sweep: TrainingRecord, rows: int) -> None:
        """A trend over some of them is not the one that the claim is about."""
        assert len(_rows(TREND, dense=sweep)) == rows


class TestPretrainingGain:
    """Runs from weights are compared with runs from scratch."""

    def test_gain_compares_equal_target_and_budget(self) -> None:
        """The dense run does not count."""
        (row,) = _rows(GAIN, a=pruned(850), b=pruned(880, init=WEIGHTS), dense=dense(900))

        assert row.reported == paired_difference(right(850), right(880))
        assert row.evidence == "a, b"

    def test_target_with_one_start_has_no_row(self) -> None:
        """Other targets keep their rows."""
        (row,) = _rows(GAIN, a=pruned(850), b=pruned(860, 0.5), c=pruned(880, init=WEIGHTS))

        assert (row.settings["target"], row.evidence) == (0.8, "a, c")

    def test_longer_training_is_not_compared(self) -> None:
        """It would be a gain by training, not by pre-training."""
        assert _rows(GAIN, a=pruned(850), b=pruned(880, init=WEIGHTS, epochs=24)) == []

    def test_full_scale_compares_the_start_of_the_paper(self) -> None:
        """Other weights do not count as the paper's."""
        records = {
            "a": pruned(850, **{**FULL, "init": "scratch"}),
            "b": pruned(880, **FULL),
            "c": pruned(100, **{**FULL, "init": WEIGHTS}),
        }

        (row,) = _rows(GAIN, **records)

        assert (row.scale, row.evidence) == ("full", "a, b")


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

        measured = trained.measure(trained_case(_change()))

        assert measured.obstacle is None
        assert [(row.scale, row.source, row.evidence) for row in measured.rows] == [
            ("full", "recorded", "a, b"),
            ("reduced", "recorded", "c, d"),
        ]

    def test_data_are_missing_if_no_record_is_at_full_scale(self, tmp_path: Path) -> None:
        """The rows at reduced scale are shown next to the obstacle."""
        trained = TrainedModels(keep(tmp_path / "evidence", c=dense(700), d=pruned(650)))

        measured = trained.measure(trained_case(_change()))

        assert measured.obstacle is not None
        assert measured.obstacle.kind == "data"
        assert "EDGEAI_DATA" in measured.obstacle.remedy
        assert [row.evidence for row in measured.rows] == ["c, d"]

    @pytest.mark.parametrize(
        ("claim", "options"),
        [
            (_change(), ["--structured=0.8", "--init=imagenet", "--epochs=30"]),
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
            for claim in (_change(), TREND)
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

        measured = trained.measure(trained_case(_change()))

        assert measured.obstacle is not None
        assert measured.obstacle.kind == "models"
        assert measured.obstacle.remedy.startswith("convnext_small not in --claims-models")
        assert [row.evidence for row in measured.rows] == evidence

    def test_run_restricted_to_the_model_uses_no_record_of_another(self, tmp_path: Path) -> None:
        """The claim is decided by its own model."""
        models = ["convnext_small", "convnext_tiny"]
        trained = TrainedModels(keep(tmp_path / "evidence", **RECORDS), models=models)

        measured = trained.measure(trained_case(_change()))

        assert measured.obstacle is None
        assert [row.evidence for row in measured.rows] == ["a, b"]


def test_accuracy_claim_that_names_a_runtime_is_not_measured_on_trained_models() -> None:
    """So models that were trained elsewhere are not shown with it either."""
    assert measured_on(_change()) == "trained"
    assert measured_on(_change(metric="accuracy", conditions={"runtime": "onnxruntime"})) == "deployed"


class TestReasons:
    """The reason of an untested claim has one phrase per row at reduced scale."""

    OBSTACLE = Obstacle("weights", "train it")

    def test_phrase_has_value_model_settings_budget_and_verdict(self) -> None:
        """The remedy comes first; the phrases follow in the order of the rows."""
        rows = _rows(_change(), dense=dense(900), half=pruned(900, 0.5), otov3=pruned(700))
        lost = format_interval(paired_difference(right(900), right(700)), "points")

        verdict = judge(_change(), Measured(tuple(rows), self.OBSTACLE))

        assert verdict.reason.split("; ") == [
            "train it",
            "at reduced scale 0 points (convnext_atto, target 0.5, 12 epochs, 1 seed) would be reproduced",
            f"{lost} (convnext_atto, target 0.8, 12 epochs, 1 seed) would be contradicted",
        ]

    def test_phrase_names_fine_tuning(self) -> None:
        """It distinguishes a trend after fine-tuning from the one before."""
        finetuned = {f"tuned{s}": _finetuned(n, s) for s, n in ((0.5, 899), (0.7, 895), (0.9, 890))}

        verdict = judge(TREND, Measured(tuple(_rows(TREND, **finetuned)), self.OBSTACLE))

        details = "convnext_atto, sparsities 3 from 0.5 to 0.9, finetuned 1 epoch, 1 seed"
        assert verdict.reason.split("; ") == ["train it", f"at reduced scale 1 τ ({details}) would be reproduced"]


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

"""Runs that can be compared make a study; it answers accuracy claims, and says from what and at which scale."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_repro.claims.schema import Claim
from edgeai_repro.errors import MissingRequirement, UserError
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.evidence.statistics import paired_difference, relative_difference, wilson
from edgeai_repro.evidence.store import SUMS, add_training_record, read_folder
from edgeai_repro.evidence.training_record import RESULT, TrainingRecord
from edgeai_repro.judge.formatting import format_interval
from edgeai_repro.judge.verdict import not_testable
from edgeai_repro.session import Session
from edgeai_repro.training.trained_models import Study, TrainedModels, TrainedRun, recorded, recorded_studies
from tests.support.factories import claim, claim_entry
from tests.support.records import FULL, FULL_SCALE, dense, evaluated, keep, paper, pruned, record, right

WEIGHTS = "weights.safetensors"  # where another run has left them
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
GAIN = {**CHANGE, "metric": "pretraining_gain", "technique": "structured_pruning"}
TREND = {
    **CHANGE,
    "metric": "accuracy_trend",
    "technique": "unstructured_pruning",
    "value": 1.0,
    "settings": {"sparsity": [0.1, 0.5, 0.9]},
}


def _rows(asked: Claim, **records: TrainingRecord) -> list[Measurement]:
    """Return a claim's rows by the studies that these records make, in the order of the names."""
    runs = [TrainedRun(name, Path(name), made) for name, made in sorted(records.items())]
    studies: dict[Any, list[TrainedRun]] = {}
    for run in runs:
        studies.setdefault(run.comparison_key, []).append(run)
    return [row for group in studies.values() for row in Study(group, "recorded", recorded).rows(asked, FULL_SCALE)]


def _change(**fields: Any) -> Claim:
    return claim(**{**CHANGE, **fields})


def _swept(*counts: int, sparsities: tuple[float, ...] = (0.1, 0.5, 0.9), **recipe: Any) -> TrainingRecord:
    """Return the record of a dense model that was evaluated at some sparsities too."""
    forms = [evaluated("unstructured_pruning", n, sparsity=s) for n, s in zip(counts, sparsities, strict=True)]
    return record(evaluated("none", 900), *forms, **recipe)


def _tuned(count: int, sparsity: float, **recipe: Any) -> TrainingRecord:
    """Return the record of a model trained on for an epoch with some weights at zero."""
    form = evaluated("unstructured_pruning", count, sparsity=sparsity)
    return record(form, **{"unstructured": sparsity, "epochs": 1, "lr": 5e-4, "init": WEIGHTS, **recipe})


class TestComparison:
    """What is compared with what."""

    def test_a_change_is_paired_with_the_dense_run(self) -> None:
        """A compressed model is held, image by image, against the dense one of the same recipe and seed."""
        (found,) = _rows(_change(), dense=dense(900), otov3=pruned(910, int8=880))

        assert found.reported == paired_difference(right(900), right(880))
        assert (found.n, found.source, found.scale) == (1000, "recorded", "reduced")
        assert (found.evidence, found.seconds) == ("dense, otov3", 200.0)
        assert found.params == {"target": 0.8, "epochs": 12, "seeds": 1}

    def test_a_change_may_be_relative(self) -> None:
        """The reading that is asked for decides whether a change is in points or relative to the dense model."""
        asked = _change(settings={"target": [0.8], "reading": ["points", "relative"]})

        points, relative = _rows(asked, dense=dense(900), otov3=pruned(880))

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
    def test_other_recipes_are_not_compared(self, other: dict[str, Any]) -> None:
        """A compressed model of another recipe, or on other data, has no dense run to be held against."""
        assert _rows(_change(), dense=dense(900), otov3=pruned(880, **other)) == []

    def test_a_target_varies_within_a_study(self) -> None:
        """Each target that was trained has its row: below full scale also those that the claim doesn't name."""
        found = _rows(_change(), dense=dense(900), half=pruned(890, 0.5), otov3=pruned(880))

        assert [(row.params["target"], row.evidence) for row in found] == [
            (0.5, "dense, half"),
            (0.8, "dense, otov3"),
        ]

    def test_seeds_are_averaged(self) -> None:
        """The value is the mean over seeds; the interval is wider than one seed's, for the next seed may differ."""
        records = {f"dense{seed}": dense(900, seed=seed) for seed in range(3)}
        records |= {f"otov3{seed}": pruned(880 + 10 * seed, seed=seed) for seed in range(3)}

        (found,) = _rows(_change(), **records)

        assert found.params["seeds"] == 3
        assert found.reported.value == pytest.approx(-1.0)
        assert found.reported.high - found.reported.low > 2.0 > _width(880)

    def test_only_equal_seeds_are_compared(self) -> None:
        """A seed that one side lacks is left out of the value, of the count of seeds, and of the evidence."""
        records = {"dense0": dense(900), "dense1": dense(950, seed=1), "otov3": pruned(880)}

        (found,) = _rows(_change(), **records)

        assert found.reported.value == pytest.approx(-2.0)
        assert (found.params["seeds"], found.evidence, found.seconds) == (1, "dense0, otov3", 200.0)

    def test_no_equal_seed(self) -> None:
        """Where no seed is on both sides there is no row, and no error."""
        assert _rows(_change(), dense=dense(900), otov3=pruned(880, seed=1)) == []

    def test_no_dense_run(self) -> None:
        """A compressed model alone has changed nothing yet; its accuracy can be told."""
        assert _rows(_change(), otov3=pruned(880)) == []

        (found,) = _rows(_change(metric="accuracy"), otov3=pruned(880))
        assert found.reported == wilson(880, 1000)

    def test_the_worse_schedule_counts(self) -> None:
        """Of two runs of one seed and target, pruned at other times, the worse is taken, whatever their names."""
        late = pruned(890, prune_until=0.8)

        for records in ({"a": late, "b": pruned(880)}, {"a": pruned(880), "b": late}):
            (found,) = _rows(_change(), dense=dense(900), **records)
            assert found.reported.value == pytest.approx(-2.0)


def _width(count: int) -> float:
    interval = paired_difference(right(900), right(count))
    return interval.high - interval.low


class TestScale:
    """What counts as the paper's."""

    def test_full(self) -> None:
        """A model of the claim, from the paper's start, for its epochs or more, at its resolution."""
        (found,) = _rows(_change(), dense=dense(900, **FULL), otov3=pruned(895, **FULL))

        assert found.scale == "full"
        assert found.params == {"target": 0.8, "epochs": 30, "seeds": 1}

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
        ids=lambda less: next(iter(less)),
    )
    def test_reduced(self, less: dict[str, Any]) -> None:
        """Another model, fewer epochs, another stem, fewer pixels, another start: a finding at reduced scale."""
        recipe = {**FULL, **less}

        (found,) = _rows(_change(), dense=dense(900, **recipe), otov3=pruned(895, **recipe))

        assert found.scale == "reduced"

    def test_longer(self) -> None:
        """More epochs and pixels than asked for are full scale too."""
        more = {**FULL, "epochs": 100, "resolution": 64}

        (found,) = _rows(_change(), dense=dense(900, **more), otov3=pruned(895, **more))

        assert found.scale == "full"

    def test_full_settings_are_the_claims(self) -> None:
        """At full scale a target that the claim doesn't name tells nothing of it."""
        assert _rows(_change(), dense=dense(900, **FULL), otov3=pruned(895, 0.5, **FULL)) == []

    def test_full_scale_starts_as_the_paper(self) -> None:
        """Beside a run from the paper's start, others of its recipe, from scratch or a file, don't count."""
        records = {
            "a": dense(900, **FULL),
            "b": pruned(895, **FULL),
            "c": dense(500, **{**FULL, "init": "scratch"}),
            "d": pruned(900, **{**FULL, "init": "scratch"}),
            "e": pruned(500, **{**FULL, "init": WEIGHTS}),
        }

        (found,) = _rows(_change(), **records)

        assert (found.scale, found.evidence) == ("full", "a, b")

    def test_reduced_scale_starts_from_scratch(self) -> None:
        """Below full scale the runs from scratch are compared where there are some, else those from weights."""
        pretrained = {"c": dense(950, init=WEIGHTS), "d": pruned(945, init=WEIGHTS)}

        (from_scratch,) = _rows(_change(), a=dense(900), b=pruned(880), **pretrained)
        (from_weights,) = _rows(_change(), **pretrained)

        assert (from_scratch.evidence, from_weights.evidence) == ("a, b", "c, d")


class TestTrend:
    """Accuracy over sparsities, before and after fine-tuning."""

    def test_before_and_after(self) -> None:
        """The sweep of the dense run and the runs that were trained on are two rows, which say which they are."""
        tuned = {f"tuned{s}": _tuned(n, s) for s, n in ((0.5, 899), (0.7, 880), (0.9, 890))}

        before, after = _rows(claim(**TREND), dense=_swept(890, 800, 300), **tuned)

        assert before.params == {"sparsities": "3 from 0.1 to 0.9", "epochs": 12, "seeds": 1}
        assert after.params == {"sparsities": "3 from 0.5 to 0.9", "finetuned": "1 epoch", "seeds": 1}
        assert (before.reported.value, after.reported.value) == (1.0, pytest.approx(1 / 3))
        assert {before.scale, after.scale} == {"reduced"}
        assert (before.evidence, after.evidence) == ("dense", "tuned0.5, tuned0.7, tuned0.9")

    def test_a_fine_tuned_run_of_the_dense_budget(self) -> None:
        """Even with the recipe of the dense run, a fine-tuned one doesn't stand in for its sweep."""
        tuned = _tuned(100, 0.5, epochs=12, lr=2e-3)

        (found,) = _rows(claim(**TREND), dense=_swept(890, 800, 300, init=WEIGHTS), tuned=tuned)

        assert found.evidence == "dense"

    @pytest.mark.parametrize("sparsities", [(0.5,), (0.5, 0.9)])
    def test_two_points_are_no_trend(self, sparsities: tuple[float, ...]) -> None:
        """With one or two sparsities there is no row yet, and no error."""
        assert _rows(claim(**TREND), **{f"tuned{s}": _tuned(880, s) for s in sparsities}) == []

    def test_sparsities_of_other_seeds(self) -> None:
        """A trend is one seed's: where none has all sparsities there is no row."""
        tuned = {f"tuned{s}": _tuned(880, s, seed=seed) for seed, s in enumerate((0.5, 0.7, 0.9))}

        assert _rows(claim(**TREND), **tuned) == []

    def test_full_scale_needs_all_sparsities(self) -> None:
        """At full scale a trend over some of the claim's sparsities is none of the claim."""
        some = _swept(890, 300, sparsities=(0.1, 0.9), **FULL)

        assert _rows(claim(**TREND), dense=some) == []
        assert len(_rows(claim(**TREND), dense=_swept(890, 800, 300, **FULL))) == 1


class TestPretraining:
    """From weights against from scratch."""

    def test_gain(self) -> None:
        """At equal target and budget, what starts from weights is held against what starts from scratch."""
        records = {"a": pruned(850), "b": pruned(880, init=WEIGHTS), "dense": dense(900)}

        (found,) = _rows(claim(**GAIN), **records)

        assert found.reported == paired_difference(right(850), right(880))
        assert found.evidence == "a, b"

    def test_what_is_there_is_told(self) -> None:
        """A target that only one of the two starts has leaves the other targets' rows as they are."""
        records = {"a": pruned(850), "b": pruned(860, 0.5), "c": pruned(880, init=WEIGHTS)}

        (found,) = _rows(claim(**GAIN), **records)

        assert (found.params["target"], found.evidence) == (0.8, "a, c")

    def test_another_budget(self) -> None:
        """Weights that were trained on for longer are no comparison."""
        assert _rows(claim(**GAIN), a=pruned(850), b=pruned(880, init=WEIGHTS, epochs=24)) == []

    def test_full_scale(self) -> None:
        """At full scale the paper's start is held against scratch, and other weights are not taken for it."""
        records = {
            "a": pruned(850, **{**FULL, "init": "scratch"}),
            "b": pruned(880, **FULL),
            "c": pruned(100, **{**FULL, "init": WEIGHTS}),
        }

        (found,) = _rows(claim(**GAIN), **records)

        assert (found.scale, found.evidence) == ("full", "a, b")


def _bare(records: dict[str, TrainingRecord]) -> dict[str, TrainingRecord]:
    """Return records without the intervals that are added where they are kept."""
    return {
        name: made.model_copy(
            update={"evaluations": tuple(form.model_copy(update={"interval": None}) for form in made.evaluations)}
        )
        for name, made in records.items()
    }


class TestFolder:
    """The evidence folder; what is altered in it is caught in tests/meta."""

    def test_none(self, tmp_path: Path) -> None:
        """Without a folder there is no evidence."""
        assert recorded_studies(tmp_path / "evidence") == []

    def test_kept(self, tmp_path: Path) -> None:
        """A record that was kept is read as it was, under its name, and listed as sha256sum would."""
        folder = keep(tmp_path / "evidence", b=pruned(880), a=dense(900))

        assert _bare(read_folder(folder)) == {"a": dense(900), "b": pruned(880)}
        subprocess.run(["sha256sum", "--check", "--strict", "--status", SUMS], cwd=folder, check=True)

    def test_kept_anew(self, tmp_path: Path) -> None:
        """A record kept under a name that is there takes its place, and so does its sum."""
        keep(tmp_path / "evidence", a=dense(900))
        keep(tmp_path / "evidence", a=dense(800))

        assert _bare(read_folder(tmp_path / "evidence")) == {"a": dense(800)}

    def test_intervals(self, tmp_path: Path) -> None:
        """A record that is kept tells Wilson's interval of each of its evaluations."""
        found = read_folder(keep(tmp_path / "evidence", a=pruned(880, int8=870)))["a"]

        assert [form.interval for form in found.evaluations] == [wilson(880, 1000), wilson(870, 1000)]

    def test_no_record(self, tmp_path: Path) -> None:
        """Raises UserError for a file that is no record, and keeps nothing."""
        (tmp_path / RESULT).write_text("{}", encoding="utf-8")

        with pytest.raises(UserError, match=r"result\.json: recipe: is missing"):
            add_training_record(tmp_path / RESULT, tmp_path / "evidence", "a")

        assert not (tmp_path / "evidence").exists()

    def test_bits(self) -> None:
        """What a record says of each image is what the row is made of; of what it doesn't hold, it says nothing."""
        run = TrainedRun("a", Path("a"), pruned(880, int8=870))

        assert np.array_equal(recorded(run, "combined", {"target": 0.8}), right(870))  # type: ignore[arg-type]
        assert recorded(run, "combined", {"target": 0.5}) is None
        assert recorded(run, "none", {}) is None


class TestTrainedModels:
    """Live, else recorded, else a condition that is missing."""

    @pytest.fixture(autouse=True)
    def no_data(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """There are no data, and no trained models."""
        monkeypatch.delenv("EDGEAI_DATA", raising=False)
        monkeypatch.setenv("EDGEAI_MODELS", str(tmp_path / "none"))

    def test_recorded_without_data(self, tmp_path: Path) -> None:
        """Without data a claim is judged by what was recorded at full scale; what is below it stands beside."""
        records = {"a": dense(900, **FULL), "b": pruned(895, **FULL), "c": dense(700), "d": pruned(650)}
        trained = TrainedModels(keep(tmp_path / "evidence", **records))

        found = trained.rows(_change(), paper(claim_entry(**CHANGE)))

        assert [(row.scale, row.source, row.evidence) for row in found] == [
            ("full", "recorded", "a, b"),
            ("reduced", "recorded", "c, d"),
        ]

    def test_data_missing(self, tmp_path: Path) -> None:
        """With records below full scale alone and no data, it is the data that are missing."""
        trained = TrainedModels(keep(tmp_path / "evidence", c=dense(700), d=pruned(650)))

        with pytest.raises(MissingRequirement, match="set EDGEAI_DATA to a folder") as missing:
            trained.rows(_change(), paper(claim_entry(**CHANGE)))

        assert missing.value.requirement == "data"
        assert [row.evidence for row in trained.reduced_scale_rows(_change(), paper(claim_entry(**CHANGE)))] == [
            "c, d"
        ]

    @pytest.mark.parametrize(
        ("fields", "command"),
        [
            (CHANGE, "dense and with --structured 0.8, by `edgeai-repro train convnext_small --init imagenet"),
            (TREND, "train it by `edgeai-repro train convnext_small --init imagenet --epochs 30 --sweep`"),
        ],
    )
    def test_weights_missing(self, tmp_path: Path, fields: dict[str, Any], command: str) -> None:
        """With nothing at full scale the remedy is the command that would supply it."""
        with pytest.raises(MissingRequirement) as missing:
            TrainedModels(tmp_path / "none").recorded_rows(claim(**fields), paper(claim_entry(**fields)))

        assert missing.value.requirement == "weights"
        assert command in missing.value.remedy

    @pytest.mark.parametrize(
        ("models", "condition", "beside"),
        [
            (["convnext_tiny"], "models", []),
            (["convnext_atto"], "models", ["c, d"]),
            (["convnext_small", "convnext_tiny"], None, []),
        ],
    )
    def test_restricted(self, tmp_path: Path, models: list[str], condition: str | None, beside: list[str]) -> None:
        """A run that is restricted to some models uses no record of another, and says what it left out."""
        records = {"a": dense(900, **FULL), "b": pruned(895, **FULL), "c": dense(700), "d": pruned(650)}
        trained = TrainedModels(keep(tmp_path / "evidence", **records), models=models)

        assert [
            row.evidence for row in trained.reduced_scale_rows(_change(), paper(claim_entry(**CHANGE)))
        ] == beside
        if condition is None:
            (row,) = trained.rows(_change(), paper(claim_entry(**CHANGE)))
            assert row.evidence == "a, b"
            return
        with pytest.raises(
            MissingRequirement, match=r"^convnext_small left out; run without --claims-models$"
        ) as told:
            trained.rows(_change(), paper(claim_entry(**CHANGE)))
        assert told.value.requirement == condition

    def test_edge(self, tmp_path: Path) -> None:
        """A claim of an edge device has no finding beside it in models that were trained elsewhere."""
        asked = {**CHANGE, "needs": ["data", "weights", "edge"]}
        trained = TrainedModels(keep(tmp_path / "evidence", a=dense(900, **FULL), b=pruned(895, **FULL)))

        assert trained.reduced_scale_rows(claim(**asked), paper(claim_entry(**asked))) == []


def test_a_finding_is_one_phrase_each() -> None:
    """An untested claim's reason has, of each row below full scale, value, model, settings, budget, and verdict."""
    rows = _rows(_change(), dense=dense(900), half=pruned(900, 0.5), otov3=pruned(700))

    found = not_testable(_change(), "weights", "train it", rows)

    lost = format_interval(paired_difference(right(900), right(700)), "points")
    assert found.reason == (
        "train it; at reduced scale 0 points (convnext_atto, target 0.5, 12 epochs, 1 seed) would be reproduced; "
        f"{lost} (convnext_atto, target 0.8, 12 epochs, 1 seed) would be contradicted"
    )


def test_a_finding_says_that_it_is_fine_tuned() -> None:
    """A trend after fine-tuning is told from the one before."""
    tuned = {f"tuned{s}": _tuned(n, s) for s, n in ((0.5, 899), (0.7, 895), (0.9, 890))}

    found = not_testable(claim(**TREND), "weights", "train it", _rows(claim(**TREND), **tuned))

    of = "convnext_atto, sparsities 3 from 0.5 to 0.9, finetuned 1 epoch, 1 seed"
    assert found.reason == f"train it; at reduced scale 1 τ ({of}) would be reproduced"


class TestRejudge:
    """Recorded evidence, judged again."""

    def test_every_trained_claim(self, tmp_path: Path) -> None:
        """Every claim that trained models tell of has a verdict again, and no other."""
        folder = shutil.copytree(CLAIMS, tmp_path / "claims")
        keep(tmp_path / "evidence", dense=dense(900), otov3=pruned(880))
        run = Session.prepare(folder)

        run.rejudge()

        told = [name for name, entry in run.claims if "weights" in entry.needs and "edge" not in entry.needs]
        assert list(run.verdicts) == told
        reduced = run.verdicts["francy2024/maintained-accuracy"]
        assert (reduced.verdict, reduced.condition, len(reduced.rows)) == ("not_testable", "weights", 1)

    def test_without_torch(self, tmp_path: Path) -> None:
        """Neither torch nor data are needed."""
        shutil.copytree(CLAIMS, tmp_path / "claims")
        keep(tmp_path / "evidence", a=dense(900, **FULL), b=pruned(895, **FULL))
        script = """
import sys
from pathlib import Path
from edgeai_repro.session import Session
run = Session.prepare(Path("claims"))
run.rejudge()
print(run.verdicts["francy2024/maintained-accuracy"].verdict, "torch" in sys.modules)
"""
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )

        assert done.stdout == "reproduced False\n", done.stderr

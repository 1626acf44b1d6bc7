"""Runs with the paper's start and budget are at full scale; others are only reported, at reduced scale."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.evidence.measurement import Measured, Obstacle
from edgeai_repro.evidence.statistics import paired_difference
from edgeai_repro.judge.formatting import format_interval
from edgeai_repro.judge.verdict import judge
from tests.support.accuracy_claims import TREND, WEIGHTS, change_claim, finetuned_run, rows_of
from tests.support.records import FULL, dense, pruned, right


class TestScale:
    """Runs of a model of the claim, with the paper's start and budget, are at full scale."""

    def test_runs_with_the_budget_of_the_paper_are_at_full_scale(self) -> None:
        """The row names the settings of the claim and the epochs of the runs."""
        (row,) = rows_of(change_claim(), dense=dense(900, **FULL), otov3=pruned(895, **FULL))

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

        (row,) = rows_of(change_claim(), dense=dense(900, **recipe), otov3=pruned(895, **recipe))

        assert row.scale == "reduced"

    def test_longer_training_is_at_full_scale(self) -> None:
        """More epochs and more pixels than the paper's count, too."""
        more = {**FULL, "epochs": 100, "resolution": 64}

        (row,) = rows_of(change_claim(), dense=dense(900, **more), otov3=pruned(895, **more))

        assert row.scale == "full"

    def test_other_targets_have_no_row_at_full_scale(self) -> None:
        """At full scale only the settings of the claim count."""
        assert rows_of(change_claim(), dense=dense(900, **FULL), otov3=pruned(895, 0.5, **FULL)) == []

    def test_full_scale_starts_as_the_paper(self) -> None:
        """Runs of the same recipe that started from scratch or from a file do not count."""
        records = {
            "a": dense(900, **FULL),
            "b": pruned(895, **FULL),
            "c": dense(500, **{**FULL, "init": "scratch"}),
            "d": pruned(900, **{**FULL, "init": "scratch"}),
            "e": pruned(500, **{**FULL, "init": WEIGHTS}),
        }

        (row,) = rows_of(change_claim(), **records)

        assert (row.scale, row.evidence) == ("full", "a, b")

    def test_reduced_scale_prefers_runs_from_scratch(self) -> None:
        """Runs that started from weights are only used if none started from scratch."""
        pretrained = {"c": dense(950, init=WEIGHTS), "d": pruned(945, init=WEIGHTS)}

        (from_scratch,) = rows_of(change_claim(), a=dense(900), b=pruned(880), **pretrained)
        (from_weights,) = rows_of(change_claim(), **pretrained)

        assert (from_scratch.evidence, from_weights.evidence) == ("a, b", "c, d")


class TestReasons:
    """The reason of an untested claim has one phrase per row at reduced scale."""

    OBSTACLE = Obstacle("weights", "train it")

    def test_phrase_has_value_model_settings_budget_and_verdict(self) -> None:
        """The remedy comes first; the phrases follow in the order of the rows."""
        rows = rows_of(change_claim(), dense=dense(900), half=pruned(900, 0.5), otov3=pruned(700))
        lost = format_interval(paired_difference(right(900), right(700)), "points")

        verdict = judge(change_claim(), Measured(tuple(rows), self.OBSTACLE))

        assert verdict.reason.split("; ") == [
            "train it",
            "at reduced scale 0 points (convnext_atto, target 0.5, 12 epochs, 1 seed) would be reproduced",
            f"{lost} (convnext_atto, target 0.8, 12 epochs, 1 seed) would be contradicted",
        ]

    def test_phrase_names_fine_tuning(self) -> None:
        """It distinguishes a trend after fine-tuning from the one before."""
        finetuned = {f"tuned{s}": finetuned_run(n, s) for s, n in ((0.5, 899), (0.7, 895), (0.9, 890))}

        verdict = judge(TREND, Measured(tuple(rows_of(TREND, **finetuned)), self.OBSTACLE))

        details = "convnext_atto, sparsities 3 from 0.5 to 0.9, finetuned 1 epoch, 1 seed"
        assert verdict.reason.split("; ") == ["train it", f"at reduced scale 1 τ ({details}) would be reproduced"]

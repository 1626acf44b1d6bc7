"""A row about accuracy compares runs of the same recipe, data and seed."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.evidence.statistics import paired_difference, relative_difference, wilson
from edgeai_repro.evidence.training_record import TrainingRecord
from tests.support.accuracy_claims import GAIN, TREND, WEIGHTS, change_claim, finetuned_run, rows_of, swept_run
from tests.support.records import FULL, dense, pruned, right


class TestComparison:
    """A row compares runs of the same recipe, data and seed."""

    def test_change_is_paired_with_the_dense_run(self) -> None:
        """The compressed model is compared with the dense one of the same recipe and seed, image by image."""
        (row,) = rows_of(change_claim(), dense=dense(900), otov3=pruned(910, int8=880))

        assert row.reported == paired_difference(right(900), right(880))
        assert (row.n, row.source, row.scale) == (1000, "recorded", "reduced")

    def test_row_names_its_settings_and_runs(self) -> None:
        """The evidence names both runs, and the seconds are the sum of theirs."""
        (row,) = rows_of(change_claim(), dense=dense(900), otov3=pruned(880))

        assert (row.evidence, row.seconds) == ("dense, otov3", 200.0)
        assert row.settings == {"target": 0.8}
        assert row.notes == {"epochs": 12, "seeds": 1}

    def test_change_may_be_relative(self) -> None:
        """The condition `reading` gives a change in points, or relative to the accuracy of the dense model."""
        claim = change_claim(conditions={"reading": ["points", "relative"]})

        points, relative = rows_of(claim, dense=dense(900), otov3=pruned(880))

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
        assert rows_of(change_claim(), dense=dense(900), otov3=pruned(880, **other)) == []

    def test_each_target_has_a_row_at_reduced_scale(self) -> None:
        """Targets that the claim does not name are reported, too, if runs have them."""
        rows = rows_of(change_claim(), dense=dense(900), half=pruned(890, 0.5), otov3=pruned(880))

        assert [(row.settings["target"], row.evidence) for row in rows] == [
            (0.5, "dense, half"),
            (0.8, "dense, otov3"),
        ]

    def test_seeds_are_averaged(self) -> None:
        """The value is the mean over seeds; the interval is wider than that of one seed."""
        records = {f"dense{seed}": dense(900, seed=seed) for seed in range(3)}
        records |= {f"otov3{seed}": pruned(880 + 10 * seed, seed=seed) for seed in range(3)}
        single = paired_difference(right(900), right(880))

        (row,) = rows_of(change_claim(), **records)

        assert row.notes["seeds"] == 3
        assert row.reported.value == pytest.approx(-1.0)
        assert row.reported.high - row.reported.low > 2.0 > single.high - single.low

    def test_only_equal_seeds_are_compared(self) -> None:
        """A seed that one side lacks counts neither for the value, nor as a seed, nor as evidence."""
        records = {"dense0": dense(900), "dense1": dense(950, seed=1), "otov3": pruned(880)}

        (row,) = rows_of(change_claim(), **records)

        assert row.reported.value == pytest.approx(-2.0)
        assert (row.notes["seeds"], row.evidence, row.seconds) == (1, "dense0, otov3", 200.0)

    def test_no_common_seed_gives_no_row(self) -> None:
        """It is not an error either."""
        assert rows_of(change_claim(), dense=dense(900), otov3=pruned(880, seed=1)) == []

    def test_change_without_a_dense_run_gives_no_row(self) -> None:
        """The compressed model has nothing to be compared with."""
        assert rows_of(change_claim(), otov3=pruned(880)) == []

    def test_accuracy_needs_no_dense_run(self) -> None:
        """Its interval is Wilson's."""
        (row,) = rows_of(change_claim(metric="accuracy"), otov3=pruned(880))

        assert row.reported == wilson(880, 1000)

    @pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
    def test_the_worse_of_two_pruning_times_counts(self, names: tuple[str, str]) -> None:
        """Two runs of one seed and target may have pruned at different times. Their names do not matter."""
        late, early = pruned(890, prune_until=0.8), pruned(880)

        (row,) = rows_of(change_claim(), dense=dense(900), **dict(zip(names, (late, early), strict=True)))

        assert row.reported.value == pytest.approx(-2.0)


class TestTrend:
    """The trend of accuracy over sparsity, before and after fine-tuning."""

    def test_sweep_and_fine_tuned_runs_are_two_rows(self) -> None:
        """Each row notes its sparsities and its training."""
        finetuned = {f"tuned{s}": finetuned_run(n, s) for s, n in ((0.5, 899), (0.7, 880), (0.9, 890))}

        before, after = rows_of(TREND, dense=swept_run(890, 800, 300), **finetuned)

        assert before.notes == {"sparsities": "3 from 0.1 to 0.9", "epochs": 12, "seeds": 1}
        assert after.notes == {"sparsities": "3 from 0.5 to 0.9", "finetuned": "1 epoch", "seeds": 1}
        assert before.settings == after.settings == {}
        assert [before.reported.value, after.reported.value] == pytest.approx([1.0, 1 / 3])
        assert {before.scale, after.scale} == {"reduced"}
        assert (before.evidence, after.evidence) == ("dense", "tuned0.5, tuned0.7, tuned0.9")

    def test_fine_tuned_run_does_not_join_the_sweep_of_a_dense_run(self) -> None:
        """Not even if it has the recipe of the dense run."""
        finetuned = finetuned_run(100, 0.5, epochs=12, lr=2e-3)

        (row,) = rows_of(TREND, dense=swept_run(890, 800, 300, init=WEIGHTS), tuned=finetuned)

        assert row.evidence == "dense"

    @pytest.mark.parametrize("sparsities", [(0.5,), (0.5, 0.9)])
    def test_one_or_two_sparsities_are_no_trend(self, sparsities: tuple[float, ...]) -> None:
        """There is no row, and no error."""
        assert rows_of(TREND, **{f"tuned{s}": finetuned_run(880, s) for s in sparsities}) == []

    def test_sparsities_of_different_seeds_are_no_trend(self) -> None:
        """A trend needs one seed that has all sparsities."""
        finetuned = {f"tuned{s}": finetuned_run(880, s, seed=seed) for seed, s in enumerate((0.5, 0.7, 0.9))}

        assert rows_of(TREND, **finetuned) == []

    @pytest.mark.parametrize(
        ("sweep", "rows"),
        [(swept_run(890, 300, sparsities=(0.1, 0.9), **FULL), 0), (swept_run(890, 800, 300, **FULL), 1)],
        ids=["some", "all"],
    )
    def test_full_scale_needs_all_sparsities_of_the_claim(self, sweep: TrainingRecord, rows: int) -> None:
        """A trend over some of them is not the one that the claim is about."""
        assert len(rows_of(TREND, dense=sweep)) == rows


class TestPretrainingGain:
    """Runs from weights are compared with runs from scratch."""

    def test_gain_compares_equal_target_and_budget(self) -> None:
        """The dense run does not count."""
        (row,) = rows_of(GAIN, a=pruned(850), b=pruned(880, init=WEIGHTS), dense=dense(900))

        assert row.reported == paired_difference(right(850), right(880))
        assert row.evidence == "a, b"

    def test_target_with_one_start_has_no_row(self) -> None:
        """Other targets keep their rows."""
        (row,) = rows_of(GAIN, a=pruned(850), b=pruned(860, 0.5), c=pruned(880, init=WEIGHTS))

        assert (row.settings["target"], row.evidence) == (0.8, "a, c")

    def test_longer_training_is_not_compared(self) -> None:
        """It would be a gain by training, not by pre-training."""
        assert rows_of(GAIN, a=pruned(850), b=pruned(880, init=WEIGHTS, epochs=24)) == []

    def test_full_scale_compares_the_start_of_the_paper(self) -> None:
        """Other weights do not count as the paper's."""
        records = {
            "a": pruned(850, **{**FULL, "init": "scratch"}),
            "b": pruned(880, **FULL),
            "c": pruned(100, **{**FULL, "init": WEIGHTS}),
        }

        (row,) = rows_of(GAIN, **records)

        assert (row.scale, row.evidence) == ("full", "a, b")

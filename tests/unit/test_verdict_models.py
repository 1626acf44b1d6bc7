"""Verdicts on several models, and on counts that a common counter gets wrong."""

from __future__ import annotations

import pytest

from tests.support.factories import band, claim, judged, row

TINY, SMALL, BASE = "convnext_tiny", "convnext_small", "convnext_base"


class TestModels:
    """Which model decides, and what a run without some of them decides."""

    @pytest.mark.parametrize("side", ["both", "at_least", "at_most"])
    @pytest.mark.parametrize(("metric", "deciding"), [("size_reduction", 10.0), ("linear_share_bytes", 8.0)])
    def test_best_value_of_up_to_is_that_of_the_metric(self, side: str, metric: str, deciding: float) -> None:
        """A large reduction is better, and so is a small distance, whatever side of the band is open."""
        asked = claim(metric=metric, models=[TINY, SMALL], quantifier="up_to", band=band(side))

        verdict = judged(asked, [row(8.0, model=TINY), row(10.0, model=SMALL)])

        assert verdict.row is not None
        assert deciding == verdict.row.reported.value

    @pytest.mark.parametrize(
        ("values", "worst"),
        [((10.0, 8.0, 13.0), 13.0), ((7.0, 10.0, 11.5), 7.0), ((10.0, 10.5, 9.25), 9.25), ((8.5, 10.0, 9.5), 8.5)],
    )
    def test_worst_of_every_lies_farthest_outside_on_either_side(
        self, values: tuple[float, ...], worst: float
    ) -> None:
        """If all lie inside, it is the one nearest to an edge."""
        asked = claim(models=[TINY, SMALL, BASE], quantifier="every")

        verdict = judged(asked, [row(v, model=m) for v, m in zip(values, asked.models, strict=True)])

        assert verdict.row is not None
        assert verdict.row.reported.value == worst
        assert verdict.verdict == ("reproduced" if 9 <= worst <= 11 else "contradicted")

    def test_reason_names_the_worst_offender_and_its_side(self) -> None:
        """Two networks cannot both have 25.6 M parameters if one has 138."""
        band = {"rounding": 0.05, "derivation": "one printed decimal"}
        each = claim(metric="params", models=["resnet50", "vgg16"], quantifier="every", value=25.6, band=band)

        verdict = judged(each, [row(25.557, model="resnet50"), row(138.358, model="vgg16")])

        assert verdict.verdict == "contradicted"
        assert verdict.reason == "138.36 M (vgg16) lies 112.71 M over the band, 25.55 … 25.65 M"

    def test_actual_value_ranks_the_models(self) -> None:
        """The best by the counter is not the best."""
        asked = claim(models=[TINY, SMALL], quantifier="up_to")

        verdict = judged(asked, [row(10.5, 8.0, model=TINY), row(9.5, 10.0, model=SMALL)])

        assert verdict.row is not None
        assert (verdict.verdict, verdict.row.model) == ("reproduced", SMALL)

    @pytest.mark.parametrize(
        ("quantifier", "side", "value", "expected"),
        [
            ("up_to", "both", 8.0, "not_testable"),
            ("up_to", "both", 10.0, "not_testable"),
            ("up_to", "both", 12.0, "contradicted"),
            ("every", "both", 8.0, "contradicted"),
            ("every", "both", 10.0, "not_testable"),
            ("every", "both", 12.0, "contradicted"),
            ("up_to", "at_least", 8.0, "not_testable"),
            ("up_to", "at_least", 10.0, "reproduced"),
            ("every", "at_least", 8.0, "contradicted"),
            ("every", "at_least", 10.0, "not_testable"),
            ("up_to", "at_most", 10.0, "not_testable"),
            ("up_to", "at_most", 12.0, "contradicted"),
            ("every", "at_most", 10.0, "not_testable"),
            ("every", "at_most", 12.0, "contradicted"),
        ],
    )
    def test_restricted_run_decides_only_if_the_missing_model_could_not_flip_it(
        self, quantifier: str, side: str, value: float, expected: str
    ) -> None:
        """A restricted run leaves every other claim open."""
        asked = claim(models=[TINY, SMALL], quantifier=quantifier, band=band(side))

        verdict = judged(asked, [row(value, model=TINY)])

        assert expected == verdict.verdict
        assert (verdict.requirement == "models") == (expected == "not_testable")

    def test_reason_names_the_missing_models_and_the_option(self) -> None:
        """The next step is in the reason."""
        verdict = judged(claim(models=[TINY, SMALL], quantifier="every"), [row(10.0)])

        assert "10 % (convnext_tiny) can't decide the claim without convnext_small" in verdict.reason
        assert "--claims-models" in verdict.reason

    def test_up_to_claim_is_no_artefact_while_a_model_is_missing(self) -> None:
        """A model that was not measured may be the best."""
        asked = claim(models=[TINY, SMALL], quantifier="up_to", band=band("at_least"))

        assert judged(asked, [row(10.0, 0.0)]).verdict == "not_testable"
        assert judged(asked, [row(10.0, 0.0), row(9.5, 8.5, model=SMALL)]).verdict == "artefact"

    def test_broken_every_claim_is_no_artefact_while_a_model_is_missing(self) -> None:
        """It fails whatever the missing model gives, but the counter may report too little for that model."""
        asked = claim(models=[TINY, SMALL], quantifier="every")

        assert judged(asked, [row(10.0, 0.0)]).verdict == "not_testable"
        assert judged(asked, [row(12.0, 0.0)]).verdict == "contradicted"

    def test_setting_that_was_not_measured_is_missing(self) -> None:
        """The reason names the model and the setting."""
        asked = claim(quantifier="every", settings={"sparsity": [0.5, 0.9]})

        verdict = judged(asked, [row(10.0, settings={"sparsity": 0.5})])

        assert verdict.verdict == "not_testable"
        assert "without convnext_tiny with sparsity 0.9" in verdict.reason

    def test_row_of_a_model_that_is_only_shown_decides_nothing(self) -> None:
        """The row stays in the rows of the verdict."""
        rows = [row(10.0), row(99.0, model=BASE)]

        verdict = judged(claim(also_shown=[BASE]), rows)

        assert verdict.verdict == "reproduced"
        assert tuple(rows) == verdict.rows

    def test_rows_of_models_that_are_only_shown_leave_the_claim_untested(self) -> None:
        """Without a row of its own models, a claim waits for models."""
        verdict = judged(claim(also_shown=[BASE]), [row(10.0, model=BASE)])

        assert (verdict.verdict, verdict.requirement) == ("not_testable", "models")

    @pytest.mark.parametrize(("quantifier", "deciding"), [("up_to", 10.0), ("every", 8.0)])
    def test_reported_value_breaks_ties_of_the_actual_one(self, quantifier: str, deciding: float) -> None:
        """The order of the rows does not matter."""
        asked = claim(models=[TINY, SMALL], quantifier=quantifier)
        rows = [row(10.0, 0.0, model=TINY), row(8.0, 0.0, model=SMALL)]

        for verdict in (judged(asked, rows), judged(asked, rows[::-1])):
            assert verdict.row is not None
            assert verdict.row.reported.value == deciding

    def test_best_setting_counts_for_up_to_and_the_worst_otherwise(self) -> None:
        """This holds for settings that are no choice."""
        rows = [row(value, settings={"sparsity": value / 20}) for value in (10.0, 12.0)]
        of_every = claim(quantifier="every", band=band("at_least"), settings={"sparsity": [0.5, 0.6]}, value=12.0)

        assert judged(of_every, rows).verdict == "contradicted"
        assert judged(of_every.model_copy(update={"quantifier": "up_to"}), rows).verdict == "reproduced"


class TestCounter:
    """A number that a common counter gets wrong, and a count that is only a lower bound."""

    @pytest.mark.parametrize(
        ("reported", "sentence"),
        [
            (6.0, "10 G (convnext_tiny) lies in the band, 9 … 11 G; thop reports 6 G, 4 G too little"),
            (13.0, "10 G (convnext_tiny) lies in the band, 9 … 11 G; thop reports 13 G, 3 G too much"),
            (10.5, "10 G (convnext_tiny) lies in the band, 9 … 11 G"),
        ],
    )
    def test_reproduced_claim_says_what_the_counter_reports_instead(self, reported: float, sentence: str) -> None:
        """A counter whose number lies in the band, too, is not named."""
        verdict = judged(claim(metric="macs"), [row(reported, 10.0)])

        assert (verdict.verdict, verdict.reason) == ("reproduced", sentence)

    def test_note_says_what_the_counter_misses(self) -> None:
        """It follows the difference."""
        verdict = judged(claim(metric="macs"), [row(6.0, 10.0, notes={"missed": "it sees no attention"})])

        assert verdict.reason.endswith("thop reports 6 G, 4 G too little: it sees no attention")

    def test_artefact_names_the_counter(self) -> None:
        """`parameters()` counts the parameters."""
        assert judged(claim(), [row(10.0, 0.0)]).reason == "parameters() reports 10 % (convnext_tiny); actually 0 %"

    @pytest.mark.parametrize(
        ("metric", "side", "actual", "expected"),
        [
            ("macs", "both", 10.0, "inconclusive"),
            ("macs", "both", 12.0, "contradicted"),
            ("macs", "at_least", 10.0, "reproduced"),
            ("macs", "at_least", 8.0, "inconclusive"),
            ("macs", "at_most", 10.0, "inconclusive"),
            ("macs", "at_most", 12.0, "contradicted"),
            ("macs_reduction", "at_least", 10.0, "inconclusive"),
            ("macs_reduction", "both", 12.0, "inconclusive"),
        ],
    )
    def test_lower_bound_decides_only_what_more_operators_could_not_change(
        self, metric: str, side: str, actual: float, expected: str
    ) -> None:
        """Operators add to a count. They can change a reduction both ways."""
        verdict = judged(claim(metric=metric, band=band(side)), [row(12.0, actual, uncounted=("aten::stft",))])

        assert verdict.verdict == expected, verdict.reason
        assert ("does not count aten::stft" in verdict.reason) == (expected == "inconclusive")

    def test_operators_that_no_actual_value_rests_on_decide_nothing(self) -> None:
        """Without an actual quantity, the reported one decides."""
        assert (
            judged(claim(metric="size_reduction"), [row(10.0, uncounted=("aten::stft",))]).verdict == "reproduced"
        )

"""Verdicts on claims with a setting that the paper leaves open."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.judge.choices import AccuracyCheck
from edgeai_repro.judge.verdict import Verdict
from tests.support.factories import claim, judged, row, swept, with_choice

TINY, SMALL = "convnext_tiny", "convnext_small"
STRADDLES = (10.5, 11.5)  # an edge of the factory's band, 9 … 11


class TestChoice:
    """A setting that the paper leaves open."""

    @pytest.mark.parametrize(
        ("reported", "expected"),
        [
            ((8.0, 8.5, 10.0), "attainable"),
            ((10.0, 8.5, 8.0), "attainable"),
            ((10.0, 10.0, 10.0), "reproduced"),
            ((8.0, 8.0, 8.5), "contradicted"),
            ((8.0, STRADDLES, 8.0), "inconclusive"),
            ((10.0, STRADDLES, 10.0), "inconclusive"),
            ((10.0, STRADDLES, 8.0), "attainable"),
        ],
    )
    def test_choice_that_makes_the_claim_true_or_false_makes_it_attainable(
        self, reported: Any, expected: str
    ) -> None:
        """A choice that changes nothing does not."""
        assert expected == judged(with_choice(), swept(*reported)).verdict

    def test_number_that_holds_at_every_choice_and_its_meaning_at_none_is_an_artefact(self) -> None:
        """The counters report the number; nothing of the kind was removed."""
        assert judged(with_choice(), swept(10.0, 10.0, 10.0, actual=0.0)).verdict == "artefact"

    def test_number_that_holds_at_some_choices_and_its_meaning_at_none_is_an_artefact(self) -> None:
        """No value of the choice makes the meaning hold."""
        assert judged(with_choice(), swept(8.0, 10.0, 8.0, actual=0.0)).verdict == "artefact"

    def test_attainable_claim_names_the_choice_and_its_ranges(self) -> None:
        """The reason has the range that holds and the range that was tried."""
        verdict = judged(with_choice(), swept(8.0, 10.0, 10.5))

        assert verdict.choices is not None
        assert (verdict.choices.name, verdict.choices.holding) == ("target", (0.7, 0.8))
        assert "holds with target 0.7 … 0.8 (tried 0.5 … 0.8)" in verdict.reason
        assert "the accuracy at that choice is not shown here" in verdict.reason

    def test_values_that_hold_are_listed_if_others_lie_between(self) -> None:
        """A range would include a value that fails."""
        assert "holds with target 0.5, 0.8 (tried" in judged(with_choice(), swept(10.0, 8.0, 10.0)).reason

    def test_row_of_the_default_represents_an_attainable_claim_if_it_holds(self) -> None:
        """If the default fails, a value that holds represents the claim."""
        of_recipe, of_other = (
            judged(with_choice(), swept(8.0, 10.0, 10.5)),
            judged(with_choice(), swept(8.0, 10.0, 12.0)),
        )

        assert of_recipe.row is not None
        assert of_other.row is not None
        assert (of_recipe.row.settings["target"], of_other.row.settings["target"]) == (0.8, 0.7)

    def test_untried_values_leave_the_claim_open_and_are_named(self) -> None:
        """A value that was not tried could make the claim false."""
        verdict = judged(with_choice(), [row(10.0, settings={"target": 0.8})])

        assert (verdict.verdict, verdict.requirement) == ("not_testable", "models")
        assert "without convnext_tiny with target 0.5, convnext_tiny with target 0.7" in verdict.reason

    def test_missing_model_counts_at_each_value_on_its_own(self) -> None:
        """A value that fails by one model fails; at the others, the missing model could fail."""
        swept_on = {"name": "target", "default": 0.8, "swept_on": [TINY, SMALL]}
        asked = with_choice(models=[TINY, SMALL], quantifier="every", choice=swept_on)

        assert judged(asked, swept(8.0, 8.0, 8.0)).verdict == "contradicted"
        assert judged(asked, swept(8.0, 8.0, 10.0)).verdict == "not_testable"

    def test_row_without_a_value_of_the_choice_is_refused(self) -> None:
        """Raises ValueError: the metric forgot the setting."""
        with pytest.raises(ValueError, match="a row of 'a-claim' must have a value of 'target'"):
            judged(with_choice(), [row(10.0)])


class TestAccuracyMaintained:
    """The accuracy of trained models at the values of a choice that hold."""

    MAINTAINED = claim(
        id="maintained",
        metric="accuracy_change",
        value=0.0,
        band={"interpretation": 1.0, "side": "at_least", "derivation": "for the test"},
    )
    ROWS = swept(8.0, 10.0, 10.5)  # so that 0.7 and 0.8 hold

    def _judge(self, *changes: tuple[float, Any], scale: str = "full") -> Verdict:
        rows = (row(change, settings={"target": target}, scale=scale) for target, change in changes)
        return judged(with_choice(), self.ROWS, AccuracyCheck(self.MAINTAINED, tuple(rows)))

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ([(0.8, 0.5)], "reproduced"),
            ([(0.8, -0.5)], "reproduced"),
            ([(0.7, -3.0), (0.8, 0.5)], "reproduced"),
            ([(0.7, -3.0), (0.8, -3.0)], "contradicted"),
            ([(0.8, -3.0)], "attainable"),
            ([(0.7, -3.0), (0.8, (-1.5, 0.5))], "attainable"),
            ([(0.5, 0.5)], "attainable"),
            ([], "attainable"),
            ([(0.8, 0.5), (0.8, -3.0)], "attainable"),
            ([(0.8, -3.0), (0.8, 0.5)], "attainable"),
            ([(0.8, 0.5), (0.8, -0.5)], "reproduced"),
            ([(0.7, -3.0), (0.8, 0.5), (0.8, -3.0)], "contradicted"),
        ],
    )
    def test_accuracy_at_the_values_that_hold_decides(
        self, changes: list[tuple[float, Any]], expected: str
    ) -> None:
        """Maintained at one value: reproduced; lost at all of them: contradicted; otherwise attainable.

        The worst of several models counts.
        """
        assert self._judge(*changes).verdict == expected

    def test_accuracy_at_reduced_scale_is_reported_and_decides_nothing(self) -> None:
        """The reason reports the value."""
        verdict = self._judge((0.8, 0.5), scale="reduced")

        assert verdict.verdict == "attainable"
        assert verdict.reason.endswith(
            "is not shown at full scale; at reduced scale 0.5 points (convnext_tiny, target 0.8)"
        )

    def test_accuracy_rows_stay_apart_from_the_rows_of_the_claim(self) -> None:
        """They are in another unit."""
        verdict = self._judge((0.8, 0.5))

        assert verdict.rows == tuple(self.ROWS)
        assert [kept.reported.value for kept in verdict.accuracy_rows] == [0.5]

    def test_row_of_a_value_that_maintains_the_accuracy_represents_the_claim(self) -> None:
        """The default does not maintain it."""
        verdict = self._judge((0.7, 0.5), (0.8, -3.0))

        assert verdict.row is not None
        assert verdict.row.settings["target"] == 0.7
        assert verdict.reason.endswith("the accuracy is maintained at target 0.7")

    @pytest.mark.parametrize(
        ("changes", "of", "amount", "text"),
        [
            (
                [(0.8, -0.75)],
                "value",
                0.25,
                "maintained: the reported value moves by 0.25 points (target 0.8)",
            ),
            ([(0.8, 9.0)], "value", 0.5, "the reported value moves by 0.5 points (target 0.8)"),
            ([(0.7, 0.0), (0.8, -0.75)], "value", 1.0, "the reported value moves by 1 points (target 0.7)"),
            (
                [(0.7, -3.0), (0.8, -1.5)],
                "band",
                0.5,
                "maintained: the band widens by 0.5 points (target 0.8)",
            ),
            ([(0.7, -9.0), (0.8, -9.0)], "band", 1.0, "the band widens by 1 points (target 0.5)"),
            (
                [(0.5, -9.0), (0.7, -9.0), (0.8, -9.0)],
                "band",
                8.0,
                "maintained: the band widens by 8 points (target 0.7)",
            ),
            ([(0.8, (-1.5, 0.5))], "choice", 0.3, "target is 0.5 instead of 0.8"),
        ],
    )
    def test_margin_is_the_nearest_edge_of_the_claim_or_the_accuracy(
        self, changes: list[tuple[float, Any]], of: str, amount: float, text: str
    ) -> None:
        """If several values maintain the accuracy, all of them must fail to flip the verdict."""
        margin = self._judge(*changes).flip_margin

        assert margin is not None
        assert (of, text) == (margin.of, margin.text)
        assert amount == pytest.approx(margin.amount)

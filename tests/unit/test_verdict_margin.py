"""Flip margins: the least change that would give another verdict."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.factories import band, claim, judged, row, swept, with_choice

TINY = "convnext_tiny"
STRADDLES = (10.5, 11.5)  # an edge of the factory's band, 9 … 11


class TestMargin:
    """The least change that would give another verdict."""

    @pytest.mark.parametrize(
        ("reported", "actual", "of", "amount", "text"),
        [
            (10.25, None, "value", 0.75, "the reported value moves by 0.75 points"),
            (10.25, 9.5, "value", 0.5, "the actual value moves by 0.5 points"),
            (10.25, 0.0, "value", 0.75, "the reported value moves by 0.75 points"),
            (11.5, None, "band", 0.5, "the band widens by 0.5 points"),
            (10.25, 11.5, "value", 0.5, "the actual value moves by 0.5 points"),
            ((9.25, 10.5), None, "value", 0.25, "the reported value moves by 0.25 points"),
            ((11.25, 12.0), None, "band", 0.25, "the band widens by 0.25 points"),
            (12.0, 9.25, "value", 0.25, "the actual value moves by 0.25 points"),
            (11.5, 13.0, "band", 0.5, "the band widens by 0.5 points"),
        ],
    )
    def test_decided_verdict_flips_at_the_nearest_edge(
        self, reported: Any, actual: Any, of: str, amount: float, text: str
    ) -> None:
        """The interval that is nearest to an edge of the band counts."""
        margin = judged(claim(), [row(reported, actual)]).flip_margin

        assert margin is not None
        assert (of, amount, text) == (margin.of, margin.amount, margin.text)

    @pytest.mark.parametrize(("side", "value", "amount"), [("at_least", 12.0, 3.0), ("at_most", 8.5, 2.5)])
    def test_open_end_of_the_band_is_no_edge(self, side: str, value: float, amount: float) -> None:
        """Only the closed end counts."""
        margin = judged(claim(band=band(side)), [row(value)]).flip_margin

        assert margin is not None
        assert amount == margin.amount

    def test_undecided_verdict_has_no_margin(self) -> None:
        """There is nothing to flip."""
        assert judged(claim(), [row(STRADDLES)]).flip_margin is None

    def test_attainable_claim_flips_with_the_nearest_failing_value(self) -> None:
        """The margin is a step of the choice."""
        margin = judged(with_choice(), swept(8.0, 8.5, 10.0)).flip_margin

        assert margin is not None
        assert margin.of == "choice"
        assert pytest.approx(0.1) == margin.amount
        assert margin.text == "target is 0.7 instead of 0.8"

    def test_step_between_named_values_is_one(self) -> None:
        """Names have no distance."""
        choice = {"name": "reading", "default": "points", "swept_on": [TINY]}
        asked = claim(conditions={"reading": ["points", "relative"]}, choice=choice)
        rows = [row(10.0, conditions={"reading": "points"}), row(8.0, conditions={"reading": "relative"})]

        margin = judged(asked, rows).flip_margin

        assert margin is not None
        assert (margin.amount, margin.text) == (1.0, "reading is relative instead of points")

    def test_margin_names_the_value_that_is_nearest_to_an_edge(self) -> None:
        """All values of the choice hold."""
        margin = judged(with_choice(), swept(10.75, 10.5, 10.0)).flip_margin

        assert margin is not None
        assert margin.text == "the reported value moves by 0.25 points (target 0.5)"

    def test_near_miss_stays_a_miss_and_says_by_how_much(self) -> None:
        """The reason has the distance and the side."""
        verdict = judged(claim(), [row(8.996)])

        assert verdict.verdict == "contradicted"
        assert verdict.reason == "8.996 % (convnext_tiny) lies 0.004 points under the band, 9 … 11 %"

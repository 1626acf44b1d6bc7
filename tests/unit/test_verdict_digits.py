"""Verdicts on numbers whose digits may be cut instead of rounded."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.judge.choices import Choices
from tests.support.factories import claim, judged, row

BAND = {"rounding": 0.05, "derivation": "one printed decimal"}
PRINTED_TO_A_TENTH = {"quote": "37.9 % fewer", "printed": "37.9 %", "value": 37.9, "band": BAND}


class TestDigits:
    """A paper doesn't say whether its digits are rounded or cut."""

    @pytest.mark.parametrize(
        ("actual", "verdict"),
        [
            (37.84, "contradicted"),
            (37.86, "reproduced"),
            (37.952, "attainable"),
            (37.99, "attainable"),
            (38.01, "contradicted"),
        ],
    )
    def test_value_that_fits_only_cut_digits_is_attainable(self, actual: float, verdict: str) -> None:
        """Cut digits allow up to one unit of the last digit more, and nothing less."""
        verdict_on = judged(claim(**PRINTED_TO_A_TENTH), [row(actual)])

        assert verdict_on.verdict == verdict
        assert (verdict_on.choices is not None) == (verdict == "attainable")

    def test_reason_and_margin_name_the_cut(self) -> None:
        """The other way to print the digits would flip the verdict."""
        verdict = judged(claim(**PRINTED_TO_A_TENTH), [row(37.952)])

        assert verdict.reason.endswith("only if the printed digits are cut, not rounded")
        assert verdict.choices == Choices(name="digits", tried=("rounded", "cut"), holding=("cut",))
        assert verdict.flip_margin is not None
        assert verdict.flip_margin.text == "digits are rounded instead of cut"

    def test_cut_negative_digits_are_nearer_to_zero(self) -> None:
        """-0.239 is cut to -0.23."""
        fields = {
            "quote": "-0.23",
            "printed": "-0.23",
            "value": -0.23,
            "band": {"rounding": 0.005, "derivation": "d"},
        }

        assert judged(claim(**fields), [row(-0.239)]).verdict == "attainable"
        assert judged(claim(**fields), [row(-0.224)]).verdict == "contradicted"

    @pytest.mark.parametrize(
        "fields",
        [
            {"printed": "50x", "value": 50.0, "band": {"rounding": 5.0, "derivation": "a round ten"}},
            {"printed": "52%", "value": 52.0, "band": {"rounding": 0.5, "side": "at_most", "derivation": "d"}},
            {"printed": "half", "value": 50.0, "band": {"interpretation": 5.0, "derivation": "a word"}},
        ],
        ids=["round number", "one-sided", "word"],
    )
    def test_number_without_a_last_digit_is_not_cut(self, fields: dict[str, Any]) -> None:
        """A round number has no unit of the last digit, and a bound no other side."""
        assert not claim(quote=fields["printed"], **fields).digits_may_be_cut

    @pytest.mark.parametrize(
        ("printed", "value", "rounding"),
        [("300M", 0.3, 0.0005), ("0.49M(42.4%)", 42.4, 0.05), ("1.21E8", 121.0, 0.5)],
    )
    def test_unit_of_the_metric_may_be_another_one(self, printed: str, value: float, rounding: float) -> None:
        """Only the digits count."""
        band = {"rounding": rounding, "derivation": "d"}

        assert claim(quote=printed, printed=printed, value=value, band=band).digits_may_be_cut

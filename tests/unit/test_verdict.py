"""Verdicts: every cell of the table of verdicts, with noise, scale and drift."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.evidence.measurement import Interval, Measured, Obstacle
from edgeai_repro.judge.formatting import format_number
from edgeai_repro.judge.verdict import judge
from tests.support.factories import band, claim, judged, row

INSIDE, OUTSIDE, STRADDLES = 10.0, 12.0, (10.5, 11.5)  # of the factory's band, 9 … 11
CELLS = [  # reported, actual
    (INSIDE, None, "reproduced"),
    (OUTSIDE, None, "contradicted"),
    (STRADDLES, None, "inconclusive"),
    *((reported, INSIDE, "reproduced") for reported in (INSIDE, OUTSIDE, STRADDLES)),
    (INSIDE, OUTSIDE, "artefact"),
    (OUTSIDE, OUTSIDE, "contradicted"),
    (STRADDLES, OUTSIDE, "inconclusive"),
    *((reported, STRADDLES, "inconclusive") for reported in (INSIDE, OUTSIDE, STRADDLES)),
]


@pytest.mark.parametrize(("reported", "actual", "expected"), CELLS)
def test_every_cell_of_the_table_has_its_verdict(reported: Any, actual: Any, expected: str) -> None:
    """Rows: where the reported value lies; columns: the actual one."""
    verdict = judged(claim(), [row(reported, actual)])

    assert expected == verdict.verdict, f"verdict={verdict.verdict}, but should be {expected} [{verdict.reason}]"


@pytest.mark.parametrize("edge", [9.0, 11.0])
def test_value_on_an_edge_is_inside_theband(edge: float) -> None:
    """The band is closed."""
    assert judged(claim(), [row(edge, edge)]).verdict == "reproduced"


@pytest.mark.parametrize(
    ("side", "value", "expected"),
    [
        ("both", 8.0, "contradicted"),
        ("both", 12.0, "contradicted"),
        ("at_least", 8.0, "contradicted"),
        ("at_least", 12.0, "reproduced"),
        ("at_most", 8.0, "reproduced"),
        ("at_most", 12.0, "contradicted"),
    ],
)
def test_better_value_contradicts_unless_the_band_is_open_to_that_side(
    side: str, value: float, expected: str
) -> None:
    """A two-sided band has two edges."""
    assert expected == judged(claim(band=band(side)), [row(value)]).verdict


class TestNoise:
    """The A/A control of timings."""

    @pytest.mark.parametrize(
        ("control", "expected"),
        [((0.95, 1.05), "reproduced"), ((0.94, 1.0), "inconclusive"), ((1.0, 1.06), "inconclusive")],
    )
    def test_control_outside_of_5_percent_is_inconclusive(
        self, control: tuple[float, float], expected: str
    ) -> None:
        """The whole interval must lie in [0.95, 1.05]."""
        low, high = control

        verdict = judged(claim(), [row(10.0, control=Interval(value=1.0, low=low, high=high))])

        assert expected == verdict.verdict

    def test_noisy_run_is_no_contradiction_and_reports_its_control(self) -> None:
        """Its value does not matter."""
        verdict = judged(claim(), [row(99.0, control=Interval(value=1.0, low=0.5, high=1.5))])

        assert verdict.verdict == "inconclusive"
        assert verdict.reason == "too noisy: the A/A control is 0.50 … 1.50, not 1 ± 0.05; try again"


class TestScale:
    """Rows at less than the paper's scale."""

    def test_rows_at_reduced_scale_leave_the_claim_untested(self) -> None:
        """The claim waits for weights; the reason reports the values."""
        verdict = judged(claim(), [row(10.0, scale="reduced")])

        assert (verdict.verdict, verdict.requirement) == ("not_testable", "weights")
        assert "10 % (convnext_tiny)" in verdict.reason
        assert "at full scale" in verdict.reason

    def test_row_at_reduced_scale_does_not_count(self) -> None:
        """Only rows at full scale count."""
        assert judged(claim(), [row(99.0, scale="reduced"), row(10.0)]).verdict == "reproduced"


class TestDrift:
    """A decided verdict other than the expected one."""

    @pytest.mark.parametrize(
        ("expected", "reported", "actual", "drifted"),
        [
            ("reproduced", 10.0, 10.0, False),
            ("reproduced", 12.0, 12.0, True),
            ("artefact", 10.0, 0.0, False),
            ("artefact", 10.0, 10.0, True),
            ("contradicted", 12.0, 12.0, False),
            ("contradicted", 10.0, 10.0, True),
            ("reproduced", STRADDLES, None, False),
            ("contradicted", STRADDLES, None, False),
        ],
    )
    def test_other_decided_verdict_drifts_in_both_directions(
        self, expected: str, reported: Any, actual: Any, drifted: bool
    ) -> None:
        """An undecided verdict never drifts."""
        asked = claim(expect={"verdict": expected, "reason": "the test says so"})

        assert drifted == judged(asked, [row(reported, actual)]).drifted

    def test_claim_that_waits_for_a_requirement_has_not_drifted(self) -> None:
        """The reason is the remedy."""
        verdict = judge(claim(), Measured(obstacle=Obstacle("data", "set EDGEAI_DATA")))

        assert (verdict.verdict, verdict.requirement, verdict.reason) == ("not_testable", "data", "set EDGEAI_DATA")
        assert not verdict.drifted


def test_no_rows_are_refused() -> None:
    """Raises ValueError."""
    with pytest.raises(ValueError, match="the rows of 'a-claim' must not be empty"):
        judged(claim(), [])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (95.4, "95.4"),
        (95.456, "95.46"),
        (100.0, "100"),
        (0.0, "0"),
        (-0.0, "0"),
        (-0.001, "-0.001"),
        (0.004, "0.004"),
    ],
)
def test_number_has_at_most_two_decimals(value: float, text: str) -> None:
    """It has no trailing zeros; only 0 is shown as 0."""
    assert f"{text} %" == format_number(value, "%")
    assert text == format_number(value, "")

"""Verdicts: every cell of the table of verdicts, with margins and reasons."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measured, Measurement, Obstacle
from edgeai_repro.judge.choices import AccuracyCheck
from edgeai_repro.judge.formatting import format_number
from edgeai_repro.judge.verdict import Verdict, judge
from tests.support.factories import claim, judged, row

TINY, SMALL, BASE = "convnext_tiny", "convnext_small", "convnext_base"
INSIDE, OUTSIDE, STRADDLES = 10.0, 12.0, (10.5, 11.5)  # of the factory's band, 9 … 11
CELLS = [
    (INSIDE, None, "reproduced"),
    (INSIDE, INSIDE, "reproduced"),
    (INSIDE, OUTSIDE, "artefact"),
    (INSIDE, STRADDLES, "inconclusive"),
    *((OUTSIDE, actual, "contradicted") for actual in (None, INSIDE, OUTSIDE, STRADDLES)),
    *((STRADDLES, actual, "inconclusive") for actual in (None, INSIDE, OUTSIDE, STRADDLES)),
]


def _band(side: str = "both") -> dict[str, Any]:
    return {"rounding": 1.0, "side": side, "derivation": "for the test"}


def _free(**fields: Any) -> Claim:
    """Return a claim with a choice of the target: 0.5, 0.7 or the default of 0.8."""
    choice = {"name": "target", "default": 0.8, "swept_on": [TINY]}
    return claim(**{"settings": {"target": [0.5, 0.7, 0.8]}, "choice": choice, **fields})


def _swept(*reported: Any, actual: Any = None, model: str = TINY) -> list[Measurement]:
    targets = (0.5, 0.7, 0.8)
    return [
        row(value, actual, model=model, settings={"target": t}) for value, t in zip(reported, targets, strict=True)
    ]


@pytest.mark.parametrize(("reported", "actual", "expected"), CELLS)
def test_every_cell_of_the_table_has_its_verdict(reported: Any, actual: Any, expected: str) -> None:
    """Rows: where the reported value lies; columns: the actual one."""
    verdict = judged(claim(), [row(reported, actual)])

    assert expected == verdict.verdict, f"verdict={verdict.verdict}, but should be {expected} [{verdict.reason}]"


@pytest.mark.parametrize("edge", [9.0, 11.0])
def test_value_on_an_edge_is_inside_the_band(edge: float) -> None:
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
    assert expected == judged(claim(band=_band(side)), [row(value)]).verdict


class TestModels:
    """Which model decides, and what a run without some of them decides."""

    @pytest.mark.parametrize(
        ("quantifier", "side", "values", "deciding"),
        [
            ("up_to", "both", (8.0, 10.0), SMALL),
            ("every", "both", (8.0, 10.0), TINY),
            ("up_to", "at_least", (8.0, 10.0), SMALL),
            ("every", "at_least", (8.0, 10.0), TINY),
            ("up_to", "at_most", (8.0, 10.0), TINY),
            ("every", "at_most", (8.0, 10.0), SMALL),
        ],
    )
    def test_up_to_is_judged_by_the_best_model_and_every_by_the_worst(
        self, quantifier: str, side: str, values: tuple[float, float], deciding: str
    ) -> None:
        """The best of 'at most' is the smallest."""
        asked = claim(models=[TINY, SMALL], quantifier=quantifier, band=_band(side))

        verdict = judged(asked, [row(values[0], model=TINY), row(values[1], model=SMALL)])

        assert verdict.row is not None
        assert deciding == verdict.row.model

    @pytest.mark.parametrize(
        ("quantifier", "side", "value", "expected"),
        [
            ("up_to", "both", 8.0, "not_testable"),
            ("up_to", "both", 10.0, "not_testable"),
            ("up_to", "both", 12.0, "contradicted"),
            ("every", "both", 8.0, "contradicted"),
            ("every", "both", 10.0, "not_testable"),
            ("every", "both", 12.0, "not_testable"),
            ("up_to", "at_least", 8.0, "not_testable"),
            ("up_to", "at_least", 10.0, "reproduced"),
            ("every", "at_least", 8.0, "contradicted"),
            ("every", "at_least", 10.0, "not_testable"),
            ("up_to", "at_most", 10.0, "reproduced"),
            ("up_to", "at_most", 12.0, "not_testable"),
            ("every", "at_most", 10.0, "not_testable"),
            ("every", "at_most", 12.0, "contradicted"),
        ],
    )
    def test_restricted_run_decides_only_if_the_missing_model_could_not_flip_it(
        self, quantifier: str, side: str, value: float, expected: str
    ) -> None:
        """A restricted run leaves every other claim open."""
        asked = claim(models=[TINY, SMALL], quantifier=quantifier, band=_band(side))

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
        asked = claim(models=[TINY, SMALL], quantifier="up_to", band=_band("at_least"))

        assert judged(asked, [row(10.0, 0.0)]).verdict == "not_testable"
        assert judged(asked, [row(10.0, 0.0), row(9.5, 9.5, model=SMALL)]).verdict == "artefact"

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

    @pytest.mark.parametrize(("quantifier", "deciding"), [("up_to", 10.0), ("every", 0.0)])
    def test_actual_value_breaks_ties_of_the_reported_one(self, quantifier: str, deciding: float) -> None:
        """The order of the rows does not matter."""
        asked = claim(models=[TINY, SMALL], quantifier=quantifier)
        rows = [row(10.0, 0.0, model=TINY), row(10.0, 10.0, model=SMALL)]

        for verdict in (judged(asked, rows), judged(asked, rows[::-1])):
            assert verdict.row is not None
            assert verdict.row.actual is not None
            assert verdict.row.actual.value == deciding

    def test_best_setting_counts_for_up_to_and_the_worst_otherwise(self) -> None:
        """This holds for settings that are no choice."""
        rows = [row(value, settings={"sparsity": value / 20}) for value in (10.0, 12.0)]
        of_every = claim(quantifier="every", band=_band("at_most"), settings={"sparsity": [0.5, 0.6]})

        assert judged(of_every, rows).verdict == "contradicted"
        assert judged(of_every.model_copy(update={"quantifier": "up_to"}), rows).verdict == "reproduced"


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
        assert expected == judged(_free(), _swept(*reported)).verdict

    def test_number_that_holds_at_every_choice_and_its_meaning_at_none_is_an_artefact(self) -> None:
        """The counters report the number; nothing of the kind was removed."""
        assert judged(_free(), _swept(10.0, 10.0, 10.0, actual=0.0)).verdict == "artefact"

    def test_number_that_holds_at_some_choices_and_its_meaning_at_none_is_an_artefact(self) -> None:
        """No value of the choice makes the meaning hold."""
        assert judged(_free(), _swept(8.0, 10.0, 8.0, actual=0.0)).verdict == "artefact"

    def test_attainable_claim_names_the_choice_and_its_ranges(self) -> None:
        """The reason has the range that holds and the range that was tried."""
        verdict = judged(_free(), _swept(8.0, 10.0, 10.5))

        assert verdict.choices is not None
        assert (verdict.choices.name, verdict.choices.holding) == ("target", (0.7, 0.8))
        assert "holds with target 0.7 … 0.8 (tried 0.5 … 0.8)" in verdict.reason
        assert "the accuracy at that choice is not shown here" in verdict.reason

    def test_values_that_hold_are_listed_if_others_lie_between(self) -> None:
        """A range would include a value that fails."""
        assert "holds with target 0.5, 0.8 (tried" in judged(_free(), _swept(10.0, 8.0, 10.0)).reason

    def test_row_of_the_default_represents_an_attainable_claim_if_it_holds(self) -> None:
        """If the default fails, a value that holds represents the claim."""
        of_recipe, of_other = judged(_free(), _swept(8.0, 10.0, 10.5)), judged(_free(), _swept(8.0, 10.0, 12.0))

        assert of_recipe.row is not None
        assert of_other.row is not None
        assert (of_recipe.row.settings["target"], of_other.row.settings["target"]) == (0.8, 0.7)

    def test_model_that_does_not_sweep_counts_at_the_default(self) -> None:
        """A model outside of `swept_on` has one row only."""
        asked = _free(models=[TINY, SMALL], quantifier="every")
        rows = _swept(10.0, 10.0, 10.0)

        assert judged(asked, [*rows, row(10.0, model=SMALL, settings={"target": 0.8})]).verdict == "reproduced"
        assert judged(asked, [*rows, row(8.0, model=SMALL, settings={"target": 0.8})]).verdict == "attainable"

    def test_untried_values_leave_the_claim_open_and_are_named(self) -> None:
        """No model that sweeps the choice was measured."""
        asked = _free(models=[TINY, SMALL], quantifier="up_to", band=_band("at_least"))

        verdict = judged(asked, [row(10.0, model=SMALL, settings={"target": 0.8})])

        assert (verdict.verdict, verdict.requirement) == ("not_testable", "models")
        assert verdict.reason == "target 0.5, 0.7 not tried; run without --claims-models"

    def test_row_without_a_value_of_the_choice_is_refused(self) -> None:
        """Raises ValueError: the metric forgot the setting."""
        with pytest.raises(ValueError, match="a row of 'a-claim' must have a value of 'target'"):
            judged(_free(), [row(10.0)])


class TestAccuracyMaintained:
    """The accuracy of trained models at the values of a choice that hold."""

    MAINTAINED = claim(
        id="maintained",
        metric="accuracy_change",
        value=0.0,
        band={"interpretation": 1.0, "side": "at_least", "derivation": "for the test"},
    )
    ROWS = _swept(8.0, 10.0, 10.5)  # so that 0.7 and 0.8 hold

    def _judge(self, *changes: tuple[float, Any], scale: str = "full") -> Verdict:
        rows = (row(change, settings={"target": target}, scale=scale) for target, change in changes)
        return judged(_free(), self.ROWS, AccuracyCheck(self.MAINTAINED, tuple(rows)))

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


class TestMargin:
    """The least change that would give another verdict."""

    @pytest.mark.parametrize(
        ("reported", "actual", "of", "amount", "text"),
        [
            (10.25, None, "value", 0.75, "the reported value moves by 0.75 points"),
            (10.25, 9.5, "value", 0.5, "the actual value moves by 0.5 points"),
            (10.25, 0.0, "value", 0.75, "the reported value moves by 0.75 points"),
            (10.25, 8.5, "value", 0.5, "the actual value moves by 0.5 points"),
            (11.5, None, "band", 0.5, "the band widens by 0.5 points"),
            (11.5, 10.9, "band", 0.5, "the band widens by 0.5 points"),
            ((9.25, 10.5), None, "value", 0.25, "the reported value moves by 0.25 points"),
            ((11.25, 12.0), None, "band", 0.25, "the band widens by 0.25 points"),
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
        margin = judged(claim(band=_band(side)), [row(value)]).flip_margin

        assert margin is not None
        assert amount == margin.amount

    def test_undecided_verdict_has_no_margin(self) -> None:
        """There is nothing to flip."""
        assert judged(claim(), [row(STRADDLES)]).flip_margin is None

    def test_attainable_claim_flips_with_the_nearest_failing_value(self) -> None:
        """The margin is a step of the choice."""
        margin = judged(_free(), _swept(8.0, 8.5, 10.0)).flip_margin

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
        margin = judged(_free(), _swept(10.75, 10.5, 10.0)).flip_margin

        assert margin is not None
        assert margin.text == "the reported value moves by 0.25 points (target 0.5)"

    def test_near_miss_stays_a_miss_and_says_by_how_much(self) -> None:
        """The reason has the distance and the side."""
        verdict = judged(claim(), [row(8.996)])

        assert verdict.verdict == "contradicted"
        assert verdict.reason == "9 % (convnext_tiny) lies 0.004 points under the band, 9 … 11 %"


class TestDrift:
    """A decided verdict other than the expected one."""

    @pytest.mark.parametrize(
        ("expected", "reported", "actual", "drifted"),
        [
            ("reproduced", 10.0, 10.0, False),
            ("reproduced", 12.0, 10.0, True),
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

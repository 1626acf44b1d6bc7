"""Verdicts, cell by cell of the design's table, with their margins and reasons."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measurement
from edgeai_repro.judge.formatting import format_number
from edgeai_repro.judge.verdict import AccuracyCheck, Verdict, judge, not_testable
from tests.support.factories import claim, row

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
    """Return a claim whose target is a free choice of 0.5, 0.7 and 0.8, ours being 0.8."""
    choice = {"name": "target", "default": 0.8, "swept_on": [TINY]}
    return claim(**{"settings": {"target": [0.5, 0.7, 0.8]}, "choice": choice, **fields})


def _swept(*reported: Any, actual: Any = None, model: str = TINY) -> list[Measurement]:
    targets = (0.5, 0.7, 0.8)
    return [
        row(value, actual, model=model, settings={"target": t}) for value, t in zip(reported, targets, strict=True)
    ]


@pytest.mark.parametrize(("reported", "actual", "expected"), CELLS)
def test_cells(reported: Any, actual: Any, expected: str) -> None:
    """Each cell of the table, reported by actual, has its verdict."""
    found = judge(claim(), [row(reported, actual)])

    assert expected == found.verdict, f"verdict={found.verdict}, but should be expected {expected} [{found.reason}]"


@pytest.mark.parametrize("edge", [9.0, 11.0])
def test_edges_are_inside(edge: float) -> None:
    """A value on the band's edge is in the band."""
    assert judge(claim(), [row(edge, edge)]).verdict == "reproduced"


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
def test_better_is_a_finding_too(side: str, value: float, expected: str) -> None:
    """A value beyond the paper's contradicts it, unless the band is open to that side."""
    assert expected == judge(claim(band=_band(side)), [row(value)]).verdict


class TestModels:
    """Which model decides, and what can be told without some of them."""

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
    def test_quantifier(self, quantifier: str, side: str, values: tuple[float, float], deciding: str) -> None:
        """'up_to' is judged on the best model, 'every' on the worst; of 'at most', less is best."""
        asked = claim(models=[TINY, SMALL], quantifier=quantifier, band=_band(side))

        found = judge(asked, [row(values[0], model=TINY), row(values[1], model=SMALL)])

        assert found.row is not None
        assert deciding == found.row.model

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
    def test_restricted(self, quantifier: str, side: str, value: float, expected: str) -> None:
        """A run without one of the models judges only what that one could not turn."""
        asked = claim(models=[TINY, SMALL], quantifier=quantifier, band=_band(side))

        found = judge(asked, [row(value, model=TINY)])

        assert expected == found.verdict
        assert (found.requirement == "models") == (expected == "not_testable")

    def test_restricted_says_what_to_do(self) -> None:
        """A claim that the restriction leaves open names the models left out and the option."""
        found = judge(claim(models=[TINY, SMALL], quantifier="every"), [row(10.0)])

        assert "10 % (convnext_tiny) alone can't settle it" in found.reason
        assert "convnext_small left out; run without --claims-models" in found.reason

    def test_actual_of_the_missing(self) -> None:
        """Whether an 'up_to' claim is an artefact can't be told without all models: another may be the best."""
        asked = claim(models=[TINY, SMALL], quantifier="up_to", band=_band("at_least"))

        assert judge(asked, [row(10.0, 0.0)]).verdict == "not_testable"
        assert judge(asked, [row(10.0, 0.0), row(9.5, 9.5, model=SMALL)]).verdict == "artefact"

    def test_neighbours_are_shown(self) -> None:
        """A neighbour's row stays in the rows and decides nothing."""
        rows = [row(10.0), row(99.0, model=BASE)]

        found = judge(claim(also_shown=[BASE]), rows)

        assert found.verdict == "reproduced"
        assert tuple(rows) == found.rows

    def test_neighbours_alone(self) -> None:
        """Neighbours' rows alone leave a claim untested."""
        found = judge(claim(also_shown=[BASE]), [row(10.0, model=BASE)])

        assert (found.verdict, found.condition) == ("not_testable", "models")

    @pytest.mark.parametrize(("quantifier", "deciding"), [("up_to", 10.0), ("every", 0.0)])
    def test_ties(self, quantifier: str, deciding: float) -> None:
        """Of equal reported values, the actual one tells which is best, in whatever order they come."""
        asked = claim(models=[TINY, SMALL], quantifier=quantifier)
        rows = [row(10.0, 0.0, model=TINY), row(10.0, 10.0, model=SMALL)]

        for found in (judge(asked, rows), judge(asked, rows[::-1])):
            assert found.row is not None
            assert found.row.actual is not None
            assert found.row.actual.value == deciding

    def test_settings(self) -> None:
        """Of several settings without a free choice, the best counts for 'up_to' and the worst otherwise."""
        rows = [row(value, settings={"sparsity": value / 20}) for value in (10.0, 12.0)]
        of_every = claim(quantifier="every", band=_band("at_most"), settings={"sparsity": [0.5, 0.6]})

        assert judge(of_every, rows).verdict == "contradicted"
        assert judge(of_every.model_copy(update={"quantifier": "up_to"}), rows).verdict == "reproduced"


class TestChoice:
    """A setting that the paper doesn't state."""

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
    def test_combination(self, reported: Any, expected: str) -> None:
        """A choice that makes the claim true or false makes it attainable; one that changes nothing doesn't."""
        assert expected == judge(_free(), _swept(*reported)).verdict

    def test_artefact(self) -> None:
        """Where the number holds at every choice and its meaning at none, it is an artefact."""
        assert judge(_free(), _swept(10.0, 10.0, 10.0, actual=0.0)).verdict == "artefact"

    def test_artefact_at_some(self) -> None:
        """Where the number holds at some choices only, and its meaning at none, it is an artefact."""
        assert judge(_free(), _swept(8.0, 10.0, 8.0, actual=0.0)).verdict == "artefact"

    def test_named(self) -> None:
        """An attainable claim names the choice, the range that holds, and the range that was tried."""
        found = judge(_free(), _swept(8.0, 10.0, 10.5))

        assert found.choices is not None
        assert (found.choices.name, found.choices.holding) == ("target", (0.7, 0.8))
        assert "holds with target 0.7 … 0.8 (tried 0.5 … 0.8)" in found.reason
        assert "accuracy at that choice isn't shown here" in found.reason

    def test_broken_range(self) -> None:
        """Where the values that hold aren't neighbours, they are listed one by one."""
        assert "holds with target 0.5, 0.8 (tried" in judge(_free(), _swept(10.0, 8.0, 10.0)).reason

    def test_recipe_stands_for_it(self) -> None:
        """The row of our own choice stands for an attainable claim where it holds, else one that does."""
        of_recipe, of_other = judge(_free(), _swept(8.0, 10.0, 10.5)), judge(_free(), _swept(8.0, 10.0, 12.0))

        assert of_recipe.row is not None
        assert of_other.row is not None
        assert (of_recipe.row.params["target"], of_other.row.params["target"]) == (0.8, 0.7)

    def test_unswept_models(self) -> None:
        """A model that doesn't sweep the choice counts at our own value of it."""
        asked = _free(models=[TINY, SMALL], quantifier="every")
        rows = _swept(10.0, 10.0, 10.0)

        assert judge(asked, [*rows, row(10.0, model=SMALL, settings={"target": 0.8})]).verdict == "reproduced"
        assert judge(asked, [*rows, row(8.0, model=SMALL, settings={"target": 0.8})]).verdict == "attainable"

    def test_untried(self) -> None:
        """Where no model that sweeps is here, the claim stays open and says which values were not tried."""
        asked = _free(models=[TINY, SMALL], quantifier="up_to", band=_band("at_least"))

        found = judge(asked, [row(10.0, model=SMALL, settings={"target": 0.8})])

        assert (found.verdict, found.condition) == ("not_testable", "models")
        assert found.reason == "target 0.5, 0.7 not tried; run without --claims-models"

    def test_params_without_it(self) -> None:
        """Raises ValueError if no row tells its value of the choice: the metric forgot it."""
        with pytest.raises(ValueError, match="'params' of a row of 'a-claim' must hold its 'target'"):
            judge(_free(), [row(10.0)])


class TestAccuracyKept:
    """What trained models tell of the values of a free choice that hold."""

    MAINTAINED = claim(
        id="maintained",
        metric="accuracy_change",
        value=0.0,
        band={"rounding": 0.0, "tolerance": 1.0, "side": "at_least", "derivation": "for the test"},
    )
    ROWS = _swept(8.0, 10.0, 10.5)  # so that 0.7 and 0.8 hold

    def _judge(self, *changes: tuple[float, Any], scale: str = "full") -> Verdict:
        rows = (row(change, settings={"target": target}, scale=scale) for target, change in changes)
        return judge(_free(), self.ROWS, AccuracyCheck(self.MAINTAINED, tuple(rows)))

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
    def test_decides(self, changes: list[tuple[float, Any]], expected: str) -> None:
        """Kept at one value that holds, the claim is reproduced; lost at all of them, contradicted; else open.

        Of several models of one value the worst counts, in whatever order they come.
        """
        assert self._judge(*changes).verdict == expected

    def test_reduced(self) -> None:
        """What is known at reduced scale only is told, and decides nothing."""
        found = self._judge((0.8, 0.5), scale="reduced")

        assert found.verdict == "attainable"
        assert found.reason.endswith("isn't shown at full scale; at reduced scale 0.5 points (convnext_tiny)")

    def test_apart(self) -> None:
        """Rows of accuracy stand apart from those of the claim, which are in another unit."""
        found = self._judge((0.8, 0.5))

        assert found.rows == tuple(self.ROWS)
        assert [kept.reported.value for kept in found.accuracy_rows] == [0.5]

    def test_row_that_keeps_it(self) -> None:
        """The row of a value that keeps the accuracy stands for the claim, though our own choice doesn't."""
        found = self._judge((0.7, 0.5), (0.8, -3.0))

        assert found.row is not None
        assert found.row.params["target"] == 0.7
        assert found.reason.endswith("and accuracy is kept at target 0.7")

    @pytest.mark.parametrize(
        ("changes", "of", "amount", "text"),
        [
            (
                [(0.8, -0.75)],
                "value",
                0.25,
                "maintained: reported value by 0.25 points (target 0.8)",
            ),
            ([(0.8, 9.0)], "value", 0.5, "reported value by 0.5 points (target 0.8)"),
            ([(0.7, 0.0), (0.8, -0.75)], "value", 1.0, "reported value by 1 points (target 0.7)"),
            (
                [(0.7, -3.0), (0.8, -1.5)],
                "band",
                0.5,
                "maintained: a band wider by 0.5 points (target 0.8)",
            ),
            ([(0.7, -9.0), (0.8, -9.0)], "band", 1.0, "a band wider by 1 points (target 0.5)"),
            (
                [(0.5, -9.0), (0.7, -9.0), (0.8, -9.0)],
                "band",
                8.0,
                "maintained: a band wider by 8 points (target 0.7)",
            ),
            ([(0.8, (-1.5, 0.5))], "choice", 0.3, "target 0.5 instead of 0.8"),
        ],
    )
    def test_margin(self, changes: list[tuple[float, Any]], of: str, amount: float, text: str) -> None:
        """What would turn it is what is nearest to an edge: the claim's value or the accuracy, where one is enough.

        Kept at several values, all must fail; lost at all, one that is kept, or another that holds, is enough.
        """
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
    def test_control(self, control: tuple[float, float], expected: str) -> None:
        """A control that leaves 1 ± 0.05 anywhere makes the run too noisy."""
        low, high = control

        found = judge(claim(), [row(10.0, control=Interval(value=1.0, low=low, high=high))])

        assert expected == found.verdict

    def test_not_failed(self) -> None:
        """A noisy run is no contradiction, whatever its value, and shows the control's figures."""
        found = judge(claim(), [row(99.0, control=Interval(value=1.0, low=0.5, high=1.5))])

        assert found.verdict == "inconclusive"
        assert found.reason == "too noisy: the A/A control gives 0.50 … 1.50, not 1 ± 0.05; try again"


class TestScale:
    """Rows that were measured at less than the paper's scale."""

    def test_reduced_only(self) -> None:
        """Rows at reduced scale alone leave a claim untested: it waits for weights; the figures are told."""
        found = judge(claim(), [row(10.0, scale="reduced")])

        assert (found.verdict, found.condition) == ("not_testable", "weights")
        assert "10 % (convnext_tiny)" in found.reason
        assert "at full scale" in found.reason

    def test_beside_full(self) -> None:
        """A row at reduced scale stands beside one at full scale and doesn't count."""
        assert judge(claim(), [row(99.0, scale="reduced"), row(10.0)]).verdict == "reproduced"


class TestMargin:
    """The least change that would turn a verdict."""

    @pytest.mark.parametrize(
        ("reported", "actual", "of", "amount", "text"),
        [
            (10.25, None, "value", 0.75, "reported value by 0.75 points"),
            (10.25, 9.5, "value", 0.5, "actual value by 0.5 points"),
            (10.25, 0.0, "value", 0.75, "reported value by 0.75 points"),
            (10.25, 8.5, "value", 0.5, "actual value by 0.5 points"),
            (11.5, None, "band", 0.5, "a band wider by 0.5 points"),
            (11.5, 10.9, "band", 0.5, "a band wider by 0.5 points"),
            ((9.25, 10.5), None, "value", 0.25, "reported value by 0.25 points"),
            ((11.25, 12.0), None, "band", 0.25, "a band wider by 0.25 points"),
        ],
    )
    def test_decided(self, reported: Any, actual: Any, of: str, amount: float, text: str) -> None:
        """A decided verdict turns on the interval that is nearest to an edge of the band."""
        margin = judge(claim(), [row(reported, actual)]).flip_margin

        assert margin is not None
        assert (of, amount, text) == (margin.of, margin.amount, margin.text)

    @pytest.mark.parametrize(("side", "value", "amount"), [("at_least", 12.0, 3.0), ("at_most", 8.5, 2.5)])
    def test_one_sided(self, side: str, value: float, amount: float) -> None:
        """An open end of the band is no edge."""
        margin = judge(claim(band=_band(side)), [row(value)]).flip_margin

        assert margin is not None
        assert amount == margin.amount

    def test_undecided(self) -> None:
        """A verdict that is not decided has no margin."""
        assert judge(claim(), [row(STRADDLES)]).flip_margin is None

    def test_choice(self) -> None:
        """An attainable claim turns with the nearest value of the choice that fails."""
        margin = judge(_free(), _swept(8.0, 8.5, 10.0)).flip_margin

        assert margin is not None
        assert margin.of == "choice"
        assert pytest.approx(0.1) == margin.amount
        assert margin.text == "target 0.7 instead of 0.8"

    def test_choice_by_name(self) -> None:
        """Where the values of a choice are names, one step away is any other."""
        choice = {"name": "reading", "default": "points", "swept_on": [TINY]}
        asked = claim(settings={"reading": ["points", "relative"]}, choice=choice)
        rows = [row(10.0, settings={"reading": "points"}), row(8.0, settings={"reading": "relative"})]

        margin = judge(asked, rows).flip_margin

        assert margin is not None
        assert (margin.amount, margin.text) == (1.0, "reading relative instead of points")

    def test_all_values_of_a_choice(self) -> None:
        """Where all values of a choice hold, the one nearest to an edge turns the verdict, and is named."""
        margin = judge(_free(), _swept(10.75, 10.5, 10.0)).flip_margin

        assert margin is not None
        assert margin.text == "reported value by 0.25 points (target 0.5)"

    def test_near_miss(self) -> None:
        """A near miss stays a miss, and the reason says by how much and on which side."""
        found = judge(claim(), [row(8.996)])

        assert found.verdict == "contradicted"
        assert found.reason == "9 % (convnext_tiny) lies 0.004 points under the band, 9 … 11 %"


class TestDrift:
    """Decided otherwise than expected."""

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
    def test_directions(self, expected: str, reported: Any, actual: Any, drifted: bool) -> None:
        """A decided verdict other than the expected one drifts, for better or worse; an open one never does."""
        asked = claim(expect={"verdict": expected, "reason": "the test says so"})

        assert drifted == judge(asked, [row(reported, actual)]).drifted

    def test_untestable(self) -> None:
        """A claim that waits for a condition has not drifted, and its reason is the remedy."""
        found = not_testable(claim(), "data", "set EDGEAI_DATA")

        assert (found.verdict, found.condition, found.reason) == ("not_testable", "data", "set EDGEAI_DATA")
        assert not found.drifted


def test_no_rows() -> None:
    """Raises ValueError if nothing was measured: that is no verdict."""
    with pytest.raises(ValueError, match="'rows' of 'a-claim' must be at least one"):
        judge(claim(), [])


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
def test_show(value: float, text: str) -> None:
    """A number has at most two decimals and no trailing zeros; only 0 is shown as 0."""
    assert f"{text} %" == format_number(value, "%")
    assert text == format_number(value, "")

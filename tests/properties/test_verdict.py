"""Judging against a second judge, written from the design's table and brute about all that it doesn't know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measurement
from edgeai_repro.judge.rows import DECIDED
from edgeai_repro.judge.verdict import Verdict
from tests.support.factories import claim, judged, row

TINY, SMALL, BASE, NEIGHBOUR = "convnext_tiny", "convnext_small", "convnext_base", "convnext_large"
SIDES = ["both", "at_least", "at_most"]
OPEN = ("inconclusive", "not_testable")
TABLE = {
    ("inside", "none"): "reproduced",
    ("inside", "inside"): "reproduced",
    ("inside", "outside"): "artefact",
    ("inside", "straddles"): "inconclusive",
    **{("outside", actual): "contradicted" for actual in ("none", "inside", "outside", "straddles")},
    **{("straddles", actual): "inconclusive" for actual in ("none", "inside", "outside", "straddles")},
}
# The factory's band is 9 … 11. Values are quarters, so that they often fall on its edges; what a model that
# wasn't measured might have given lies off that grid, so that no two values tie, and in the band beyond all of it.
QUARTERS = st.integers(28, 52).map(lambda quarters: quarters / 4)
WIDTHS = st.sampled_from([0.0, 0.0, 0.25, 1.0])
UNSEEN = (5.1, 9.1, 10.9, 15.1)


def _where(asked: Claim, interval: Interval | None) -> str:
    """Locate an interval in 9 … 11, or the half-line that a one-sided claim makes of it, by both of its ends."""
    if interval is None:
        return "none"

    def inside(value: float) -> bool:
        return (value >= 9 or asked.band.side == "at_most") and (value <= 11 or asked.band.side == "at_least")

    ends = {inside(interval.low), inside(interval.high)}
    across = asked.band.side == "both" and interval.low < 9 and interval.high > 11
    return "straddles" if len(ends) == 2 or across else "inside" if True in ends else "outside"


def _of_value(asked: Claim, rows: Sequence[Measurement]) -> str:
    """Judge the rows of all models by the table."""
    best_is_most = asked.band.side != "at_most"
    ordered = sorted(rows, key=lambda measured: measured.reported.value, reverse=best_is_most)
    deciding = ordered[0] if asked.quantifier == "up_to" else ordered[-1]
    if deciding.control and not (deciding.control.low >= 0.95 and deciding.control.high <= 1.05):
        return "inconclusive"
    return TABLE[_where(asked, deciding.reported), _where(asked, deciding.actual)]


def _complete(asked: Claim, rows: Sequence[Measurement]) -> str:
    """Judge a claim of which every row is there."""
    if asked.choice is None:
        return _of_value(asked, rows)
    name = asked.choice.name
    said = {_of_value(asked, [r for r in rows if r.value_of(name) == value]) for value in asked.values_of(name)}
    failing = said & {"artefact", "contradicted"}
    if "reproduced" in said and failing:
        return "attainable"
    if "inconclusive" in said:
        return "inconclusive"
    return "reproduced" if not failing else "artefact" if "artefact" in failing else "contradicted"


def _completions(asked: Claim, rows: Sequence[Measurement], actual: bool) -> Iterator[list[Measurement]]:
    """Yield the rows with all that the models that are missing from them might have given."""
    measured_models = {measured.model for measured in rows}
    missing = [
        (m, settings) for m in asked.models if m not in measured_models for settings, _ in asked.variants_for(m)
    ]
    outcomes = list(product(UNSEEN, UNSEEN if actual else [None]))
    for chosen in product(outcomes, repeat=len(missing)):
        added = [row(r, lo, model=m, settings=p) for (m, p), (r, lo) in zip(missing, chosen, strict=True)]
        yield [*rows, *added]


@st.composite
def claims(draw: st.DrawFn, *, at_most_models: int = 3) -> Claim:
    """Draw a claim of 9 … 11: any side, quantifier and models, with or without a free choice."""
    models = draw(st.lists(st.sampled_from([TINY, SMALL, BASE]), min_size=1, max_size=at_most_models, unique=True))
    fields: dict[str, Any] = {
        "models": models,
        "also_shown": [NEIGHBOUR],
        "quantifier": "named" if len(models) == 1 else draw(st.sampled_from(["up_to", "every"])),
        "band": {"rounding": 1.0, "side": draw(st.sampled_from(SIDES)), "derivation": "for the test"},
    }
    if draw(st.booleans()):
        swept = draw(st.lists(st.sampled_from(models), min_size=1, unique=True))
        fields["settings"] = {"target": [0.5, 0.8]}
        fields["choice"] = {"name": "target", "default": 0.8, "swept_on": swept}
    return claim(**fields)


@st.composite
def rows_of(
    draw: st.DrawFn, asked: Claim, models: Sequence[str], *, actual: bool, control: bool = False
) -> list[Measurement]:
    """Draw the rows of some of a claim's models, in any order, no two of the same value."""
    places = [(model, target) for model in models for target, _ in asked.variants_for(model)]
    values = draw(st.lists(QUARTERS, min_size=len(places), max_size=len(places), unique=True))
    rows = []
    for (model, target), value in zip(places, values, strict=True):
        reported, behind = draw(WIDTHS), draw(st.tuples(QUARTERS, WIDTHS))
        noise = draw(st.sampled_from([(0.95, 1.05), (0.9, 1.0), (1.0, 1.1)])) if control else None
        rows.append(
            row(
                (value - reported, value + reported),
                (behind[0] - behind[1], behind[0] + behind[1]) if actual else None,
                model=model,
                settings=target,
                control=noise and Interval(value=1.0, low=noise[0], high=noise[1]),
            )
        )
    return draw(st.permutations(rows))


@settings(max_examples=300)
@given(st.data(), claims(), st.booleans(), st.booleans())
def test_verdict_is_that_of_the_table_if_all_models_are_measured(
    data: st.DataObject, asked: Claim, actual: bool, control: bool
) -> None:
    """Where all models are measured, the verdict is the table's."""
    rows = data.draw(rows_of(asked, asked.models, actual=actual, control=control), label="rows")

    found, expected = judged(asked, rows), _complete(asked, rows)

    assert found.verdict == expected, f"verdict={found.verdict}, but should be {expected} [{found.reason}]"


@settings(max_examples=200)
@given(st.data(), claims(at_most_models=2), st.booleans())
def test_restricted_run_decides_only_what_the_missing_models_could_not_flip(
    data: st.DataObject, asked: Claim, actual: bool
) -> None:
    """A restricted run decides just what no outcome of the missing models would turn."""
    assume(len(asked.models) > 1)
    here = data.draw(st.lists(st.sampled_from(asked.models), min_size=1, unique=True), label="measured")
    rows = data.draw(rows_of(asked, here, actual=actual), label="rows")

    found = judged(asked, rows)

    possible = {_complete(asked, completed) for completed in _completions(asked, rows, actual)}
    if len(possible) == 1 and possible <= set(DECIDED):
        assert {found.verdict} == possible, f"nothing would turn {possible} [{found.reason}]"
    else:
        assert found.verdict in OPEN, f"might be {possible}, so must not be decided [{found.reason}]"


@given(st.data(), claims(), st.booleans())
def test_other_models_reduced_scale_and_order_change_nothing(
    data: st.DataObject, asked: Claim, actual: bool
) -> None:
    """Neighbours, reduced scale and the rows' order change nothing; all rows are kept in the order given."""
    rows = data.draw(rows_of(asked, asked.models, actual=actual), label="rows")
    beside = data.draw(rows_of(asked, [NEIGHBOUR], actual=actual), label="neighbour")
    reduced = [
        measured.model_copy(update={"scale": "reduced"})
        for measured in data.draw(rows_of(asked, asked.models, actual=actual), label="reduced")
    ]
    mixed = data.draw(st.permutations([*rows, *beside, *reduced]), label="mixed")

    alone, together = judged(asked, rows), judged(asked, mixed)

    assert (together.verdict, together.row, together.flip_margin) == (alone.verdict, alone.row, alone.flip_margin)
    assert together.rows == tuple(mixed)


HUNDREDS = st.floats(-100, 100)
EPSILON = 1e-6


def _moved(interval: Interval, by: float) -> Interval:
    return Interval(value=interval.value + by, low=interval.low + by, high=interval.high + by)


def _changes(asked: Claim, measured: Measurement, by: float) -> list[Verdict]:
    """Judge after each change by one amount: either quantity up or down, the band wider or narrower."""
    changed = [
        judged(asked, [measured.model_copy(update={name: _moved(interval, sign * by)})])
        for name, interval in (("reported", measured.reported), ("actual", measured.actual))
        if interval is not None
        for sign in (-1, 1)
    ]
    widths = [asked.band.rounding + by, asked.band.rounding - by]
    bands = [asked.band.model_copy(update={"rounding": width}) for width in widths if width >= 0]
    return [*changed, *(judged(asked.model_copy(update={"band": band}), [measured]) for band in bands)]


@given(
    value=HUNDREDS,
    rounding=st.floats(0, 50),
    side=st.sampled_from(SIDES),
    reported=st.tuples(HUNDREDS, HUNDREDS).map(sorted),
    actual=st.none() | st.tuples(HUNDREDS, HUNDREDS).map(sorted),
    exact=st.booleans(),
)
def test_change_beyond_the_margin_flips_the_verdict_and_a_smaller_one_does_not(
    value: float, rounding: float, side: str, reported: list[float], actual: list[float] | None, exact: bool
) -> None:
    """A change by a little more than the margin turns a decided verdict, one by a little less doesn't."""
    asked = claim(value=value, band={"rounding": rounding, "side": side, "derivation": "for the test"})
    measured = row(reported[0], actual and actual[0]) if exact else row(reported, actual)
    found = judged(asked, [measured])
    assume(found.verdict in DECIDED)
    assert found.flip_margin is not None
    amount = found.flip_margin.amount

    assert amount >= 0
    assert any(changed.verdict != found.verdict for changed in _changes(asked, measured, amount + EPSILON))
    if amount > EPSILON:
        assert all(changed.verdict == found.verdict for changed in _changes(asked, measured, amount - EPSILON))


@given(st.data(), claims(), st.booleans())
def test_exactly_the_decided_verdicts_have_a_margin(data: st.DataObject, asked: Claim, actual: bool) -> None:
    """Just the decided verdicts have a margin, and where a choice decides, it is of the choice."""
    found = judged(asked, data.draw(rows_of(asked, asked.models, actual=actual), label="rows"))

    assert (found.flip_margin is not None) == (found.verdict in DECIDED)
    if found.flip_margin is not None:
        assert (found.flip_margin.of == "choice") == (found.verdict == "attainable")

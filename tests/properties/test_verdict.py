"""What changes a verdict, and what does not. `test_second_judge.py` compares the verdicts themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measurement
from edgeai_repro.judge.rows import DECIDED
from edgeai_repro.judge.verdict import Verdict
from tests.support.factories import claim, judged, row

TINY, SMALL, BASE, NEIGHBOUR = "convnext_tiny", "convnext_small", "convnext_base", "convnext_large"
SIDES = ["both", "at_least", "at_most"]
# The factory's band is 9 … 11. Values are quarters, so that they often fall on its edges.
QUARTERS = st.integers(28, 52).map(lambda quarters: quarters / 4)
WIDTHS = st.sampled_from([0.0, 0.0, 0.25, 1.0])


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    """Draw a claim of 9 … 11: any side, quantifier and models, with or without a free choice."""
    models = draw(st.lists(st.sampled_from([TINY, SMALL, BASE]), min_size=1, max_size=3, unique=True))
    fields: dict[str, Any] = {
        "models": models,
        "also_shown": [NEIGHBOUR],
        "quantifier": "named" if len(models) == 1 else draw(st.sampled_from(["up_to", "every"])),
        "band": {"rounding": 1.0, "side": draw(st.sampled_from(SIDES)), "derivation": "for the test"},
    }
    if draw(st.booleans()):
        fields["settings"] = {"target": [0.5, 0.8]}
        fields["choice"] = {"name": "target", "default": 0.8, "swept_on": models}
    return claim(**fields)


@st.composite
def rows_of(draw: st.DrawFn, asked: Claim, models: Sequence[str], *, actual: bool) -> list[Measurement]:
    """Draw the rows of some of a claim's models, in any order, no two of the same value."""
    places = [(model, target) for model in models for target, _ in asked.variants_for(model)]
    values = draw(st.lists(QUARTERS, min_size=len(places), max_size=len(places), unique=True))
    rows = []
    for (model, target), value in zip(places, values, strict=True):
        reported, behind = draw(WIDTHS), draw(st.tuples(QUARTERS, WIDTHS))
        rows.append(
            row(
                (value - reported, value + reported),
                (behind[0] - behind[1], behind[0] + behind[1]) if actual else None,
                model=model,
                settings=target,
            )
        )
    return draw(st.permutations(rows))


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

"""Every claim of the claims folder is shown planted measurements: a wrong one must fail, the right one must not.

The rows are made from the claim itself, so a claim that is added to the file is covered at once. What is planted
lies out of the band by the least that a float can, so a band that is wrong by anything is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import get_args

import pytest

from edgeai_repro.claims.paper_info import Choice, Decided
from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measurement, Setting
from edgeai_repro.judge.verdict import Verdict
from tests.support.factories import judged

Report = Callable[[Verdict], None]
Pick = Callable[[dict[str, Setting]], tuple[float, float]]  # settings to (reported, actual)
SHOWN = {"reproduced": "passed", "attainable": "passed", "artefact": "xfailed", "contradicted": "xfailed"}


def _beyond(claim: Claim) -> list[float]:
    """Return the nearest number out of the band, on each side that isn't open, rounded or cut."""
    bands = [claim.edges, *([claim.with_cut_digits().edges] if claim.digits_may_be_cut else [])]
    low, high = min(low for low, _ in bands), max(high for _, high in bands)
    outer = [math.nextafter(low, -math.inf), math.nextafter(high, math.inf)]
    return [value for value in outer if math.isfinite(value)]


def _edges(claim: Claim) -> list[float]:
    """Return the outermost numbers in the band, on each side that isn't open."""
    return [edge for edge in claim.edges if math.isfinite(edge)]


def _fits_cut_digits(claim: Claim) -> list[float]:
    """Return the nearest number out of the band that is in it if the printed digits are cut."""
    if not claim.digits_may_be_cut:
        return []
    low, high = claim.edges
    return [math.nextafter(high, math.inf) if claim.value > 0 else math.nextafter(low, -math.inf)]


def _same(reported: float, actual: float) -> Pick:
    """Give the same values under all settings."""
    return lambda _: (reported, actual)


def _at_default(choice: Choice, value: float, elsewhere: float) -> Pick:
    """Give one value at our own value of a free choice, and another elsewhere."""

    def pick(settings: dict[str, Setting]) -> tuple[float, float]:
        here = value if settings[choice.name] == choice.default else elsewhere
        return here, here

    return pick


def _rows(claim: Claim, pick: Pick) -> list[Measurement]:
    """Return all rows of a claim; `pick` gives (reported, actual) for some settings. Neighbours lie elsewhere."""
    elsewhere = 2 * claim.value + 1e6
    return [
        Measurement(
            model=model,
            technique=claim.technique,
            settings=settings,
            conditions=conditions,
            reported=Interval.exact(pick({**settings, **conditions})[0] if model in claim.models else elsewhere),
            actual=Interval.exact(pick({**settings, **conditions})[1])
            if METRICS[claim.metric].has_actual
            else None,
        )
        for model in [*claim.models, *claim.also_shown]
        for settings, conditions in claim.variants_for(model)
    ]


def _planted(claim: Claim, verdict: str) -> Iterator[list[Measurement]]:
    """Yield rows that deserve a verdict, one set for each side of the band; none where no rows could."""
    choice, fits = claim.choice, claim.value
    if verdict == "attainable":
        for value in _fits_cut_digits(claim):
            yield _rows(claim, _same(value, value))
    if verdict == "reproduced":
        for value in [fits, *_edges(claim)]:
            yield _rows(claim, _same(value, value))
    for value in _beyond(claim):
        if verdict == "reproduced" and METRICS[claim.metric].has_actual:
            yield _rows(claim, _same(value, fits))
        if verdict == "contradicted":
            yield _rows(claim, _same(value, value))
        if verdict == "artefact" and METRICS[claim.metric].has_actual:
            yield _rows(claim, _same(fits, value))
        if verdict == "attainable" and choice is not None:
            yield _rows(claim, _at_default(choice, fits, elsewhere=value))


def _outcome(report_outcome: Report, verdict: Verdict) -> str:
    """Return what pytest would show of a verdict, as the plugin reports it."""
    try:
        report_outcome(verdict)
    except pytest.xfail.Exception:  # first, for it is a kind of failure too
        return "xfailed"
    except pytest.fail.Exception:
        return "failed"
    except pytest.skip.Exception:
        return "skipped"
    return "passed"


def test_rows_that_deserve_the_expected_verdict_get_it(claim: Claim, report_outcome: Report) -> None:
    """Rows that deserve what the claim's file expects settle as that, on either edge of the band."""
    expected = claim.expect.verdict
    controls = list(_planted(claim, expected))

    assert controls, f"{claim.id}: no rows could ever give {expected}"
    for rows in controls:
        assert judged(claim, rows).verdict == expected
        assert _outcome(report_outcome, judged(claim, rows)) == SHOWN[expected]


def test_rows_that_deserve_another_verdict_are_drift(claim: Claim, report_outcome: Report) -> None:
    """Rows that deserve any other verdict are drift, and fail."""
    others = [verdict for verdict in get_args(Decided) if verdict != claim.expect.verdict]
    planted = [(verdict, rows) for verdict in others for rows in _planted(claim, verdict)]

    assert planted, f"{claim.id}: no rows could ever be drift"
    for verdict, rows in planted:
        assert judged(claim, rows).verdict == verdict
        assert _outcome(report_outcome, judged(claim, rows)) == "failed", f"{verdict} must be drift"


def test_rows_of_other_models_decide_nothing(claim: Claim, report_outcome: Report) -> None:
    """Rows of models that the claim is not about settle nothing, however well they fit."""
    fitting = _rows(claim, _same(claim.value, claim.value))[0]
    elsewhere = fitting.model_copy(update={"model": "convnext_atto"})

    assert _outcome(report_outcome, judged(claim, [elsewhere])) == "skipped"

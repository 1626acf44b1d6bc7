"""A shorter retraining of cut filters counts in favour of a one-sided claim, and only so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.evidence.trained_run import TrainedRun
from edgeai_repro.training.comparable_runs import ComparableRuns
from edgeai_repro.training.trained_models import recorded_evaluation
from tests.support.factories import claim_entry
from tests.support.records import FULL, FULL_SCALE, evaluated, record

CUT: dict[str, Any] = {"plan": "a-plan", "ranking": "l1", "retraining": "finetuned"}


def _found(
    count: int, *, side: str = "at_least", epochs: int = 1, printed: float = 90.0, **recipe: Any
) -> Measurement:
    """Return the row of a retraining: of 1000 images the dense network has 900 right, the retrained one `count`.

    `printed` is the top-1 of the paper's dense network.
    """
    band = {"tolerance": 3.0, "side": side, "derivation": "for the test"}
    asked = claim_entry(
        metric="accuracy_change",
        technique="filter_pruning",
        models=["convnext_small"],
        value=0.0,
        band=band,
        settings={name: [value] for name, value in CUT.items()},
        needs=["data", "weights"],
    )
    values = {"filters": "2:0.5", "plan": "a-plan", **FULL, "epochs": epochs, **recipe}
    made = record(evaluated("none", 900), evaluated("filter_pruning", count, **CUT), **values)
    group = ComparableRuns([TrainedRun("short", Path("short"), made)], "recorded", recorded_evaluation)
    full = FULL_SCALE.model_copy(update={"dense_top1": {"convnext_small": printed}})
    (row,) = group.rows(Claim.model_validate(asked), full)
    return row


def test_inside_the_band_counts() -> None:
    """One epoch instead of 30 is enough: the paper's budget could only do better."""
    found = _found(895)

    assert found.scale == "full"
    assert found.notes["epochs"] == 1


@pytest.mark.parametrize(
    "other",
    [
        *({"count": 850}, {"side": "both"}, {"model": "convnext_tiny"}, {"init": "scratch"}, {"filters": None}),
        {"printed": 93.0},
    ],
    ids=lambda other: next(iter(other)),
)
def test_nothing_else_counts(other: dict[str, Any]) -> None:
    """Outside of the band, a two-sided claim, another network or start, no cut filters, a weak dense network."""
    assert _found(**{"count": 895, **other}).scale == "reduced"


def test_the_full_budget_counts_against_the_claim() -> None:
    """With the paper's epochs a row outside of the band is full scale."""
    assert _found(850, epochs=30).scale == "full"


@pytest.mark.parametrize(("printed", "scale"), [(91.5, "full"), (92.0, "reduced")])
def test_a_dense_network_counts_if_its_interval_reaches_the_papers(printed: float, scale: str) -> None:
    """Of 1000 images 900 are right: the interval ends at 91.7 %. No budget makes up for a weak dense network."""
    assert {_found(count, printed=printed, epochs=30).scale for count in (850, 895)} == {scale}

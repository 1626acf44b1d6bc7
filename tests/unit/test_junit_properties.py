"""The properties of a claim in JUnit's file: a wrong value of any of them is another property."""

from __future__ import annotations

from typing import Any

import pytest

from edgeai_repro.report import text
from edgeai_repro.report.document import ClaimEntry, claim_entry
from tests.support.factories import claim, judged, row

PROPERTIES = {
    "verdict": "artefact",
    "expected": "reproduced",
    "paper": "paper",
    "printed": "10 %",
    "reported": "10.5 %",
    "actual": "2 %",
    "band": "9 … 11 %",
    "flip_margin": "the reported value moves by 0.5 points",
}
ROW = row(10.5, 2.0)


def entry(**fields: Any) -> ClaimEntry:
    """Return an artefact, with other fields."""
    return claim_entry(judged(claim(), [ROW])).model_copy(update=fields)


def test_claim_has_all_properties() -> None:
    """Each as a reader of the table sees it."""
    assert text.properties("paper", entry()) == PROPERTIES


def test_what_a_claim_does_not_have_is_left_out() -> None:
    """Without a row there is no value and no margin."""
    undecided = entry(rows=[], row=None, flip_margin=None, verdict="not_testable")

    assert text.properties("paper", undecided).keys() == PROPERTIES.keys() - {"reported", "actual", "flip_margin"}


@pytest.mark.parametrize(
    ("name", "paper", "planted"),
    [
        ("verdict", "paper", entry(verdict="contradicted")),
        ("expected", "paper", entry(expected="artefact")),
        ("paper", "other", entry()),
        ("printed", "paper", entry(printed="12 %")),
        ("reported", "paper", entry(rows=[row(10.6, 2.0)])),
        ("actual", "paper", entry(rows=[row(10.5, 2.1)])),
        ("band", "paper", entry(band=claim_entry(judged(claim(value=10.2), [ROW])).band)),
        ("flip_margin", "paper", entry(flip_margin=claim_entry(judged(claim(), [row(10.4, 2.0)])).flip_margin)),
    ],
)
def test_planted_wrong_value_changes_its_property_alone(name: str, paper: str, planted: ClaimEntry) -> None:
    """So each of the expected values above is checked."""
    changed = text.properties(paper, planted)

    assert {key for key in PROPERTIES if changed[key] != PROPERTIES[key]} == {name}

"""What the paper's claims say of each other, by arithmetic on its numbers alone."""

from __future__ import annotations

import pytest

from edgeai_repro.claims.schema import ImplicationSpec
from edgeai_repro.report.document import ImplicationEntry


@pytest.mark.claims
def test_implication(implication: ImplicationSpec, finding: ImplicationEntry) -> None:
    """An implication holds, or fails to, as the claims file expects."""
    assert finding.holds == implication.expect, (
        f"holds={finding.holds}, but should be expected {implication.expect}"
    )

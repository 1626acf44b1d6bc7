"""What the claims of a paper imply of each other, by arithmetic on its numbers."""

from __future__ import annotations

import pytest

from edgeai_repro.claims.paper_info import ImplicationSpec
from edgeai_repro.report.document import ImplicationEntry


@pytest.mark.claims
def test_implication(implication: ImplicationSpec, implication_result: ImplicationEntry) -> None:
    """An implication holds, or fails to, as the claims file expects."""
    assert implication_result.holds == implication.expect, (
        f"holds={implication_result.holds}, but should be {implication.expect} [{implication.id}]"
    )

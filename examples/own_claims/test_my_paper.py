"""Runs once per claim in claims/."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.claims
def test_claim_gets_the_expected_verdict(verdict: object, report_outcome: Callable[[object], None]) -> None:
    """`report_outcome` passes, xfails, skips or fails the test."""
    report_outcome(verdict)

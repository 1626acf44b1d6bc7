"""The claims of the papers, each measured on this machine and judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeai_repro.judge.verdict import Verdict


@pytest.mark.claims
def test_claim(verdict: Verdict, report_outcome: Callable[[Verdict], None]) -> None:
    """A claim gets the verdict that its file expects; drift in either direction fails."""
    report_outcome(verdict)

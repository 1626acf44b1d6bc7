"""A source of measurements that measures nothing."""

from __future__ import annotations

from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.evidence.measurement import Measured
from tests.support.factories import row


class FakeSource:
    """A source that returns one row with this value; `measured` are the ids of the claims."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.measured: list[str] = []

    def measure(self, case: ClaimCase) -> Measured:
        """Return the row."""
        self.measured.append(case.id)
        return Measured((row(self.value),))

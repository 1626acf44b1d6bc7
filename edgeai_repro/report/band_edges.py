"""The edges of a claim's band as a report has them, and how far a value lies from them. No torch."""

from __future__ import annotations

import math
from typing import Self

from pydantic import FiniteFloat

from edgeai_repro.claims.band import Side
from edgeai_repro.evidence.measurement import Frozen


class BandEdges(Frozen):
    """The band in the metric's unit; None for the open end of a one-sided band."""

    low: FiniteFloat | None
    high: FiniteFloat | None
    side: Side

    @classmethod
    def of(cls, edges: tuple[float, float], side: Side) -> Self:
        """Return the band between two edges, of which one may be infinite."""
        low, high = (None if math.isinf(edge) else edge for edge in edges)
        return cls(low=low, high=high, side=side)

    @property
    def ends(self) -> tuple[float, float]:
        """Both edges; an open end is infinite."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high

    @property
    def finite(self) -> list[float]:
        """The edges that are not open."""
        return [edge for edge in (self.low, self.high) if edge is not None]

    def share_outside(self, value: float) -> float:
        """Return the distance of a value from the nearest edge, as a share of the larger of the two; at most 1."""
        nearest = min(self.finite, key=lambda edge: abs(edge - value), default=value)
        scale = max(abs(value), abs(nearest))
        return min(abs(value - nearest) / scale, 1.0) if scale else 0.0

    def half_widths(self, value: float, middle: float) -> float:
        """Return the distance of a value from the middle in half-widths of the band, in units if it has none."""
        return (value - middle) / (max((abs(edge - middle) for edge in self.finite), default=0.0) or 1.0)

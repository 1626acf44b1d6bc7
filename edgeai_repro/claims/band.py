"""The band around a paper's value, by its parts. No torch."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from edgeai_repro.evidence.measurement import Frozen

Side = Literal["both", "at_least", "at_most"]
Width = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Band(Frozen):
    """The distance that a measurement may have from the paper's value, in the metric's unit, by its parts."""

    rounding: Width = Field(0.0, description="what the printed digits allow")
    sampling: Width = Field(0.0, description="the paper's own error on the images that it was measured on")
    tolerance: Width = Field(0.0, description="granted for another framework version or counter, with its reason")
    interpretation: Width = Field(0.0, description="how a word without a number is read")
    side: Side = "both"
    derivation: str = Field(min_length=1)

    @property
    def width(self) -> float:
        """The sum of the parts."""
        return self.rounding + self.sampling + self.tolerance + self.interpretation

    def edges(self, value: float) -> tuple[float, float]:
        """Return the ends of the band around `value`; the open end of a one-sided band is infinite."""
        low = -math.inf if self.side == "at_most" else value - self.width
        high = math.inf if self.side == "at_least" else value + self.width
        return low, high

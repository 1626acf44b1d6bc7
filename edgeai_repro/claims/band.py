"""The band around a paper's value, by its parts. No torch."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import Field

from edgeai_repro.evidence.measurement import Frozen

_NUMBER = re.compile(r"(?P<whole>\d+)(?:\.(?P<decimals>\d+))?")
Side = Literal["both", "at_least", "at_most"]
Width = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Band(Frozen):
    """The distance that a measurement may have from the paper's value, in the metric's unit, by its parts."""

    rounding: Width = Field(0.0, description="what the printed digits allow")
    sampling: Width = Field(0.0, description="the paper's own error on the images that it was measured on")
    tolerance: Width = Field(0.0, description="granted for another framework version or counter, with its reason")
    interpretation: Width = Field(0.0, description="how a word without a number is read")
    side: Side = "both"
    digits: Literal["rounded", "cut"] = Field("rounded", description="how the printed digits came about")
    derivation: str = Field(min_length=1)

    @property
    def width(self) -> float:
        """The sum of the parts."""
        return self.rounding + self.sampling + self.tolerance + self.interpretation

    def edges(self, value: float) -> tuple[float, float]:
        """Return the ends of the band around `value`; the open end of a one-sided band is infinite.

        `rounding` is half a unit of the last digit. If digits were cut, the number was up to one unit larger.
        """
        centre = value if self.digits == "rounded" else value + math.copysign(self.rounding, value)
        low = -math.inf if self.side == "at_most" else centre - self.width
        high = math.inf if self.side == "at_least" else centre + self.width
        return low, high

    def is_half_a_digit(self, printed: str, value: float) -> bool:
        """Return whether `rounding` is half a unit of the last printed digit, not that of a round number.

        The unit may be another one than the metric's: 300 million are 0.3 G.
        """
        for number in _NUMBER.finditer(printed):
            decimals = len(number["decimals"] or "")
            digits = float(f"{number['whole']}.{number['decimals'] or 0}")
            if digits and value and math.isclose(self.rounding / abs(value), 0.5 * 10**-decimals / digits):
                return True
        return False

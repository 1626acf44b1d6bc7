"""What settings and conditions mean, and the values that they may have: others are refused when a file is read.

No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeai_repro.evidence.measurement import Setting


@dataclass(frozen=True)
class Range:
    """The numbers that a setting or a condition may have; None for no end. An open end is not included."""

    low: float | None = None
    high: float | None = None
    low_is_open: bool = False
    high_is_open: bool = False
    whole: bool = False

    def contains(self, value: float) -> bool:
        """Return whether a number is allowed."""
        above = self.low is None or (value > self.low if self.low_is_open else value >= self.low)
        below = self.high is None or (value < self.high if self.high_is_open else value <= self.high)
        return above and below and (not self.whole or value == int(value))

    @property
    def text(self) -> str:
        """The range in words."""
        low = "" if self.low is None else f"{'more than' if self.low_is_open else 'at least'} {self.low:g}"
        high = "" if self.high is None else f"{'less than' if self.high_is_open else 'at most'} {self.high:g}"
        return f"{'whole, ' if self.whole else ''}{' and '.join(filter(None, [low, high]))}"

    @property
    def json_schema(self) -> dict[str, Any]:
        """The range as a JSON schema."""
        ends = {
            "exclusiveMinimum" if self.low_is_open else "minimum": self.low,
            "exclusiveMaximum" if self.high_is_open else "maximum": self.high,
        }
        kind = "integer" if self.whole else "number"
        return {"type": kind, **{key: end for key, end in ends.items() if end is not None}}


RANGES: dict[str, Range] = {}  # of settings and conditions that are numbers
VALUES: dict[str, tuple[Setting, ...]] = {}  # all values of those conditions that have only a few
MEANINGS: dict[str, str] = {}  # of settings and conditions, for lists of them and for editors


def allow_values(condition: str, *values: Setting) -> None:
    """Register all values that a condition can have, so that another one is refused when a file is read."""
    VALUES[condition] = values


def allow_range(*names: str, **ends: Any) -> None:
    """Register the range of settings or conditions, so that a number outside is refused when a file is read.

    `ends` are those of `Range`.
    """
    for name in names:
        RANGES[name] = Range(**ends)


def explain(**meanings: str) -> None:
    """Register what settings and conditions mean, each as a phrase."""
    MEANINGS.update(meanings)

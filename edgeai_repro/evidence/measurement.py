"""What was measured: a value with its interval, where it comes from, and on what machine. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeFloat, PositiveInt, model_validator

AA_BAND = (0.95, 1.05)  # a thing that seems to differ from itself by more than 5 % shows the machine's noise
Setting = bool | int | FiniteFloat | str


class Frozen(BaseModel):
    """The base of all data that travels between rooms: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(Frozen):
    """A value and the interval in which it is believed to lie, in the unit of its metric."""

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"'value' must lie in [low, high] (got {self.low} ≤ {self.value} ≤ {self.high})")
        return self

    @classmethod
    def exact(cls, value: float) -> Interval:
        """Return the interval of a number that was counted, not estimated."""
        return cls(value=value, low=value, high=value)


def aa_control_passes(ratio: Interval) -> bool:
    """Tell whether the ratio of two timings of one and the same thing shows a machine quiet enough to judge on.

    The whole interval must lie in [0.95, 1.05]; else the run is too noisy, which is no failure.
    """
    return AA_BAND[0] <= ratio.low and ratio.high <= AA_BAND[1]


class Curve(Frozen):
    """What a trend is of: pairs of a value of the setting `over` and of a quantity in `unit`."""

    over: str
    unit: str
    points: list[tuple[FiniteFloat, FiniteFloat]]


class Measurement(Frozen):
    """One row: what the common counters report of a compressed model, and the actual quantity behind it.

    `reported` and `actual` are in the unit of the claim's metric; `actual` is None where the two can't differ.
    `n` is the number of observations behind the value (images, samples; 1 for a count). `scale` is "full" only
    where model and budget are the paper's. `control` is the A/A ratio measured beside a timing, `curve` what a
    trend was found in.
    """

    model: str
    technique: str
    params: dict[str, Setting] = Field(default_factory=dict)
    reported: Interval
    actual: Interval | None = None
    n: PositiveInt = 1
    source: Literal["live", "recorded"] = "live"
    scale: Literal["full", "reduced"] = "full"
    evidence: str | None = None
    seconds: NonNegativeFloat = 0.0
    control: Interval | None = None
    curve: Curve | None = None


class Environment(Frozen):
    """The machine and the software that a run was made with; on an emulated processor no time is evidence."""

    python: str
    machine: str
    cpu: str
    cores: PositiveInt
    threads: PositiveInt | None = None
    engine: str | None = None
    device: str | None = None
    emulated: bool = False
    versions: dict[str, str]

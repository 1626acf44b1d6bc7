"""Measurements: a value with its interval, its origin, and the machine it was measured on. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeFloat, PositiveInt, model_validator

from edgeai_repro.errors import Requirement

AA_BAND = (0.95, 1.05)  # a network that seems to differ from itself by more than 5 % shows the machine's noise
MISSED = "missed"  # the note with what a common counter misses or adds, in words
Setting = bool | int | FiniteFloat | str
Settings = Mapping[str, Setting]


class Frozen(BaseModel):
    """The base of all data that travels between packages: frozen, and strict about its keys."""

    # A validator is built when it is first used: the command line imports many schemas and uses few.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Interval(Frozen):
    """A value and its interval, both in the unit of the metric."""

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
    """Return whether an A/A control shows a machine that is quiet enough for timing.

    `ratio` compares two timings of the same network. Its whole interval must lie in [0.95, 1.05].
    """
    return AA_BAND[0] <= ratio.low and ratio.high <= AA_BAND[1]


def percent_saved(before: float, after: float) -> float:
    """Return by how many percent `after` is less than `before`."""
    return 100 * (before - after) / before


class Curve(Frozen):
    """The data behind a trend: pairs of a value of the setting `over` and a quantity in `unit`."""

    over: str
    unit: str
    points: list[tuple[FiniteFloat, FiniteFloat]]


class Measurement(Frozen):
    """One row: the reported and the actual quantity of one model, compressed in one way.

    `reported` is what common counters report; `actual` is what is stored or computed, None for a metric in which
    the two can't differ. Both are in the metric's unit. `settings` were given to the technique, `conditions` to the
    metric; `notes` are what the row adds for the reader. `n` is the number of observations behind the value
    (images, samples; 1 for a count). `scale` is "full" if the model and its training budget are the paper's.
    `control` is the ratio of the A/A control that was timed in the same run. `uncounted` names the operators
    that the actual count does not know: the count that the actual value is made from is then only a lower bound.
    The note `missed` says in words what the reported count misses or adds.
    """

    model: str
    technique: str
    settings: dict[str, Setting] = Field(default_factory=dict)
    conditions: dict[str, Setting] = Field(default_factory=dict)
    notes: dict[str, Setting] = Field(default_factory=dict)
    reported: Interval
    actual: Interval | None = None
    uncounted: tuple[str, ...] = ()
    n: PositiveInt = 1
    source: Literal["live", "recorded"] = "live"
    scale: Literal["full", "reduced"] = "full"
    evidence: str | None = None
    seconds: NonNegativeFloat = 0.0
    control: Interval | None = None
    curve: Curve | None = None

    @property
    def details(self) -> dict[str, Setting]:
        """The settings, conditions and notes together."""
        return {**self.settings, **self.conditions, **self.notes}

    def value_of(self, name: str) -> Setting | None:
        """Return the value of a setting or condition, None if the row has no such one."""
        return {**self.conditions, **self.settings}.get(name)


@dataclass(frozen=True)
class Obstacle:
    """A reason why a claim can't be judged here, and what the user can do about it.

    `kind` is the requirement that is missing, or "noise" if the machine is too noisy for timing.
    """

    kind: Requirement | Literal["noise"]
    remedy: str


@dataclass(frozen=True)
class Measured:
    """The rows of a claim, and the obstacle that keeps them from deciding it, if there is one."""

    rows: tuple[Measurement, ...] = ()
    obstacle: Obstacle | None = None


class Environment(Frozen):
    """The machine and the software of a run. Times from an emulated processor are no evidence."""

    python: str
    machine: str
    cpu: str
    cores: PositiveInt
    threads: PositiveInt | None = None
    engine: str | None = None
    device: str | None = None
    emulated: bool = False
    versions: dict[str, str]

    @property
    def software(self) -> dict[str, str]:
        """The versions of Python and of the packages."""
        return {"python": self.python, **self.versions}

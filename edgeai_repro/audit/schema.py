"""What an audit says: one row a technique, each figure as common counters report it and as it is. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from edgeai_repro.claims.registry import UNCOMPRESSED
from edgeai_repro.evidence.measurement import Environment, Frozen, Interval, Setting


class ReportedAndActual(Frozen):
    """A quantity as common counters report it, and the actual one behind it; None where it couldn't be counted."""

    reported: NonNegativeInt | None
    actual: NonNegativeInt | None


class Latency(Frozen):
    """How long one image takes here: `milliseconds` are the median and its quartiles, of `n` samples.

    `faster` is how many times faster that is than the model as it is, None of that model itself; `control` is the
    A/A ratio, the worse of the two. `problem` says why no time is to be believed, where it isn't.
    """

    milliseconds: Interval
    p90: NonNegativeFloat
    n: PositiveInt
    faster: Interval | None = None
    control: Interval
    problem: str | None = None


class Row(Frozen):
    """A model under a technique with its settings; work is for one image. `problem` says what couldn't be had.

    `parameters` are by `parameters()` and as stored, packed weights included; `macs` by thop and as computed, of
    weights (and in attention) alone; in `nonzero_macs` a weight of 0 takes none. `bit_operations` are MACs × bits
    of a weight × bits of an activation. `bytes` are those of the saved state_dict, or of the file;
    `deflated_bytes` those of its tensors after deflate.
    """

    technique: str
    settings: dict[str, Setting] = Field(default_factory=dict)
    parameters: ReportedAndActual | None = None
    nonzero_parameters: NonNegativeInt | None = None
    macs: ReportedAndActual | None = None
    nonzero_macs: NonNegativeInt | None = None
    bit_operations: NonNegativeInt | None = None
    bytes: NonNegativeInt | None = None
    deflated_bytes: NonNegativeInt | None = None
    latency: Latency | None = None
    seconds: NonNegativeFloat = 0.0
    problem: str | None = None


class Audit(Frozen):
    """An audited model: where it is from, the image's side in pixels, its rows, and where counters mislead.

    The first row is of the model as it is. `shares` are what each kind of layer holds of the parameters, 0 to 1:
    nn.Linear, which dynamic quantization replaces, 1 × 1 convolutions, other convolutions, and all else.
    """

    schema_version: Literal[1] = 1
    model: str
    source: str
    resolution: PositiveInt
    shares: dict[str, float]
    rows: list[Row]
    warnings: list[str]
    environment: Environment

    @property
    def dense(self) -> Row:
        """The model as it is."""
        return next(row for row in self.rows if row.technique == UNCOMPRESSED)


def saved(before: int | None, after: int | None) -> float | None:
    """Return what was saved, in percent; None where a number is missing or there was nothing."""
    return None if not before or after is None else 100 * (before - after) / before

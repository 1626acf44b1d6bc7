"""How numbers, bands and rows are put into words, the same wherever they are shown. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measurement, Setting


def format_number(value: float, unit: str) -> str:
    """Return a number with at most two decimals and its unit; what would be rounded to 0 keeps a digit."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{f'{value + 0.0:.1g}' if text in ('0', '-0') else text} {unit}".rstrip()


def difference_unit(claim: Claim) -> str:
    """Return the unit of a difference of two values: percentages differ by points."""
    unit = METRICS[claim.metric].unit
    return "points" if unit == "%" else unit


def format_interval(interval: Interval, unit: str) -> str:
    """Return a value, and in brackets the ends of its interval where it has a width."""
    if interval.low == interval.high:
        return format_number(interval.value, unit)
    return f"{format_number(interval.value, unit)} [{format_number(interval.low, '')}, {format_number(interval.high, '')}]"


def format_band(claim: Claim, unit: str) -> str:
    """Return the band of a claim."""
    low, high = claim.edges
    if math.isinf(low):
        return f"at most {format_number(high, unit)}"
    return (
        f"at least {format_number(low, unit)}"
        if math.isinf(high)
        else f"{format_number(low, '')} … {format_number(high, unit)}"
    )


def format_range(values: Sequence[Setting]) -> str:
    """Return the first and the last of some values."""
    return " … ".join(dict.fromkeys(str(value) for value in (values[0], values[-1])))


def describe_row(claim: Claim, row: Measurement) -> str:
    """Name a row's model and what was asked of it; what else was noted of the row is for the full table."""
    asked = {name: value for name, value in row.params.items() if name in claim.settings or isinstance(value, str)}
    return ", ".join([row.model, *(f"{name} {value}" for name, value in asked.items())])

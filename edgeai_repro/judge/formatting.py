"""Numbers, bands and rows as text, the same in every place that shows them. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Interval, Measurement, Setting


def format_number(value: float, unit: str) -> str:
    """Return a number with at most two decimals and its unit; a number that would be rounded to 0 keeps a digit."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{f'{value + 0.0:.1g}' if text in ('0', '-0') else text} {unit}".rstrip()


def unit_of(claim: Claim) -> str:
    """Return the unit of a claim's metric."""
    return METRICS[claim.metric].unit


def difference_unit(claim: Claim) -> str:
    """Return the unit of a difference of two values: percentages differ by points."""
    return "points" if unit_of(claim) == "%" else unit_of(claim)


def format_interval(interval: Interval, unit: str) -> str:
    """Return a value, followed by the ends of its interval in brackets if the interval has a width."""
    value = format_number(interval.value, unit)
    if interval.low == interval.high:
        return value
    return f"{value} [{format_number(interval.low, '')}, {format_number(interval.high, '')}]"


def format_band(claim: Claim) -> str:
    """Return the band of a claim, with its unit."""
    return format_edges(*claim.edges, unit_of(claim))


def format_edges(low: float, high: float, unit: str = "", *, symbols: bool = False) -> str:
    """Return the edges of a band; an infinite edge is left out. `symbols` writes ≤ and ≥ instead of words."""
    if math.isinf(low):
        return f"{'≤' if symbols else 'at most'} {format_number(high, unit)}"
    if math.isinf(high):
        return f"{'≥' if symbols else 'at least'} {format_number(low, unit)}"
    return f"{format_number(low, '')} … {format_number(high, unit)}"


def format_range(values: Sequence[Setting]) -> str:
    """Return the first and the last of several values."""
    return " … ".join(dict.fromkeys(str(value) for value in (values[0], values[-1])))


def format_values(values: Sequence[Setting], all_values: Sequence[Setting]) -> str:
    """Return the first and the last of several values, or every one if others of `all_values` lie between them."""
    first = all_values.index(values[0])
    unbroken = tuple(values) == tuple(all_values[first : first + len(values)])
    return format_range(values) if unbroken else ", ".join(map(str, values))


def describe_row(row: Measurement) -> str:
    """Return the model of a row, its settings, its conditions, and those of its notes that are words."""
    notes = {name: note for name, note in row.notes.items() if isinstance(note, str)}
    details = {**row.settings, **row.conditions, **notes}
    return ", ".join([row.model, *(f"{name} {value}" for name, value in details.items())])


def value_with_model(claim: Claim, row: Measurement) -> str:
    """Return the value of a row that decides, and in parentheses the model that it is of."""
    return f"{format_interval(row.actual or row.reported, unit_of(claim))} ({describe_row(row)})"


def value_with_budget(claim: Claim, row: Measurement) -> str:
    """Return the reported value of a row, and in parentheses its model and the training that it took."""
    details = [describe_row(row)]
    for name in ("epochs", "seeds"):
        if name in row.notes:
            number = row.notes[name]
            details.append(f"{number} {name if number != 1 else name.removesuffix('s')}")
    return f"{format_interval(row.reported, unit_of(claim))} ({', '.join(details)})"

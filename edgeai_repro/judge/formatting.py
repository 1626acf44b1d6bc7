"""Numbers, bands and rows as text, the same in every place that shows them. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeai_repro.claims.registry import METRICS, TECHNIQUES
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import MISSED, Interval, Measurement, Setting

SMALLER_UNIT = {"G": "M", "M": "k"}  # each a thousandth
COUNT_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MOST_DECIMALS = 6


def format_number(value: float, unit: str, edges: Sequence[float] = ()) -> str:
    """Return a number and its unit, with at most two decimals, or as many as tell it from the `edges` of its band.

    If the band lies below 1, the number is written in the next smaller unit. A number that would be rounded to 0
    keeps a digit.
    """
    finite = [edge for edge in edges if math.isfinite(edge)]
    if finite and max(map(abs, finite)) < 1 and unit in SMALLER_UNIT:
        unit, value, finite = SMALLER_UNIT[unit], 1000 * value, [1000 * edge for edge in finite]
    decimals = max([2, *map(_decimals, finite)])
    while decimals < MOST_DECIMALS and any(_rounds_to(edge, value, decimals) for edge in finite):
        decimals += 1
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return f"{f'{value + 0.0:.1g}' if text in ('0', '-0') else text} {unit}".rstrip()


def format_count(value: int) -> str:
    """Return a number of parameters, products or bytes in the largest unit of which there is one or more."""
    factor, unit = next(((factor, unit) for factor, unit in COUNT_UNITS if value >= factor), (1.0, ""))
    return format_number(value / factor, unit)


def _decimals(edge: float) -> int:
    """Return the number of decimals of the edge of a band."""
    return len(f"{edge:.{MOST_DECIMALS}f}".rstrip("0").partition(".")[2])


def _rounds_to(edge: float, value: float, decimals: int) -> bool:
    """Return whether a value looks like an edge of its band, although it is not."""
    return round(value, MOST_DECIMALS) != round(edge, MOST_DECIMALS) and round(value, decimals) == round(
        edge, decimals
    )


def unit_of(claim: Claim) -> str:
    """Return the unit of a claim's metric."""
    return METRICS[claim.metric].unit


def unit_of_row(row: Measurement, unit: str) -> str:
    """Return the unit of a row's values: that of its conditions, such as MiB, or else the `unit` of its metric."""
    return str(row.conditions.get("unit", unit))


def describe_method(claim: Claim) -> str:
    """Return what a claim's metric and technique do, in words, and what else its reported value is."""
    technique = TECHNIQUES.get(claim.technique)
    words = [
        METRICS[claim.metric].description.replace("`against`", claim.against or "the uncompressed model"),
        technique.description if technique else "The model is not compressed",
    ]
    if claim.without is not None:
        words.append(f"Here reported is the whole change, and actual the part from {claim.without} on")
    if own := sorted({str(one) for one in claim.conditions.get("convention", ())} - {"counter"}):
        words.append(f"Here reported is what the paper's authors count ({', '.join(own)})")
    elif counters := claim.conditions.get("counter"):
        words.append(f"Here reported is what {', '.join(map(str, counters))} counts")
    return f"{'. '.join(words)}."


def format_value(claim: Claim, row: Measurement, interval: Interval) -> str:
    """Return a value of a row with its interval and unit."""
    return format_interval(interval, unit_of_row(row, unit_of(claim)), claim.edges)


def format_difference(claim: Claim, row: Measurement, difference: float) -> str:
    """Return how far a value of a row is from another value, with its unit: percentages differ by points."""
    unit = unit_of_row(row, unit_of(claim))
    return format_number(difference, "points" if unit == "%" else unit, claim.edges)


def format_interval(interval: Interval, unit: str, edges: Sequence[float] = ()) -> str:
    """Return a value, followed by the ends of its interval in brackets if the interval has a width."""
    value = format_number(interval.value, unit, edges)
    if interval.low == interval.high:
        return value
    low, high = (format_number(end, unit, edges).partition(" ")[0] for end in (interval.low, interval.high))
    return f"{value} [{low}, {high}]"


def format_band(claim: Claim) -> str:
    """Return the band of a claim, with its unit."""
    return format_edges(*claim.edges, unit_of(claim))


def format_edges(low: float, high: float, unit: str = "", *, symbols: bool = False) -> str:
    """Return the edges of a band; an infinite edge is left out. `symbols` writes ≤ and ≥ instead of words."""
    edges = (low, high)
    if math.isinf(low):
        return f"{'≤' if symbols else 'at most'} {format_number(high, unit, edges)}"
    if math.isinf(high):
        return f"{'≥' if symbols else 'at least'} {format_number(low, unit, edges)}"
    last = format_number(high, unit, edges)
    return f"{format_number(low, unit, edges).partition(' ')[0]} … {last}"


def format_range(values: Sequence[Setting]) -> str:
    """Return the first and the last of several numbers, or every one of several words."""
    if any(isinstance(value, str) for value in values):
        return ", ".join(map(str, values))
    return " … ".join(dict.fromkeys(str(value) for value in (values[0], values[-1])))


def format_values(values: Sequence[Setting], all_values: Sequence[Setting]) -> str:
    """Return the first and the last of several values, or every one if others of `all_values` lie between them."""
    first = all_values.index(values[0])
    unbroken = tuple(values) == tuple(all_values[first : first + len(values)])
    return format_range(values) if unbroken else ", ".join(map(str, values))


def describe_row(row: Measurement) -> str:
    """Return the model of a row, its settings, its conditions, and those of its notes that are words.

    What a counter misses is said elsewhere: it would take a line.
    """
    notes = {name: note for name, note in row.notes.items() if isinstance(note, str) and name != MISSED}
    details = {**row.settings, **row.conditions, **notes}
    return ", ".join([row.model, *(f"{name} {value}" for name, value in details.items())])


def value_with_model(claim: Claim, row: Measurement) -> str:
    """Return the value of a row that decides, and in parentheses the model that it is of."""
    return f"{format_value(claim, row, row.actual or row.reported)} ({describe_row(row)})"


def value_with_budget(claim: Claim, row: Measurement) -> str:
    """Return the reported value of a row, and in parentheses its model and the training that it took."""
    details = [describe_row(row)]
    for name in ("epochs", "seeds"):
        if name in row.notes:
            number = row.notes[name]
            details.append(f"{number} {name if number != 1 else name.removesuffix('s')}")
    return f"{format_value(claim, row, row.reported)} ({', '.join(details)})"


def duration(seconds: float) -> str:
    """Return seconds as text in two units: 45 s, 12 min 5 s, 3 h 20 min, 2 d 4 h."""
    for size, larger, smaller in ((86400, "d", "h"), (3600, "h", "min"), (60, "min", "s")):
        if seconds >= size:
            rest = {"h": 3600, "min": 60, "s": 1}[smaller]
            return f"{seconds // size:.0f} {larger} {seconds % size // rest:.0f} {smaller}"
    return f"{seconds:.0f} s"

"""The reason for a verdict on rows, in one sentence: who decides, where it lies, and what a counter misses."""

from __future__ import annotations

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import MISSED, Measurement
from edgeai_repro.judge.formatting import (
    describe_row,
    format_band,
    format_difference,
    format_value,
    value_with_model,
)
from edgeai_repro.judge.rows import Outcome, VerdictName, ends_of, interval_of, is_lower_bound


def reason(claim: Claim, outcome: Outcome, verdict: VerdictName) -> str:
    """Return the reason for a verdict that an outcome represents."""
    row, value, band = outcome.row, value_with_model(claim, outcome.row), format_band(claim)
    match verdict:
        case "reproduced":
            return f"{value} lies in the band, {band}{_counter_is_wrong(claim, outcome)}"
        case "artefact":
            actual = format_value(claim, row, interval_of(row))
            reported = f"{format_value(claim, row, row.reported)} ({describe_row(row)})"
            if claim.without is not None:
                return f"the whole change gives {reported}; the part from {claim.without} on gives {actual}"
            return f"{_counter(claim)} {reported}; actually {actual}"
        case "contradicted":
            return f"{value} lies {_distance(claim, row)} the band, {band}{_counter_is_wrong(claim, outcome)}"
        case "not_testable":
            remedy = "supply their weights, or " if "weights" in claim.needs else ""
            missing = ", ".join(outcome.missing)
            return f"{value} can't decide the claim without {missing}; {remedy}add them to --claims-models"
        case _:
            return _why_open(claim, outcome)


def _why_open(claim: Claim, outcome: Outcome) -> str:
    bounds = [row for row in outcome.rows if is_lower_bound(row)]
    unknown = [row for row in bounds if claim.locate(*ends_of(claim, row)) == "straddles"]
    if outcome.deciding.location == "straddles" and unknown:
        row = outcome.row if outcome.row in unknown else unknown[0]
        return (
            f"{value_with_model(claim, row)} does not count {', '.join(row.uncounted)}, which may multiply; "
            "a lower bound can't decide the claim"
        )
    edge = f"straddles an edge of the band, {format_band(claim)}; measure more"
    if outcome.deciding.location == "outside" and outcome.reported is not None:
        row = outcome.reported.row
        return f"reported {format_value(claim, row, row.reported)} ({describe_row(row)}) {edge}"
    return f"{value_with_model(claim, outcome.row)} {edge}"


def _distance(claim: Claim, row: Measurement) -> str:
    """Return how far a row lies outside of the band, and on which side."""
    value = interval_of(row).value
    edge = claim.nearest_edge(value)
    distance = format_difference(claim, row, abs(value - edge))
    return f"{distance} {'under' if value < edge else 'over'}"


def _counter_is_wrong(claim: Claim, outcome: Outcome) -> str:
    """Return what a counter reports, and what it misses, if the claim fails by what is reported."""
    if outcome.reported is None or outcome.reported.location == "inside":
        return ""
    row = outcome.reported.row
    difference = row.reported.value - interval_of(row).value
    if not difference:
        return ""
    model = "" if row is outcome.row else f" ({describe_row(row)})"
    by = format_difference(claim, row, abs(difference))
    missed = f": {row.notes[MISSED]}" if MISSED in row.notes else ""
    value = format_value(claim, row, row.reported)
    return f"; {_counter(claim)} {value}{model}, {by} too {'much' if difference > 0 else 'little'}{missed}"


def _counter(claim: Claim) -> str:
    convention = claim.conditions.get("convention", ["counter"])[0]
    common = claim.conditions.get("counter", [METRICS[claim.metric].counter])[0]
    counter = common if convention == "counter" else f"the paper's own count ({convention})"
    return f"{counter} reports" if counter else "common counters report"

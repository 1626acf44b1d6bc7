"""Texts of a claim and of a run, the same in every kind of report. Pure; no torch, no markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import get_args

from edgeai_repro.evidence.measurement import Environment, Interval, Measurement
from edgeai_repro.judge.formatting import format_edges, format_interval, format_number, unit_of_row
from edgeai_repro.judge.rows import VerdictName
from edgeai_repro.networks.variants import NETWORKS
from edgeai_repro.report.document import ClaimEntry, DeviceResult, PaperEntry
from edgeai_repro.report.plain import on_one_line

VERDICTS: tuple[VerdictName, ...] = get_args(VerdictName)
# One sign per verdict: many readers can't tell verdicts apart by colour.
SIGNS: dict[VerdictName, str] = {
    "reproduced": "✓",
    "attainable": "◐",
    "artefact": "≠",
    "contradicted": "✕",
    "inconclusive": "≈",
    "not_testable": "–",
    "error": "!",
}
MEANINGS: dict[VerdictName, str] = {
    "reproduced": "the claim holds: the actual value lies in the band",
    "attainable": "the claim holds for some values of a setting that the paper doesn't state",
    "artefact": "the reported value lies in the band, but the actual value doesn't: the number is right, its "
    "meaning is not",
    "contradicted": "the actual and the reported value lie outside the band",
    "inconclusive": "the measured value is too close to an edge of the band, too noisy or a lower bound",
    "not_testable": "something is missing here: data, weights, an edge device or a model",
    "error": "the measurement failed, so there is no verdict",
}
_DECIDED_BY = {"up_to": "the best of", "every": "the worst of", "named": "", "": ""}


def deciding_row(claim: ClaimEntry) -> Measurement | None:
    """Return the row that decided, or None if no row did."""
    return None if claim.row is None else claim.rows[claim.row]


def drifted(claim: ClaimEntry) -> bool:
    """Return whether the claim was decided with another verdict than expected."""
    undecided = ("inconclusive", "error")
    return claim.verdict != claim.expected and claim.requirement is None and claim.verdict not in undecided


def humanize(name: str) -> str:
    """Return a name of the data as words: `not_testable` as "not testable"."""
    return name.replace("_", " ")


def verdict_label(claim: ClaimEntry) -> str:
    """Return the verdict in words, with the expected one if it drifted."""
    return humanize(f"{claim.verdict} (expected {claim.expected})" if drifted(claim) else claim.verdict)


def paper_number(claim: ClaimEntry) -> float | None:
    """Return the number that the paper prints, for sorting; None if it prints a word, such as "limited"."""
    return claim.paper_value if re.search(r"\d", claim.printed) else None


def reported_value(claim: ClaimEntry) -> str:
    """Return the reported value of the deciding row; empty if no row decided."""
    row = deciding_row(claim)
    return "" if row is None else row_number(claim, row, row.reported.value)


def actual_value(claim: ClaimEntry) -> str:
    """Return the actual value of the deciding row; empty if it has none."""
    row = deciding_row(claim)
    if row is None or row.actual is None:
        return ""
    return row_number(claim, row, row.actual.value) + _uncounted(row)


def row_number(claim: ClaimEntry, row: Measurement, value: float) -> str:
    """Return a value of a row with its unit, and with as many digits as tell it from the edges of the band."""
    return format_number(value, unit_of_row(row, claim.unit), claim.band.ends)


def heading_unit(claim: ClaimEntry) -> str:
    """Return the unit of all rows of a claim, for a table's heading; empty if they differ, as MB and MiB do."""
    units = {unit_of_row(row, claim.unit) for row in claim.rows} or {claim.unit}
    return units.pop() if len(units) == 1 else ""


def cell_unit(claim: ClaimEntry, row: Measurement, heading: str) -> str:
    """Return the unit of a row for its cells; empty if the table's `heading` has one."""
    return "" if heading else unit_of_row(row, claim.unit)


def band(claim: ClaimEntry) -> str:
    """Return the band around the paper's value, with its unit."""
    return format_edges(*claim.band.ends, claim.unit, symbols=True)


def band_edges(claim: ClaimEntry) -> str:
    """Return the band without its unit, for a table whose values have it."""
    words, unit = band(claim).split(" "), claim.unit.split()
    return " ".join(words[: len(words) - len(unit)])


def flip_text(claim: ClaimEntry) -> str:
    """Return the least change that would give another verdict; empty if the claim is undecided."""
    return "" if claim.flip_margin is None else claim.flip_margin.text


def properties(paper: str, claim: ClaimEntry) -> dict[str, str]:
    """Return a claim's result as properties of its test, for dashboards; those that it has none of are left out."""
    values = {
        "verdict": claim.verdict,
        "expected": claim.expected,
        "paper": paper,
        "printed": claim.printed,
        "reported": reported_value(claim),
        "actual": actual_value(claim),
        "band": f"{band_edges(claim)} {claim.unit}".rstrip(),
        "flip_margin": flip_text(claim),
    }
    return {name: value for name, value in values.items() if value}


def format_optional(interval: Interval | None, unit: str = "") -> str:
    """Return a value with its interval; empty if there is none."""
    return "" if interval is None else format_interval(interval, unit)


def format_actual(row: Measurement, unit: str = "") -> str:
    """Return the actual value of a row with its interval and what it does not count; empty if it has none."""
    return "" if row.actual is None else format_interval(row.actual, unit) + _uncounted(row)


def _uncounted(row: Measurement) -> str:
    return f" (not counted: {', '.join(row.uncounted)})" if row.uncounted else ""


def explanation(claim: ClaimEntry) -> str:
    """Return the reason for the verdict, plus the explanation unless the claim is plainly reproduced."""
    explained = claim.explanation and claim.verdict in ("attainable", "artefact", "contradicted")
    return on_one_line(f"{claim.reason}: {claim.explanation}." if explained else f"{claim.reason}.")


def judged_models(claim: ClaimEntry) -> str:
    """Return which models decide: the best of them, the worst of them, or the one that is named."""
    return f"{_DECIDED_BY[claim.quantifier]} {', '.join(claim.models)}".strip()


def representative_rows(claim: ClaimEntry) -> list[Measurement]:
    """Return one row with an actual value per model: the one whose details agree most with the deciding row's.

    Models are ordered by size, unknown ones last.
    """
    by_model: dict[str, list[Measurement]] = {}
    for row in claim.rows:
        if row.actual is not None:
            by_model.setdefault(row.model, []).append(row)
    if not by_model:
        return []
    reference = deciding_row(claim) or claim.rows[0]

    def agreement(row: Measurement) -> int:
        return len(reference.details.items() & row.details.items())

    return [max(by_model[model], key=agreement) for model in by_size(by_model)]


def by_size(models: Iterable[str]) -> list[str]:
    """Return models ordered by size, unknown ones last."""
    return sorted(models, key=lambda model: NETWORKS.index(model) if model in NETWORKS else len(NETWORKS))


def row_details(row: Measurement) -> str:
    """Return the settings, conditions and notes of a row in words."""
    return ", ".join(f"{humanize(name)} {value}" for name, value in row.details.items())


def device_result(result: DeviceResult) -> str:
    """Return the technique of a device's result, its threads, and the accuracy of the same file if known."""
    parts = [humanize(result.technique), f"{result.row.details.get('threads', '?')} threads"]
    if result.accuracy is not None:
        parts.append(f"top-1 {format_interval(result.accuracy.reported, '%')}")
    return ", ".join(parts)


def detail_names(claim: ClaimEntry) -> list[str]:
    """Return the names of all settings, conditions and notes in a claim's rows, in the order of their first use."""
    return list(dict.fromkeys(name for row in claim.rows for name in row.details))


def assumptions(paper: PaperEntry, claim: ClaimEntry) -> Iterator[tuple[str, str]]:
    """Yield what the paper leaves open and what is assumed instead; an unknown id is yielded with no assumption."""
    known = {entry.id: entry for entry in paper.unstated}
    for name in claim.assumptions:
        yield (known[name].what, known[name].assumed) if name in known else (name, "")


def machine(environment: Environment) -> str:
    """Return the machine of a run, with the threads and the engine of torch if it was loaded."""
    parts = [environment.cpu, f"{environment.cores} cores"]
    parts.append(f"{environment.machine} (emulated)" if environment.emulated else environment.machine)
    parts += [f"device {environment.device}"] if environment.device else []
    threads = f"; {environment.threads} threads" if environment.threads else ""
    engine = f", engine {environment.engine}" if environment.engine else ""
    return f"{', '.join(parts)}{threads}{engine}"


def software(environment: Environment) -> str:
    """Return the versions of a run; all machines of a merged document have the same."""
    versions = [f"{name} {version}" for name, version in environment.versions.items()]
    return ", ".join([f"Python {environment.python}", *versions])


def measured_by(claim: ClaimEntry, row: Measurement | None) -> str:
    """Return the number of the machine that measured a row of a claim; empty for a row of recorded evidence."""
    return "" if row is None or row.source == "recorded" else str(claim.environment + 1)


def command(paper: PaperEntry, claim: ClaimEntry) -> str:
    """Return the command line that judges only this claim."""
    return f"pytest -m claims -k {paper.id}/{claim.id}"

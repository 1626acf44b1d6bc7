"""A claim in words and figures, as every renderer shows it. Pure; no torch, no markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import get_args

from edgeai_repro.evidence.measurement import Interval, Measurement
from edgeai_repro.judge.formatting import format_interval, format_number
from edgeai_repro.judge.rows import VerdictName
from edgeai_repro.networks.variants import NETWORKS
from edgeai_repro.report.document import ClaimEntry, DeviceResult, Document, PaperEntry

VERDICTS: tuple[VerdictName, ...] = get_args(VerdictName)
# A sign of its own for each verdict: colour alone tells nothing to many readers.
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
    "reproduced": "the number holds, and so does its meaning",
    "attainable": "it holds with some values of a choice that the paper doesn't state",
    "artefact": "the number holds, its meaning does not: counters report what isn't so",
    "contradicted": "what was measured lies outside the band around the paper's number",
    "inconclusive": "too near an edge of the band, or too noisy, to tell",
    "not_testable": "a condition is missing here: data, weights, an edge device, or a model",
    "error": "what should have been measured broke, so there is no verdict",
}
_COUNTED: dict[VerdictName, tuple[str, str]] = {
    "reproduced": ("holds", "hold"),
    "attainable": (
        "holds with a choice that the paper doesn't state",
        "hold with a choice that the paper doesn't state",
    ),
    "artefact": ("is an artefact of counting", "are artefacts of counting"),
    "contradicted": ("is contradicted", "are contradicted"),
    "inconclusive": ("is too close to tell", "are too close to tell"),
    "not_testable": ("can't be tested here", "can't be tested here"),
    "error": ("broke before it was judged", "broke before they were judged"),
}
_JUDGED = {"up_to": "the best of", "every": "the worst of", "named": "", "": ""}


def deciding_row(claim: ClaimEntry) -> Measurement | None:
    """Return the row that decided, or None where nothing was measured that could."""
    return None if claim.row is None else claim.rows[claim.row]


def drifted(claim: ClaimEntry) -> bool:
    """Tell whether a claim was decided, and otherwise than its file expects."""
    undecided = ("inconclusive", "error")
    return claim.verdict != claim.expected and claim.requirement is None and claim.verdict not in undecided


def humanize(name: str) -> str:
    """Return a name of the data as words: `not_testable` as "not testable"."""
    return name.replace("_", " ")


def label(claim: ClaimEntry) -> str:
    """Return the verdict in words, with the expected one where it drifted from it."""
    return humanize(f"{claim.verdict} (expected {claim.expected})" if drifted(claim) else claim.verdict)


def paper_value(claim: ClaimEntry) -> str:
    """Return the number that the paper gives."""
    return format_number(claim.paper_value, claim.unit)


def reported(claim: ClaimEntry) -> str:
    """Return what counters report in the row that decided; empty where none did."""
    row = deciding_row(claim)
    return "" if row is None else format_number(row.reported.value, claim.unit)


def actual(claim: ClaimEntry) -> str:
    """Return the actual quantity of the row that decided; empty where there is none."""
    row = deciding_row(claim)
    return "" if row is None or row.actual is None else format_number(row.actual.value, claim.unit)


def band(claim: ClaimEntry) -> str:
    """Return the band around the paper's number, without the unit."""
    low, high = claim.band.low, claim.band.high
    if low is None or high is None:
        return f"≥ {format_number(low, '')}" if low is not None else f"≤ {format_number(high or 0.0, '')}"
    return f"{format_number(low, '')} … {format_number(high, '')}"


def flip_text(claim: ClaimEntry) -> str:
    """Return the least change that would turn the verdict; empty where it is undecided."""
    return "" if claim.flip_margin is None else claim.flip_margin.text


def interval(value: Interval | None, unit: str = "") -> str:
    """Return a value with its interval; empty where there is none."""
    return "" if value is None else format_interval(value, unit)


def explanation(claim: ClaimEntry) -> str:
    """Return why the verdict is as it is, and where it isn't plain that the claim holds, what explains it."""
    explained = claim.explanation and claim.verdict in ("attainable", "artefact", "contradicted")
    return f"{claim.reason}: {claim.explanation}." if explained else f"{claim.reason}."


def judged_models(claim: ClaimEntry) -> str:
    """Return the models whose rows decide: the best, the worst, or the one."""
    return f"{_JUDGED[claim.quantifier]} {', '.join(claim.models)}".strip()


def representative_rows(claim: ClaimEntry) -> list[Measurement]:
    """Return, of each model with a actual value, the row whose settings are most like the deciding one's.

    The models go by size, those that aren't known last.
    """
    by_model: dict[str, list[Measurement]] = {}
    for row in claim.rows:
        if row.actual is not None:
            by_model.setdefault(row.model, []).append(row)
    like = (deciding_row(claim) or claim.rows[0]).details.items() if claim.rows else ()
    ordered = [by_model[model] for model in by_size(by_model)]
    return [max(rows, key=lambda row: len(like & row.details.items())) for rows in ordered]


def by_size(models: Iterable[str]) -> list[str]:
    """Return models in the order in which they are known, which is by size, those that aren't known last."""
    return sorted(models, key=lambda model: NETWORKS.index(model) if model in NETWORKS else len(NETWORKS))


def setting(row: Measurement) -> str:
    """Return a row's parameters in words."""
    return ", ".join(f"{humanize(name)} {value}" for name, value in row.details.items())


def where(row: Measurement) -> str:
    """Return what a row is of: the model and its parameters."""
    return ", ".join(filter(None, [row.model, setting(row)]))


def contributed(measured: DeviceResult) -> str:
    """Return what a device measured: the technique, its threads, and the accuracy of the same file where known."""
    said = [humanize(measured.technique), f"{measured.row.details.get('threads', '?')} threads"]
    if measured.accuracy is not None:
        said.append(f"top-1 {format_interval(measured.accuracy.reported, '%')}")
    return ", ".join(said)


def parameters(claim: ClaimEntry) -> list[str]:
    """Return the names of all parameters in a claim's rows, in the order of their first use."""
    return list(dict.fromkeys(name for row in claim.rows for name in row.details))


def assumptions(paper: PaperEntry, claim: ClaimEntry) -> Iterator[tuple[str, str]]:
    """Yield what the paper leaves unsaid and is assumed for a claim: what, and the assumption; else its bare id."""
    known = {entry.id: entry for entry in paper.unstated}
    for name in claim.assumptions:
        yield (known[name].what, known[name].assumed) if name in known else (name, "")


def command(paper: PaperEntry, claim: ClaimEntry) -> str:
    """Return the command line that judges this claim alone."""
    return f"pytest -m claims -k {paper.id}/{claim.id}"


def published_papers_first(document: Document) -> Document:
    """Return the document with what others published first, and papers whose sentences are all ours after it."""
    papers = sorted(document.papers, key=lambda paper: all(claim.source == "ours" for claim in paper.claims))
    return document.model_copy(update={"papers": papers})


def counts(document: Document) -> dict[VerdictName, int]:
    """Return how many claims have each verdict, those that occur, best first."""
    found = Counter(claim.verdict for paper in document.papers for claim in paper.claims)
    return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}


def headline(document: Document) -> str:
    """Return in one sentence how the claims fare."""
    found = counts(document)
    told = [f"{count} {_COUNTED[verdict][count > 1]}" for verdict, count in found.items()]
    total = sum(found.values())
    return f"Of {total} claims, {', '.join(told)}." if told else "No claim was judged."

"""What a run says, as one document: the data of the terminal's table and the file that --claims-json writes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgeai_repro.claims import Paper, Side
from edgeai_repro.documents import read_json, validated, write_text
from edgeai_repro.errors import Condition
from edgeai_repro.evidence import Environment, Measurement, Record
from edgeai_repro.registry import METRICS
from edgeai_repro.verdict import Choices, FlipMargin, Verdict, VerdictName

SCHEMA_VERSION: Literal[1] = 1


class BandEdges(Record):
    """The band in the metric's unit; None where a one-sided band is open."""

    low: float | None
    high: float | None
    side: Side


class ClaimEntry(Record):
    """A claim, its verdict, and every row that was measured. `row` is the index of the one that decided."""

    id: str
    quote: str
    metric: str
    unit: str
    technique: str
    source: str
    paper_value: float
    band: BandEdges
    verdict: VerdictName
    expected: VerdictName
    reason: str
    explanation: str
    flip_margin: FlipMargin | None
    choices: Choices | None
    condition: Condition | None
    assumptions: list[str]
    row: int | None
    rows: list[Measurement]


class ImplicationEntry(Record):
    """What claims say of each other."""

    id: str
    holds: bool
    text: str


class PaperEntry(Record):
    """A paper with all that was judged of it."""

    id: str
    title: str
    claims: list[ClaimEntry]
    implications: list[ImplicationEntry]


class Document(Record):
    """A run: where it was made, what it says of each paper, and where its seconds went, by step."""

    schema_version: Literal[1] = SCHEMA_VERSION
    environment: Environment
    papers: list[PaperEntry]
    seconds: dict[str, float] = Field(default_factory=dict)


def paper_entry(paper: Paper, verdicts: Iterable[Verdict], implications: Iterable[ImplicationEntry]) -> PaperEntry:
    """Return what was judged of a paper."""
    return PaperEntry(
        id=paper.paper.id,
        title=paper.paper.title,
        claims=[claim_entry(verdict) for verdict in verdicts],
        implications=list(implications),
    )


def claim_entry(verdict: Verdict) -> ClaimEntry:
    """Return a verdict as it stands in the document."""
    claim = verdict.claim
    low, high = (None if math.isinf(edge) else edge for edge in claim.edges)
    return ClaimEntry(
        id=claim.id,
        quote=claim.quote,
        metric=claim.metric,
        unit=METRICS[claim.metric].unit,
        technique=claim.technique,
        source=claim.source,
        paper_value=claim.value,
        band=BandEdges(low=low, high=high, side=claim.band.side),
        verdict=verdict.verdict,
        expected=claim.expect.verdict,
        reason=verdict.reason,
        explanation="" if verdict.drifted else claim.expect.reason,
        flip_margin=verdict.flip_margin,
        choices=verdict.choices,
        condition=verdict.condition,
        assumptions=claim.assumes,
        row=None if verdict.row is None else verdict.rows.index(verdict.row),
        rows=list(verdict.rows),
    )


def write(document: Document, path: Path) -> None:
    """Write the document as JSON, whole or not at all. Raises UserError where it can't be written."""
    write_text(path, document.model_dump_json(indent=1) + "\n")


def read(path: Path) -> Document:
    """Read a document that `write` wrote. Raises UserError, in one line, for anything else."""
    return validated(Document, read_json(path), path)

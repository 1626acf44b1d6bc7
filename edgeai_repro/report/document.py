"""What a run says, as one document: the data of the terminal's table and the file that --claims-json writes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgeai_repro.claims.band import Side
from edgeai_repro.claims.registry import METRICS, TECHNIQUES
from edgeai_repro.claims.schema import Claim, Need, Paper, Unstated
from edgeai_repro.devices.roofline import Estimate, estimates
from edgeai_repro.devices.spec import Device
from edgeai_repro.errors import Requirement
from edgeai_repro.evidence.measurement import Environment, Frozen, Measurement
from edgeai_repro.files import parse_as, read_json, write_text
from edgeai_repro.judge.choices import Choices
from edgeai_repro.judge.rows import FlipMargin, VerdictName
from edgeai_repro.judge.verdict import Verdict
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS

SCHEMA_VERSION: Literal[2] = 2
LATENCY_RULE = "latency-feasible"  # the rule of `plausibility` that asks the roofline


class BandEdges(Frozen):
    """The band in the metric's unit; None where a one-sided band is open."""

    low: float | None
    high: float | None
    side: Side


class ClaimEntry(Frozen):
    """A claim, its verdict, and every row that was measured. `row` is the index of the one that decided.

    `kept` are rows of another claim, in its own unit: the accuracy that a free choice leaves. `derivation` says
    where the band comes from, `method` what is measured of what; `models` are those judged.
    """

    id: str
    quote: str
    metric: str
    unit: str
    technique: str
    source: str
    printed: str
    paper_value: float
    band: BandEdges
    verdict: VerdictName
    expected: VerdictName
    reason: str
    explanation: str
    flip_margin: FlipMargin | None
    choices: Choices | None
    requirement: Requirement | None
    assumptions: list[str]
    row: int | None
    rows: list[Measurement]
    accuracy_rows: list[Measurement] = Field(default_factory=list)
    locator: str = ""
    derivation: str = ""
    method: str = ""
    quantifier: Literal["up_to", "every", "named", ""] = ""
    models: list[str] = Field(default_factory=list)
    needs: list[Need] = Field(default_factory=list)


class ImplicationEntry(Frozen):
    """What claims say of each other."""

    id: str
    holds: bool
    text: str


class DeviceResult(Frozen):
    """A latency that a device contributed, and the accuracy of the same file, None where it wasn't evaluated."""

    paper: str
    claim: str
    device: str
    technique: str
    row: Measurement
    accuracy: Measurement | None


class Roofline(Frozen):
    """What a latency claim asks of devices: at least and expected, for a model with the share `target` pruned.

    `devices` are their names in full, by key; `measured` is what devices contributed.
    """

    claim: str
    model: str
    target: float
    devices: dict[str, str]
    rows: list[Estimate]
    measured: list[DeviceResult] = Field(default_factory=list)


class PaperEntry(Frozen):
    """A paper with all that was judged of it, what it leaves unsaid, and what its latencies ask of devices."""

    id: str
    title: str
    claims: list[ClaimEntry]
    implications: list[ImplicationEntry]
    authors: str = ""
    year: int | None = None
    url: str = ""
    unstated: list[Unstated] = Field(default_factory=list)
    rooflines: list[Roofline] = Field(default_factory=list)


class Document(Frozen):
    """A run: where it was made, what it says of each paper, and where its seconds went, by step."""

    schema_version: Literal[2] = SCHEMA_VERSION
    environment: Environment
    papers: list[PaperEntry]
    seconds: dict[str, float] = Field(default_factory=dict)


def paper_entry(
    paper: Paper,
    verdicts: Iterable[Verdict],
    implications: Iterable[ImplicationEntry],
    devices: Iterable[Device] = (),
    measured: Sequence[DeviceResult] = (),
) -> PaperEntry:
    """Return what was judged of a paper; `devices` are those that its latency claims are held against.

    `measured` is what devices contributed.
    """
    devices = list(devices)
    return PaperEntry(
        id=paper.paper.id,
        title=paper.paper.title,
        claims=[claim_entry(verdict) for verdict in verdicts],
        implications=list(implications),
        authors=paper.paper.authors,
        year=paper.paper.year,
        url=paper.paper.url,
        unstated=paper.unstated,
        rooflines=list(_rooflines(paper, devices, measured)) if devices else [],
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
        printed=claim.printed,
        paper_value=claim.value,
        band=BandEdges(low=low, high=high, side=claim.band.side),
        verdict=verdict.verdict,
        expected=claim.expect.verdict,
        reason=verdict.reason,
        explanation="" if verdict.drifted else claim.expect.reason,
        flip_margin=verdict.flip_margin,
        choices=verdict.choices,
        requirement=verdict.requirement,
        assumptions=claim.assumes,
        row=None if verdict.row is None else verdict.rows.index(verdict.row),
        rows=list(verdict.rows),
        accuracy_rows=list(verdict.accuracy_rows),
        locator=claim.locator,
        derivation=claim.band.derivation,
        method=_method(claim),
        quantifier=claim.quantifier,
        models=claim.models,
        needs=claim.needs,
    )


def write(document: Document, path: Path) -> None:
    """Write the document as JSON, whole or not at all. Raises UserError where it can't be written."""
    write_text(path, document.model_dump_json(indent=1) + "\n")


def read(path: Path) -> Document:
    """Read a document that `write` wrote. Raises UserError, in one line, for anything else."""
    return parse_as(Document, read_json(path), path)


def with_measured(found: Document, measured: Sequence[DeviceResult]) -> Document:
    """Return a document with all that devices contributed, also after its run, each result once."""

    def grown(paper: PaperEntry, roofline: Roofline) -> Roofline:
        theirs = _of_claim(measured, paper.id, roofline.claim)
        others = [each for each in roofline.measured if each not in theirs]
        new = {each.device for each in theirs} - roofline.devices.keys()
        names = {device: device for device in sorted(new)}  # of what the run didn't know there is the key alone
        return roofline.model_copy(
            update={"measured": [*others, *theirs], "devices": {**roofline.devices, **names}}
        )

    papers = [
        paper.model_copy(update={"rooflines": [grown(paper, roofline) for roofline in paper.rooflines]})
        for paper in found.papers
    ]
    return found.model_copy(update={"papers": papers})


def _of_claim(measured: Sequence[DeviceResult], paper: str, claim: str) -> list[DeviceResult]:
    return [each for each in measured if (each.paper, each.claim) == (paper, claim)]


def _method(claim: Claim) -> str:
    """Return what is measured of what. The registry has it here; where a report is made from JSON, it may not."""
    measured = METRICS[claim.metric].description
    applied = TECHNIQUES.get(claim.technique)
    return f"{measured}. {applied.description}." if applied else f"{measured}. Of the model as it is."


def _rooflines(
    paper: Paper, devices: Sequence[Device], measured: Sequence[DeviceResult] = ()
) -> Iterator[Roofline]:
    for spec in paper.implications:
        if spec.rule == LATENCY_RULE:
            model, target = str(spec.given["model"]), float(spec.given["target"])
            yield Roofline(
                claim=spec.claims["latency"],
                model=model,
                target=target,
                devices={device.key: device.name for device in devices},
                rows=list(estimates(devices, CONVNEXT_VARIANTS[model], target=target)),
                measured=_of_claim(measured, paper.paper.id, spec.claims["latency"]),
            )

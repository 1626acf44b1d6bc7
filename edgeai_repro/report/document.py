"""The results of a run as one document: the data of every report, and the JSON that --claims-json writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, NonNegativeFloat, NonNegativeInt, model_validator

from edgeai_repro import limits
from edgeai_repro.claims.paper_info import Unstated
from edgeai_repro.claims.schema import Need, Paper
from edgeai_repro.devices.roofline import Estimate, estimates
from edgeai_repro.devices.spec import Device
from edgeai_repro.errors import Requirement, UserError
from edgeai_repro.evidence.measurement import Environment, Frozen, Measurement
from edgeai_repro.files import read_json, write_text
from edgeai_repro.judge.choices import Choices
from edgeai_repro.judge.formatting import describe_method, unit_of
from edgeai_repro.judge.margins import FlipMargin
from edgeai_repro.judge.rows import VerdictName
from edgeai_repro.judge.verdict import Verdict
from edgeai_repro.networks.variants import CONVNEXT_VARIANTS
from edgeai_repro.report.band_edges import BandEdges
from edgeai_repro.report.provenance import Provenance
from edgeai_repro.validation import parse_as

SCHEMA_VERSION: Literal[2] = 2
LARGE = 500  # claims: with more, a page would exceed 5 MB, browsers would need seconds, and nobody reads a table


class ClaimEntry(Frozen):
    """A claim, its verdict, and all measured rows. `row` is the index of the deciding row, None if there is none.

    `printed` is the number or the word that the paper prints, `paper_value` the number that the band is built on.
    `derivation` is the reason for the band, `method` describes the metric and the technique, `models` are judged.
    `accuracy_rows` are rows of the choice's accuracy claim, in that claim's unit. `environment` is the index of the
    environment that measured the rows, among the document's.
    """

    id: str
    quote: str
    metric: str
    unit: str
    technique: str
    source: str
    printed: str
    paper_value: FiniteFloat
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
    environment: NonNegativeInt = 0

    @model_validator(mode="after")
    def _row_exists(self) -> ClaimEntry:
        if self.row is not None and not 0 <= self.row < len(self.rows):
            raise ValueError(f"'row' must be an index of {len(self.rows)} rows (got {self.row}); correct it")
        return self


class ImplicationEntry(Frozen):
    """An implication: whether it holds, and its derivation as text."""

    id: str
    holds: bool
    text: str


class DeviceResult(Frozen):
    """A latency measured on an edge device, and the accuracy of the same file (None if it wasn't evaluated)."""

    paper: str
    claim: str
    device: str
    technique: str
    row: Measurement
    accuracy: Measurement | None


class Roofline(Frozen):
    """Bounds and expectations of devices for a latency claim, for a model with the fraction `target` pruned.

    `devices` are the devices' full names by key. `measured` are the results of devices.
    """

    claim: str
    model: str
    target: float
    devices: dict[str, str]
    rows: list[Estimate]
    measured: list[DeviceResult] = Field(default_factory=list)


class PaperEntry(Frozen):
    """A paper with its claims and implications, what it leaves unstated, and the rooflines of its latencies."""

    id: str
    title: str
    claims: list[ClaimEntry]
    implications: list[ImplicationEntry]
    authors: str = ""
    year: int | None = None
    url: str = ""
    unstated: list[Unstated] = Field(default_factory=list)
    rooflines: list[Roofline] = Field(default_factory=list)


class ClaimsFile(Frozen):
    """The claims file of a run: its sha256, and the ids of its claims and implications in their order."""

    sha256: str
    claims: list[str]
    implications: list[str]


class Document(Frozen):
    """A run: its environment, the results of each paper, and the seconds that each step and each claim took.

    `run` is where it comes from, None in older and merged files. `other_environments` are those of runs that were
    merged into it. `claims_files` has the file of each paper by its id, also of papers without results. `shards`
    are the parts of the claims that were judged, such as "2/5"; none if undivided. A `partial` run was interrupted.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    run: Provenance | None = None
    environment: Environment
    other_environments: list[Environment] = Field(default_factory=list)
    partial: bool = False
    papers: list[PaperEntry]
    seconds: dict[str, float] = Field(default_factory=dict)
    claim_seconds: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    claims_files: dict[str, ClaimsFile] = Field(default_factory=dict)
    shards: list[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}/[1-9][0-9]{0,3}$")]] = Field(default_factory=list)

    @property
    def is_large(self) -> bool:
        """Whether the run has so many claims that its reports are shortened or folded."""
        return sum(len(paper.claims) for paper in self.papers) > LARGE

    @property
    def environments(self) -> list[Environment]:
        """All environments, as the entries of claims count them."""
        return [self.environment, *self.other_environments]


def paper_entry(
    paper: Paper,
    claims: Iterable[ClaimEntry],
    implications: Iterable[ImplicationEntry],
    devices: Iterable[Device] = (),
    results: Sequence[DeviceResult] = (),
) -> PaperEntry:
    """Return the entry of a paper.

    Its latency claims are compared with the rooflines of `devices`. `results` were measured on devices.
    """
    devices = list(devices)
    return PaperEntry(
        id=paper.paper.id,
        title=paper.paper.title,
        claims=list(claims),
        implications=list(implications),
        authors=paper.paper.authors,
        year=paper.paper.year,
        url=paper.paper.url,
        unstated=paper.unstated,
        rooflines=list(_rooflines(paper, devices, results)) if devices else [],
    )


def claim_entry(verdict: Verdict) -> ClaimEntry:
    """Return the entry of a verdict."""
    claim = verdict.claim
    return ClaimEntry(
        id=claim.id,
        quote=claim.quote,
        metric=claim.metric,
        unit=unit_of(claim),
        technique=claim.technique,
        source=claim.source,
        printed=claim.printed,
        paper_value=claim.value,
        band=BandEdges.of(claim.edges, claim.band.side),
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
        method=describe_method(claim),  # a report may not have the registry
        quantifier=claim.quantifier,
        models=claim.models,
        needs=claim.needs,
    )


def write(document: Document, path: Path, *, most_bytes: int = limits.JSON_BYTES) -> None:
    """Write the document as JSON, whole or not at all. Raises UserError if it can't be written or read again."""
    excluded = None if document.partial else {"partial"}
    text = document.model_dump_json(indent=None if document.is_large else 1, exclude=excluded) + "\n"
    if (size := len(text.encode())) > most_bytes:
        hint = "judge parts of the claims, with --claims-shard, and keep a file of each"
        raise UserError(f"{path}: must have at most {most_bytes} bytes to be read again (got {size}); {hint}")
    write_text(path, text)


def read(path: Path, content: bytes | None = None) -> Document:
    """Read a document that `write` wrote, or take its bytes as `content`. Raises UserError for any other file."""
    data = read_json(path, content)
    if isinstance(data, dict) and data.get("schema_version") == 1:
        raise UserError(f"{path}: has schema_version 1, written by edgeai-repro 0.1; run the claims again")
    return parse_as(Document, data, path)


def of_claim(results: Sequence[DeviceResult], paper: str, claim: str) -> list[DeviceResult]:
    """Return the results that devices contributed to a claim."""
    return [result for result in results if (result.paper, result.claim) == (paper, claim)]


def _rooflines(paper: Paper, devices: Sequence[Device], results: Sequence[DeviceResult]) -> Iterator[Roofline]:
    for spec in paper.implications:
        if spec.rule == "latency-feasible":  # the rule that uses the roofline
            model, target = str(spec.given["model"]), float(spec.given["target"])
            names = {device.key: device.name for device in devices}
            rows = list(estimates(devices, CONVNEXT_VARIANTS[model], target=target))
            claim, measured = spec.claims["latency"], of_claim(results, paper.paper.id, spec.claims["latency"])
            yield Roofline(claim=claim, model=model, target=target, devices=names, rows=rows, measured=measured)

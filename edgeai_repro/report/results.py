"""The results of a run. Each travels from the process that judged it to the one that writes the files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from edgeai_repro.checksums import sha256
from edgeai_repro.claims.schema import ImplicationCase, Paper
from edgeai_repro.claims.shards import Shard
from edgeai_repro.devices.spec import Device
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Environment, Frozen
from edgeai_repro.report.document import (
    ClaimEntry,
    ClaimsFile,
    DeviceResult,
    Document,
    ImplicationEntry,
    paper_entry,
)


class Result(Frozen):
    """The result of one claim or implication.

    `case` is the id of the claim or implication, with its paper. `environment` is that of the process that judged
    it. `seconds` are those that each step took in this process since its previous result.
    """

    case: str
    entry: ClaimEntry | ImplicationEntry
    environment: Environment
    seconds: dict[str, float] = Field(default_factory=dict)


@dataclass
class Results:
    """The results so far, by the ids of their cases, and the seconds that each step took in all processes.

    `claim_seconds` are those of each claim's test.
    `environment` is that of the last process that had loaded torch, or of the last if none had; None if there is no
    result. `partial` is true if the run was interrupted.
    """

    claims: dict[str, ClaimEntry] = field(default_factory=dict)
    implications: dict[str, ImplicationEntry] = field(default_factory=dict)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    claim_seconds: dict[str, float] = field(default_factory=dict)
    environment: Environment | None = None
    partial: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is no result yet."""
        return not (self.claims or self.implications)

    def add(self, result: Result) -> None:
        """Add a result. An error doesn't replace the verdict that another test of the claim got."""
        if isinstance(result.entry, ImplicationEntry):
            self.implications[result.case] = result.entry
        elif result.entry.verdict != "error" or result.case not in self.claims:
            self.claims[result.case] = result.entry
        if self.environment is None or result.environment.engine or not self.environment.engine:
            self.environment = result.environment
        for step, seconds in result.seconds.items():
            self.seconds[step] += seconds

    def document(
        self,
        papers: Iterable[Paper],
        devices: Sequence[Device],
        on_devices: Sequence[DeviceResult],
        files: Mapping[str, ClaimsFile],
        shard: Shard | None = None,
    ) -> Document:
        """Return the results as one document, in the order of the papers and of their claims.

        `on_devices` are the results that were measured on devices, `files` are the claims files by the ids of their
        papers, `shard` is the part of the claims that the run judged. A paper without results is left out.
        """
        entries = []
        for paper in papers:
            claims = [self.claims[case.id] for case in paper.cases if case.id in self.claims]
            cases = [ImplicationCase(paper, spec) for spec in paper.implications]
            checked = [self.implications[case.id] for case in cases if case.id in self.implications]
            if claims or checked:
                entries.append(paper_entry(paper, claims, checked, devices, on_devices))
        here = self.environment or environment.describe()
        return Document(
            environment=here,
            partial=self.partial,
            papers=entries,
            seconds=dict(self.seconds),
            claim_seconds=dict(self.claim_seconds),
            claims_files=dict(files),
            shards=[] if shard is None else [str(shard)],
        )


def claims_file(paper: Paper) -> ClaimsFile:
    """Return what identifies the claims file of a paper, as it is now."""
    return ClaimsFile(
        sha256="" if paper.file is None else sha256(paper.file),
        claims=[claim.id for claim in paper.claims],
        implications=[spec.id for spec in paper.implications],
    )

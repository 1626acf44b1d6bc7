"""One run of the claims: which there are, how the run is restricted, and what has been found so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from edgeai_repro.claims import implications
from edgeai_repro.claims.schema import MODELS, Claim, ImplicationSpec, Need, Paper, load_claims
from edgeai_repro.devices.fingerprint import named_device
from edgeai_repro.devices.spec import Device, load_devices
from edgeai_repro.edge.bundle import load as load_bundle
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.errors import MissingRequirement, TooNoisyError, UserError, did_you_mean
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.evidence.store import EVIDENCE
from edgeai_repro.files import check_writable
from edgeai_repro.judge.verdict import AccuracyCheck, Verdict, error_verdict, judge, not_testable
from edgeai_repro.report import document, files
from edgeai_repro.report.device_results import load_results
from edgeai_repro.report.document import DeviceResult, Document, ImplicationEntry, paper_entry
from edgeai_repro.training.trained_models import TrainedModels

if TYPE_CHECKING:
    from edgeai_repro.measure.compressed_models import CompressedModels

NEEDS: tuple[str, ...] = get_args(Need)


@dataclass
class Session:
    """The papers under test, the trained models that tell of them, and the findings, by the claims' full names.

    `models` are those that the run is restricted to (None: all), `required` the conditions without which a claim
    fails instead of being skipped; `json_path` and `report_folder` are where the findings go, as a file and to be
    looked at; `errors` are claims whose measuring broke; `seconds` add up by step.
    """

    folder: Path
    papers: list[Paper]
    trained: TrainedModels
    devices: list[Device]
    edge: DeployedModels
    contributed: list[DeviceResult]
    models: tuple[str, ...] | None = None
    required: frozenset[str] = frozenset()
    json_path: Path | None = None
    report_folder: Path | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    errors: dict[str, Verdict] = field(default_factory=dict)
    implications: dict[str, ImplicationEntry] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_options(
        cls,
        folder: Path,
        *,
        models: str | None = None,
        required: str | None = None,
        json_path: Path | None = None,
        report_folder: Path | None = None,
        bundle: Path | None = None,
        threads: int | None = None,
    ) -> Session:
        """Read the claims and check the restrictions, given as names with commas, and the bundle if one is named.

        Raises UserError, in one line.
        """
        if json_path is not None:
            check_writable(json_path)
        if report_folder is not None:
            files.check(report_folder)
        if threads is not None and threads < 1:
            raise UserError(f"--edge-threads must be 1 or more (got {threads}); leave it out for one a usable core")
        devices = load_devices(folder)
        only = None if models is None else tuple(_names("--claims-models", models, MODELS))
        papers = load_claims(folder)
        trained = TrainedModels(folder.absolute().parent / EVIDENCE, models=only)
        trained.check()
        return cls(
            folder=folder,
            papers=papers,
            trained=trained,
            devices=list(devices.values()),
            edge=DeployedModels(
                None if bundle is None else load_bundle(bundle),
                named=named_device(devices),
                devices=list(devices.values()),
                models=only,
                claims=[]
                if bundle
                else [c for p in papers for c in p.claims if c.deployed and "weights" not in c.needs],
                threads=threads,
            ),
            contributed=load_results(folder.absolute().parent / EVIDENCE, devices),
            models=only,
            required=frozenset() if required is None else frozenset(_names("--claims-require", required, NEEDS)),
            json_path=json_path,
            report_folder=report_folder,
        )

    @property
    def claims(self) -> Iterator[tuple[str, Claim]]:
        """All claims with their full names, paper by paper."""
        return ((paper.full_name(claim), claim) for paper in self.papers for claim in paper.claims)

    @property
    def implication_specs(self) -> Iterator[tuple[str, ImplicationSpec]]:
        """All implications with their full names, paper by paper."""
        return ((f"{paper.paper.id}/{spec.id}", spec) for paper in self.papers for spec in paper.implications)

    def judge(self, name: str, lab: CompressedModels) -> Verdict:
        """Measure and judge the claim of that full name, and keep the verdict."""
        paper, claim = next((p, c) for p in self.papers for c in p.claims if p.full_name(c) == name)
        try:
            verdict = judge(claim, self._rows(paper, claim, lab), self._accuracy_at_each_choice(paper, claim))
        except MissingRequirement as missing:
            rows = missing.rows or self.trained.reduced_scale_rows(claim, paper)
            verdict = not_testable(claim, missing.condition, missing.remedy, rows)
        except TooNoisyError as noise:
            verdict = Verdict(claim=claim, verdict="inconclusive", reason=str(noise))
        self.verdicts[name] = verdict
        return verdict

    def _rows(self, paper: Paper, claim: Claim, lab: CompressedModels) -> list[Measurement]:
        """Measure a claim by whom it takes: the edge lab, trained models, or the lab."""
        if claim.deployed:
            return self.edge.rows(claim, paper.full_scale)
        return self.trained.rows(claim, paper) if "weights" in claim.needs else lab.measure(claim)

    def rejudge(self) -> None:
        """Judge, by what was recorded alone, every claim that trained models tell of."""
        for name, paper, claim in [(p.full_name(c), p, c) for p in self.papers for c in p.claims]:
            if "weights" in claim.needs and "edge" not in claim.needs:
                try:
                    rows = self.trained.recorded_rows(claim, paper)
                    self.verdicts[name] = judge(claim, rows)
                except MissingRequirement as missing:
                    beside = self.trained.reduced_scale_rows(claim, paper)
                    self.verdicts[name] = not_testable(claim, missing.condition, missing.remedy, beside)

    def _accuracy_at_each_choice(self, paper: Paper, claim: Claim) -> AccuracyCheck | None:
        """Return what is known of accuracy at the values of a claim's free choice."""
        if claim.choice is None or claim.choice.accuracy_claim is None:
            return None
        by = next(other for other in paper.claims if other.id == claim.choice.accuracy_claim)
        asked = by.model_copy(
            update={
                "technique": claim.technique,
                "models": claim.models,
                "quantifier": "every",
                "settings": {claim.choice.name: claim.settings[claim.choice.name]},
            }
        )
        try:
            return AccuracyCheck(asked, tuple(self.trained.rows(asked, paper)))
        except MissingRequirement:
            return AccuracyCheck(asked, tuple(self.trained.reduced_scale_rows(asked, paper)))

    def check_implication(self, name: str, spec: ImplicationSpec) -> ImplicationEntry:
        """Work out an implication from the paper's numbers and the known devices, and keep it."""
        paper = next(paper for paper in self.papers if spec in paper.implications)
        found = implications.check(spec, {claim.id: claim for claim in paper.claims}, self.devices)
        entry = ImplicationEntry(id=spec.id, holds=found.holds, text=found.text)
        self.implications[name] = entry
        return entry

    def record_error(self, name: str, reason: str) -> None:
        """Note that measuring the claim of that full name broke."""
        self.errors[name] = error_verdict(next(claim for known, claim in self.claims if known == name), reason)

    def failure_reason(self, verdict: Verdict) -> str | None:
        """Return why a verdict fails the run, or None: drift, or a condition that the run requires is missing."""
        if verdict.drifted:
            expected = verdict.claim.expect
            return (
                f"{verdict.claim.id!r} must be {expected.verdict} (got {verdict.verdict}: {verdict.reason}); "
                f"it was expected because {expected.reason}"
            )
        if verdict.condition in self.required:
            return f"{verdict.claim.id!r} must be testable, --claims-require {verdict.condition}: {verdict.reason}"
        return None

    def write(self) -> list[Path]:
        """Write what has been found to where it is to go, and return the files. Raises UserError."""
        written = []
        if self.json_path is not None:
            document.write(self.document(), self.json_path)
            written.append(self.json_path)
        if self.report_folder is not None:
            written += files.write(self.document(), self.report_folder)
        return written

    def document(self) -> Document:
        """Return what has been found so far."""
        entries = []
        for paper in self.papers:
            names = {paper.full_name(claim): claim for claim in paper.claims}
            found = {**self.errors, **self.verdicts}
            verdicts = [found[name] for name in names if name in found]
            prefix = f"{paper.paper.id}/"
            implications = [entry for name, entry in self.implications.items() if name.startswith(prefix)]
            if verdicts or implications:
                entries.append(paper_entry(paper, verdicts, implications, self.devices, self.contributed))
        return Document(environment=environment.describe(), papers=entries, seconds=self.seconds)


def _names(option: str, text: str, known: Iterable[str]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"{option} must name at least one (got {text!r}); known are {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UserError(f"{option} must name what is known (got {name!r}); {did_you_mean(name, known)}")
    return names

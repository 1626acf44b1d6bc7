"""One run of the claims: read, measure, judge, and make a document of the results."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path

import edgeai_repro.builtin  # noqa: F401 - registers the metrics and techniques that claims name
from edgeai_repro.claims.entries import Source, SourceName
from edgeai_repro.claims.implications import check
from edgeai_repro.claims.load import read_claims
from edgeai_repro.claims.registry import is_counted, is_timed, measured_on
from edgeai_repro.claims.schema import ClaimCase, ImplicationCase, Paper
from edgeai_repro.devices.fingerprint import named_device
from edgeai_repro.devices.spec import load_devices
from edgeai_repro.edge.bundle import Bundle
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.edge.temporary_bundle import TemporaryDeployedModels
from edgeai_repro.errors import UserError
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Environment, Measured, Obstacle
from edgeai_repro.evidence.store import EVIDENCE
from edgeai_repro.extras import missing_package
from edgeai_repro.judge.choices import AccuracyCheck
from edgeai_repro.judge.verdict import Verdict, judge
from edgeai_repro.measure.compressed_models import CompressedModels
from edgeai_repro.measure.latency.interleaved import Timer, time_interleaved
from edgeai_repro.networks.references import reference, unknown
from edgeai_repro.options import Options, check_names
from edgeai_repro.report import document, files, provenance
from edgeai_repro.report.device_results import load_results
from edgeai_repro.report.document import Document, ImplicationEntry, claim_entry
from edgeai_repro.report.results import Result, Results, claims_file
from edgeai_repro.report.time_left import cheapest_first, earlier_seconds
from edgeai_repro.shipped import VERDICTS
from edgeai_repro.training.trained_models import TrainedModels

QUICK_SECONDS = 20  # after which a quick run starts no claim; it ends within 30


class Session:
    """The claims of a folder, and the sources that measure them.

    `sources` are those that `measured_on` names; `deployed` measures the bundle that the user gave, None without
    one. `timer` times models. If several processes judge the claims, `shared` is the folder in which they
    exchange what they measure, and `alone` waits until no other of them runs. `problems` has a line for each
    mistake in the claims files; a claim with a mistake is left out. Raises UserError if no claim is left, for
    evidence that was changed, and if EDGEAI_DEVICE names no known device.
    """

    def __init__(
        self,
        folder: Path,
        options: Options | None = None,
        *,
        timer: Timer = time_interleaved,
        shared: Path | None = None,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.options = options or Options()
        self._started = time.monotonic()
        self._run = provenance.describe(folder, self.options.command, self.options.as_given())
        read = read_claims(folder)
        self.papers, self.problems = self._restricted(read.papers), read.problems
        self._claims_files = {paper.paper.id: claims_file(paper) for paper in self.papers}
        named = {name for case in self.cases for name in case.claim.networks}
        elsewhere = [name for name in self.options.models or () if name not in named and unknown(reference(name))]
        check_names("--claims-models", elsewhere, named)
        self.alone = alone
        self._shared = shared
        self._verdicts: dict[str, Verdict] = {}
        self._environments: dict[bool, Environment] = {}
        self._timer = timer
        self._devices = load_devices(folder, missing_ok=True)
        self._named_device = named_device(self._devices)
        evidence = folder.absolute().parent / EVIDENCE
        self._kept_run = folder.absolute().parent / VERDICTS
        self._device_results = load_results(evidence, self._devices)
        trained = TrainedModels(evidence, models=self.options.models, recorded_only=self.options.recorded_only)
        trained.check()
        bundle = self.options.bundle
        self.deployed = None if bundle is None else self._deploy(bundle)
        self._compressed = self._compress([])
        self.sources: dict[SourceName, Source] = {
            "compressed": self._compressed,
            "trained": trained,
            "deployed": self.deployed or TemporaryDeployedModels(self._deploy, models=self.options.models),
        }

    def _restricted(self, papers: list[Paper]) -> list[Paper]:
        """Return the papers that the run is restricted to. Raises UserError for an unknown one."""
        if self.options.papers is None:
            return papers
        check_names("--claims-papers", self.options.papers, [paper.paper.id for paper in papers])
        return [paper for paper in papers if paper.paper.id in self.options.papers]

    @property
    def cases(self) -> list[ClaimCase]:
        """All claims with their papers."""
        return [case for paper in self.papers for case in paper.cases]

    @cached_property
    def selected(self) -> list[ClaimCase]:
        """The claims of the named shard, or all; of a quick run those that are counted, the cheapest first."""
        shard = self.options.shard
        cases = self.cases if shard is None else shard.select(self.cases)
        if not self.options.quick:
            return cases
        return cheapest_first([case for case in cases if is_counted(case.claim)], self.earlier_seconds)

    @cached_property
    def earlier_seconds(self) -> dict[str, float]:
        """The seconds that each claim took in the kept run, by the claim's id; none if there is no kept run."""
        return earlier_seconds(self._kept_run)

    @cached_property
    def planned(self) -> list[ClaimCase]:
        """The claims that will be judged: the selected ones, until `plan` announces which."""
        return self.selected

    @property
    def implication_cases(self) -> list[ImplicationCase]:
        """All implications with their papers. Only the first of several shards has them: nothing is measured."""
        if self.options.shard is not None and self.options.shard.number > 1:
            return []
        return [ImplicationCase(paper, spec) for paper in self.papers for spec in paper.implications]

    def plan(self, cases: Iterable[ClaimCase]) -> None:
        """Announce the claims that will be judged, so that each network is built only once."""
        self.planned = list(cases)
        counted = [case for case in self.planned if measured_on(case.claim) == "compressed"]
        self._compressed = self._compress(counted)
        self.sources["compressed"] = self._compressed

    def judge(self, case: ClaimCase) -> Verdict:
        """Measure and judge a claim, once per process."""
        if case.id not in self._verdicts:
            with self.alone() if is_timed(case.claim) else nullcontext():
                measured = self._measure(case)
            self._verdicts[case.id] = judge(case.claim, measured, self._accuracy_check(case))
        return self._verdicts[case.id]

    def _measure(self, case: ClaimCase) -> Measured:
        """Return the rows of a claim, or the obstacle if a package that its measurement needs isn't installed."""
        if self.options.quick and time.monotonic() - self._started > QUICK_SECONDS:
            spent = f"--claims-quick starts no claim after {QUICK_SECONDS} seconds"
            return Measured(obstacle=Obstacle("time", f"{spent}; name its paper with --claims-papers"))
        try:
            return self.sources[measured_on(case.claim)].measure(case)
        except ModuleNotFoundError as error:
            if missing := missing_package(error):
                return Measured(obstacle=Obstacle(missing.requirement, missing.remedy))
            raise

    def _accuracy_check(self, case: ClaimCase) -> AccuracyCheck | None:
        """Return the rows that decide whether the values of a claim's choice maintain the accuracy."""
        claim = case.claim
        if claim.choice is None or claim.choice.accuracy_claim is None:
            return None
        at_each_value = case.paper.claim(claim.choice.accuracy_claim).model_copy(
            update={
                "technique": claim.technique,
                "models": claim.models,
                "quantifier": "every",
                "settings": {claim.choice.name: claim.values_of(claim.choice.name)},
            }
        )
        measured = self.sources["trained"].measure(ClaimCase(case.paper, at_each_value))
        return AccuracyCheck(at_each_value, measured.rows)

    def check_implication(self, case: ImplicationCase) -> ImplicationEntry:
        """Check an implication by the numbers of its paper and the known devices."""
        claims = {claim.id: claim for claim in case.paper.claims}
        finding = check(case.spec, claims, list(self._devices.values()))
        return ImplicationEntry(id=case.spec.id, holds=finding.holds, text=finding.text)

    def result(self, case: ClaimCase | ImplicationCase, judged: Verdict | ImplicationEntry) -> Result:
        """Return a verdict, or what an implication came to, with this process's environment and its seconds so far.

        The seconds are returned once: the next result starts from 0.
        """
        seconds = dict(self._compressed.seconds)
        self._compressed.seconds.clear()
        entry = claim_entry(judged) if isinstance(judged, Verdict) else judged
        return Result(case=case.id, entry=entry, environment=self._environment(), seconds=seconds)

    def _environment(self) -> Environment:
        """Return the environment, described once without and once with torch: it takes 50 ms."""
        loaded = "torch" in sys.modules
        if loaded not in self._environments:
            self._environments[loaded] = environment.describe()
        return self._environments[loaded]

    def failure_reason(self, verdict: Verdict) -> str | None:
        """Return why a verdict fails the run, None if it doesn't: drift, or a missing requirement."""
        if verdict.drifted:
            expected = verdict.claim.expect
            return (
                f"{verdict.claim.id!r} must be {expected.verdict} (got {verdict.verdict}: {verdict.reason}); "
                f"expected because {expected.reason}"
            )
        if verdict.requirement in self.options.required:
            option = f"--claims-require={verdict.requirement}"
            return f"{verdict.claim.id!r} must be testable with {option}: {verdict.reason}"
        return None

    def write(self, results: Results) -> None:
        """Write the results to the files that the options name, each even if another can't be written.

        Raises UserError, with a line for each file that can't be written.
        """
        complete = self.document(results)
        problems: list[str] = []
        written = ((document.write, self.options.json_path), (files.write, self.options.report_folder))
        for write, path in written:
            try:
                if path is not None:
                    write(complete, path)
            except UserError as error:
                problems += error.args
        if problems:
            raise UserError(*problems)

    def document(self, results: Results) -> Document:
        """Return the results as one document, in the order of the claims files."""
        devices = list(self._devices.values())
        written = results.document(
            self.papers, devices, self._device_results, self._claims_files, self.options.shard
        )
        return written.model_copy(update={"run": provenance.finished(self._run)})

    def _compress(self, cases: Sequence[ClaimCase]) -> CompressedModels:
        return CompressedModels(cases, models=self.options.models, shared=self._shared, timer=self._timer)

    def _deploy(self, bundle: Bundle) -> DeployedModels:
        claims = [case.claim for case in self.cases if measured_on(case.claim) == "deployed"]
        return DeployedModels(
            bundle,
            named=self._named_device,
            devices=list(self._devices.values()),
            models=self.options.models,
            claims=[] if self.options.bundle else [claim for claim in claims if "weights" not in claim.needs],
            threads=self.options.threads,
            timer=self._timer,
        )

"""Merges the documents of several runs, such as those of all shards, into one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path

from edgeai_repro.claims.shards import Shard
from edgeai_repro.errors import UserError
from edgeai_repro.evidence.environment import version_changes
from edgeai_repro.evidence.measurement import Environment
from edgeai_repro.report.document import ClaimEntry, ClaimsFile, Document, PaperEntry

AGAIN = "run it again with the same"


@dataclass(frozen=True)
class _Run:
    """A document with its path, its papers by id and the names of its claims."""

    path: Path
    document: Document
    papers: dict[str, PaperEntry]
    claims: dict[str, ClaimEntry]

    @classmethod
    def of(cls, path: Path, document: Document) -> _Run:
        claims = {f"{paper.id}/{claim.id}": claim for paper in document.papers for claim in paper.claims}
        return cls(path, document, {paper.id: paper for paper in document.papers}, claims)


def merge(documents: Sequence[tuple[Path, Document]]) -> Document:
    """Return one document with the results of all, which are given with the paths of their files.

    Claims keep the order of their files, and each names the environment that measured it. Raises UserError, in one
    line, if the runs had other versions or claims, or if two of them judged the same claim.
    """
    if len(documents) < 2:
        raise UserError(
            f"the files to merge must be two or more (got {len(documents)}); add those of other machines"
        )
    runs = [_Run.of(path, document) for path, document in documents]
    for problem in chain(*map(_own_problems, runs), *(_problems(*pair) for pair in combinations(runs, 2))):
        raise UserError(problem)
    environments = _environments(runs)
    files = {paper: file for run in runs for paper, file in run.document.claims_files.items()}
    steps = dict.fromkeys(step for run in runs for step in run.document.seconds)
    shards = sorted(Shard.parse(shard) for run in runs for shard in run.document.shards)
    return Document(
        partial=any(run.document.partial for run in runs),
        environment=environments[0],
        other_environments=environments[1:],
        papers=[entry for name, file in files.items() for entry in _paper(name, file, runs, environments)],
        seconds={step: sum(run.document.seconds.get(step, 0.0) for run in runs) for step in steps},
        claim_seconds={case: took for run in runs for case, took in run.document.claim_seconds.items()},
        claims_files=files,
        shards=[str(shard) for shard in shards],
    )


def missing_shards(run: Document) -> list[str]:
    """Return the shards that a document lacks, none if its claims were not divided."""
    of = max((Shard.parse(shard).of for shard in run.shards), default=0)
    return [shard for number in range(1, of + 1) if (shard := f"{number}/{of}") not in run.shards]


def _own_problems(run: _Run) -> Iterator[str]:
    """Yield why a document can't be merged with any other."""
    listed = {f"{paper}/{claim}" for paper, file in run.document.claims_files.items() for claim in file.claims}
    environments = len(run.document.environments)
    if not listed or run.claims.keys() - listed:
        yield f"{run.path}: the list of its claims is missing or not whole; run the claims again"
    if any(claim.environment >= environments for claim in run.claims.values()):
        yield f"{run.path}: each claim's 'environment' must be one of {environments}; run the claims again"


def _problems(one: _Run, other: _Run) -> Iterator[str]:
    """Yield why a document can't be merged with another."""
    before, after = one.document, other.document
    if changes := version_changes(before.environment.software, after.environment.software):
        yield f"{other.path}: must come from the versions of {one.path} (got {', '.join(changes)}); {AGAIN}"
    if twice := [name for name in other.claims if name in one.claims]:
        yield (
            f"{other.path}: must hold no claim of {one.path} (got {twice[0]!r} in both, {len(twice)} in all); "
            "leave one of the files out"
        )
    for name, file in before.claims_files.items():
        if after.claims_files.get(name, file) != file:
            yield f"{other.path}: must come from the claims of {one.path} (got another file of {name!r}); {AGAIN}"
    if before.shards and after.shards:
        if twice := [shard for shard in after.shards if shard in before.shards]:
            yield f"{other.path}: must be another shard than {one.path} (got {twice[0]} twice); leave one out"
        if before.claims_files.keys() != after.claims_files.keys():
            yield f"{other.path}: must be a shard of the papers of {one.path} (got others); {AGAIN}"
        if Shard.parse(before.shards[0]).of != Shard.parse(after.shards[0]).of:
            yield f"{other.path}: must be a shard of as many as {before.shards[0]} (got {after.shards[0]}); {AGAIN}"
    for name, paper in one.papers.items():
        if not _agree(paper, other.papers.get(name, paper)):
            yield f"{other.path}: must know the devices and records of {one.path} (got others of {name!r}); {AGAIN}"


def _agree(one: PaperEntry, other: PaperEntry) -> bool:
    """Return whether two entries of a paper say the same except for their claims."""
    shown, others = ({spec.id: spec for spec in entry.implications} for entry in (one, other))
    nothing: dict[str, list[str]] = {"claims": [], "implications": []}
    same = all(others.get(name, spec) == spec for name, spec in shown.items())
    return same and one.model_copy(update=nothing) == other.model_copy(update=nothing)


def _environments(runs: Iterable[_Run]) -> list[Environment]:
    """Return each environment that measured a claim once; those of all runs if no run has a claim."""
    used = [run.document.environments[claim.environment] for run in runs for claim in run.claims.values()]
    every = [environment for run in runs for environment in run.document.environments]
    return _unique(used) or _unique(every)


def _unique(environments: list[Environment]) -> list[Environment]:
    return list({environment.model_dump_json(): environment for environment in environments}.values())


def _paper(name: str, file: ClaimsFile, runs: Iterable[_Run], environments: list[Environment]) -> list[PaperEntry]:
    """Return the entry of a paper with the results of all runs, in the order of its file; none without results."""
    entries = [(run, run.papers[name]) for run in runs if name in run.papers]
    claims = {
        claim.id: claim.model_copy(
            update={"environment": environments.index(run.document.environments[claim.environment])}
        )
        for run, entry in entries
        for claim in entry.claims
    }
    implications = {implication.id: implication for _, entry in entries for implication in entry.implications}
    results = {
        "claims": [claims[claim] for claim in file.claims if claim in claims],
        "implications": [implications[spec] for spec in file.implications if spec in implications],
    }
    return [entry.model_copy(update=results) for _, entry in entries[:1]]

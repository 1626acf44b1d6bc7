"""Reads claims files, and checks the names in them against the registered metrics and techniques. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgeai_repro.claims.checks import claim_problems, file_problems, implication_problems, repeated
from edgeai_repro.claims.networks import conditions_of, with_all_networks
from edgeai_repro.claims.registry import METRICS, TECHNIQUES, UNCOMPRESSED
from edgeai_repro.claims.schema import SCHEMA_VERSION, Paper
from edgeai_repro.claims.user_code import register_conftests
from edgeai_repro.devices.spec import DevicesFile
from edgeai_repro.errors import LONGEST, UserError
from edgeai_repro.files import is_folder, read_yaml
from edgeai_repro.validation import complaints, parse_as

UPGRADE = "CHANGELOG.md lists the keys that were renamed"


@dataclass(frozen=True)
class ClaimsFolder:
    """The papers of a folder, in the order of the file names, without the claims that have mistakes.

    `problems` has one line per mistake, which names the file, the claim and the key.
    """

    papers: list[Paper]
    problems: list[str]


def load_claims(folder: Path) -> list[Paper]:
    """Return the papers of a claims folder. Raises UserError with one line per mistake."""
    read = read_claims(folder)
    if read.problems:
        raise UserError(*read.problems)
    return read.papers


def read_claims(folder: Path) -> ClaimsFolder:
    """Read a claims folder. Raises UserError if it has no paper, or only mistakes.

    If a file names unknown metrics or techniques, the conftest.py next to the folder is imported first.
    """
    files = sorted(folder.glob("*.yaml")) if is_folder(folder) else []
    papers: list[Paper] = []
    problems: list[str] = []
    for file in files:
        try:
            loaded, mistakes = _read(file)
        except UserError as error:
            problems += str(error).splitlines()
            continue
        problems += mistakes
        papers += [loaded] if isinstance(loaded, Paper) else []
    if not papers and not problems:
        got = "no such folder" if not is_folder(folder) else f"{len(files)} YAML files, none of a paper"
        problems.append(
            f"{folder}: must be a folder with a claims file, *.yaml with 'paper:' (got {got}); "
            "name another with --claims-dir"
        )
    for twice in repeated(paper.paper.id for paper in papers):
        problems.append(f"{folder}: paper 'id' must be unique (got {twice!r} twice); rename one")
        papers = [paper for paper in papers if paper.paper.id != twice]
    if not papers:
        raise UserError(*problems)
    return ClaimsFolder(papers, problems)


def load_file(path: Path, *, code: bool = True) -> Paper | DevicesFile:
    """Return one file of a claims folder: a paper's claims, or devices. Raises as `load_claims`.

    Without `code`, no conftest.py is imported, so a metric or a technique that one defines is unknown.
    """
    loaded, problems = _read(path, code=code)
    if problems or loaded is None:
        raise UserError(*problems)
    return loaded


def _read(path: Path, *, code: bool = True) -> tuple[Paper | DevicesFile | None, list[str]]:
    """Return the content of a file without the claims that have mistakes, None if none is left, and the mistakes.

    Raises UserError if the mistakes are not those of single claims.
    """
    document = read_yaml(path)
    if not isinstance(document, dict) or not {"paper", "devices"} & document.keys():
        got = ", ".join(map(str, document)) if isinstance(document, dict) else type(document).__name__
        got = "nothing" if not document else got[:LONGEST]
        raise UserError(f"{path}: must have a key 'paper' or 'devices' (got {got}); add it")
    if "paper" not in document:
        return parse_as(DevicesFile, document, path), []
    if (version := document.get("schema_version")) != SCHEMA_VERSION:
        got = "is missing" if version is None else f"must be {SCHEMA_VERSION} (got {version!r})"
        raise UserError(f"{path}: 'schema_version' {got}; write 'schema_version: {SCHEMA_VERSION}' ({UPGRADE})")
    paper, problems = _parse(document)
    if paper is not None:
        if code:
            register_conftests(path, _unknown_names(paper))
        paper = _with_defaults(with_all_networks(paper.read_from(path), path.parent))
        if wrong := list(file_problems(paper, is_whole=not problems)):
            raise UserError(*(f"{path}: {problem}" for problem in wrong))
        paper, mistakes = _without_mistakes(paper)
        problems += mistakes
    return paper, [f"{path}: {problem}" for problem in problems]


def _parse(document: dict[str, Any]) -> tuple[Paper | None, list[str]]:
    """Return the paper of a document without the claims that break the schema, and one line per mistake."""
    try:
        return Paper.model_validate(document), []
    except ValidationError as error:
        places = [details["loc"] for details in error.errors(include_url=False)]
        lines = complaints(error, Paper, document)
    if any(place[0] != "claims" or len(place) < 2 or not isinstance(place[1], int) for place in places):
        return None, lines
    wrong = {place[1] for place in places}
    entries = [
        claim for index, claim in enumerate(document["claims"]) if index in wrong and isinstance(claim, dict)
    ]
    names = {claim["id"] for claim in entries if isinstance(claim.get("id"), str)}
    left = [claim for index, claim in enumerate(document["claims"]) if index not in wrong]
    kept = [spec for spec in document.get("implications", ()) if not names & set(spec["claims"].values())]
    return (Paper.model_validate({**document, "claims": left, "implications": kept}) if left else None), lines


def _without_mistakes(paper: Paper) -> tuple[Paper | None, list[str]]:
    """Return a paper without the claims that have mistakes and what refers to them, and one line per mistake."""
    problems = {claim.id: list(claim_problems(claim, paper)) for claim in paper.claims}
    lines = [f"claims[{name}]: {problem}" for name, found in problems.items() for problem in found]
    left = [claim for claim in paper.claims if not problems[claim.id]]
    implications = []
    for spec in paper.implications:
        found = list(implication_problems(spec, paper))
        lines += [f"implications[{spec.id}]: {problem}" for problem in found]
        if not found and not any(problems[name] for name in spec.claims.values()):
            implications.append(spec)
    if not left:
        return None, lines
    return paper.model_copy(update={"claims": left, "implications": implications}), lines


def _unknown_names(paper: Paper) -> set[str]:
    named = {name for claim in paper.claims for name in (claim.metric, claim.technique)}
    return named - METRICS.keys() - TECHNIQUES.keys() - {UNCOMPRESSED}


def _with_defaults(paper: Paper) -> Paper:
    """Return a paper whose claims have the file's defaults, as far as their metrics take them."""
    claims = []
    for claim in paper.claims:
        taken = [name for name in conditions_of(claim, paper) if name not in claim.settings]
        defaults = {name: [value] for name, value in paper.defaults.items() if name in taken}
        claims.append(claim.model_copy(update={"conditions": {**defaults, **claim.conditions}}))
    return paper.model_copy(update={"claims": claims})

"""Reads claims files, and checks the names in them against the registered metrics and techniques. No torch."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgeai_repro.claims.implications import spec_problems
from edgeai_repro.claims.networks import conditions_of, definition_problems, network_problems, with_all_networks
from edgeai_repro.claims.registry import METRICS, TECHNIQUES, UNCOMPRESSED, VALUES
from edgeai_repro.claims.schema import SCHEMA_VERSION, Claim, Paper
from edgeai_repro.claims.user_code import register_conftests
from edgeai_repro.claims.uses import use_problems
from edgeai_repro.devices.spec import DevicesFile
from edgeai_repro.errors import LONGEST, UserError, did_you_mean
from edgeai_repro.files import parse_as, read_yaml

OWN = "; or register your own in a conftest.py next to the claims folder"
UPGRADE = "CHANGELOG.md lists the keys that were renamed"


def load_claims(folder: Path) -> list[Paper]:
    """Return the papers of a claims folder, in the order of the file names.

    If a file names unknown metrics or techniques, the conftest.py next to the folder is imported first. Raises
    UserError with one line per mistake.
    """
    files = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    papers, problems = [], []
    for file in files:
        try:
            if isinstance(loaded := load_file(file), Paper):
                papers.append(loaded)
        except UserError as error:
            problems.append(str(error))
    if not papers and not problems:
        got = "no such folder" if not folder.is_dir() else f"{len(files)} YAML files, none of a paper"
        problems.append(
            f"{folder}: must be a folder with a claims file, *.yaml with 'paper:' (got {got}); "
            "name another with --claims-dir"
        )
    ids = [paper.paper.id for paper in papers]
    problems += [
        f"{folder}: paper 'id' must be unique (got {repeated!r} twice); rename one" for repeated in _repeated(ids)
    ]
    if problems:
        raise UserError("\n".join(problems))
    return papers


def load_file(path: Path) -> Paper | DevicesFile:
    """Return one file of a claims folder: a paper's claims, or devices. Raises as `load_claims`."""
    document = read_yaml(path)
    if not isinstance(document, dict) or not {"paper", "devices"} & document.keys():
        got = ", ".join(map(str, document)) if isinstance(document, dict) else type(document).__name__
        got = "nothing" if not document else got[:LONGEST]
        raise UserError(f"{path}: must have a key 'paper' or 'devices' (got {got}); add it")
    if "paper" not in document:
        return parse_as(DevicesFile, document, path)
    if (version := document.get("schema_version")) != SCHEMA_VERSION:
        got = "is missing" if version is None else f"must be {SCHEMA_VERSION} (got {version!r})"
        raise UserError(f"{path}: 'schema_version' {got}; write 'schema_version: {SCHEMA_VERSION}' ({UPGRADE})")
    paper = parse_as(Paper, document, path).read_from(path)
    register_conftests(path, _unknown_names(paper))
    paper = _with_defaults(with_all_networks(paper, path.parent))
    if problems := list(_problems(paper)):
        raise UserError("\n".join(f"{path}: {problem}" for problem in problems))
    return paper


def json_schema() -> str:
    """Return the JSON schema of the files of a claims folder, as kept in `claims/schema.json`."""
    schema = TypeAdapter(Paper | DevicesFile).json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


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


def _problems(paper: Paper) -> Iterator[str]:
    """Yield every mistake that takes more than one entry, or the registry, to see."""
    for kind, ids in (
        ("claim", [claim.id for claim in paper.claims]),
        ("unstated", [unstated.id for unstated in paper.unstated]),
        ("implication", [spec.id for spec in paper.implications]),
    ):
        yield from (f"{kind} 'id' must be unique (got {name!r} twice); rename one" for name in _repeated(ids))
    for claim in paper.claims:
        yield from (f"claims[{claim.id}]: {problem}" for problem in _claim_problems(claim, paper))
    claims = {claim.id for claim in paper.claims}
    for spec in paper.implications:
        yield from (f"implications[{spec.id}]: {problem}" for problem in spec_problems(spec))
        yield from (
            f"implications[{spec.id}]: {problem}"
            for name in spec.claims.values()
            for problem in _unknown("claims", name, claims)
        )
    yield from definition_problems(paper)
    taken = {name for claim in paper.claims for name in conditions_of(claim, paper)}
    for name in sorted(paper.defaults.keys() - taken):
        yield f"'defaults.{name}' must be a condition of a claim's metric (no metric takes it); remove it"


def _claim_problems(claim: Claim, paper: Paper) -> Iterator[str]:
    yield from _unknown("metric", claim.metric, METRICS, OWN)
    yield from _unknown("technique", claim.technique, [*TECHNIQUES, UNCOMPRESSED], OWN)
    yield from network_problems(claim, paper)
    for name in claim.assumes:
        yield from _unknown("assumes", name, [unstated.id for unstated in paper.unstated])
    if claim.metric in METRICS:
        yield from _metric_problems(claim, paper)
        yield from use_problems(claim)
        yield from _comparison_problems(claim)
    if claim.technique in TECHNIQUES or claim.technique == UNCOMPRESSED:
        yield from _setting_problems(claim, paper)
    if claim.choice and claim.choice.accuracy_claim is not None:
        others = {other.id: other for other in paper.claims}
        yield from _unknown("choice.accuracy_claim", claim.choice.accuracy_claim, others)
        if (other := others.get(claim.choice.accuracy_claim)) and "weights" not in other.needs:
            yield (
                f"'choice.accuracy_claim' must name a claim that needs weights "
                f"(got {claim.choice.accuracy_claim!r}, which does not); name another"
            )


def _metric_problems(claim: Claim, paper: Paper) -> Iterator[str]:
    metric = METRICS[claim.metric]
    if claim.expect.verdict == "artefact" and not metric.has_actual:
        yield f"'expect.verdict' must not be 'artefact': {metric.name!r} has no actual quantity; choose another"
    known = conditions_of(claim, paper)
    for name in claim.conditions:
        if name not in known:
            takes = f"it takes {_listed(known)}"
            yield f"'conditions.{name}' must be a condition of {metric.name!r} ({takes}); remove it"
    for name, values in claim.conditions.items():
        allowed = VALUES.get(name, values)
        for value in values:
            if value not in allowed:
                known_values = " or ".join(map(str, allowed))
                yield f"'conditions.{name}' must be {known_values} (got {value!r}); correct it"
    for name in metric.conditions:
        if name not in claim.conditions and name not in claim.settings:
            yield f"'conditions.{name}' is missing: {metric.name!r} needs it; add it"
    if metric.source == "trained" and "weights" not in claim.needs:
        yield f"'needs' must list weights for {metric.name!r} (got {_listed(claim.needs)}); add it"
    if "weights" in claim.needs and paper.full_scale is None:
        yield "'full_scale' of the file is missing: a claim that needs weights is judged at that scale; add it"


def _comparison_problems(claim: Claim) -> Iterator[str]:
    compares = METRICS[claim.metric].compares
    if compares == "always" and claim.against is None:
        yield f"'against' is missing: {claim.metric!r} compares two networks; name the other one"
    for key in ("against", "without"):
        if getattr(claim, key) is not None and compares == "never":
            able = ", ".join(name for name, metric in METRICS.items() if metric.compares != "never")
            yield f"{key!r} must be unset: {claim.metric!r} does not compare two networks ({able} do); remove it"


def _setting_problems(claim: Claim, paper: Paper) -> Iterator[str]:
    technique = TECHNIQUES.get(claim.technique)
    required, optional = (technique.settings, technique.optional) if technique else ((), ())
    known = (*required, *optional)
    for name in claim.settings:
        if name in conditions_of(claim, paper):
            yield f"'settings.{name}' is a condition of {claim.metric!r}; move it to 'conditions'"
        elif name not in known:
            takes = f"it takes {_listed(known)}"
            yield f"'settings.{name}' must be a setting of {claim.technique!r} ({takes}); remove it"
    deployed = claim.metric in METRICS and METRICS[claim.metric].source == "deployed"  # the bundle has settings
    for name in required:
        if name not in claim.settings and not deployed:
            yield f"'settings.{name}' is missing: {claim.technique!r} needs it; add it"


def _unknown(key: str, name: str, known: Collection[str], hint: str = "") -> Iterator[str]:
    if name not in known:
        yield f"{key!r} must be known (got {name!r}); {did_you_mean(name, known)}{hint}"


def _listed(names: Collection[Any]) -> str:
    return ", ".join(map(str, names)) or "none"


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})

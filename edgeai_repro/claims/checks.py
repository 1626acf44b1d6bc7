"""Checks what takes more than one entry of a claims file, or the registry, to see. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgeai_repro.claims.implications import spec_problems
from edgeai_repro.claims.networks import conditions_of, definition_problems, network_problems
from edgeai_repro.claims.paper_info import ImplicationSpec
from edgeai_repro.claims.registry import METRICS, TECHNIQUES, UNCOMPRESSED
from edgeai_repro.claims.schema import Claim, Paper
from edgeai_repro.claims.uses import use_problems
from edgeai_repro.claims.values import RANGES, VALUES
from edgeai_repro.errors import did_you_mean
from edgeai_repro.evidence.measurement import Setting

OWN = "; or register your own with @{} in a conftest.py next to the claims folder"


def file_problems(paper: Paper, *, is_whole: bool) -> Iterator[str]:
    """Yield the mistakes of a file that are not those of one claim; `is_whole` if no claim was left out."""
    for kind, ids in (
        ("claim", [claim.id for claim in paper.claims]),
        ("unstated", [unstated.id for unstated in paper.unstated]),
        ("implication", [spec.id for spec in paper.implications]),
    ):
        yield from (f"{kind} 'id' must be unique (got {name!r} twice); rename one" for name in repeated(ids))
    yield from definition_problems(paper)
    taken = {name for claim in paper.claims for name in conditions_of(claim, paper)}
    for name in sorted(paper.defaults.keys() - taken) if is_whole else ():
        yield f"'defaults.{name}' must be a condition of a claim's metric (no metric takes it); remove it"
    printed = paper.full_scale.dense_top1 if paper.full_scale else {}
    models = {model for claim in paper.claims for model in claim.models}
    for name in sorted(printed.keys() - models) if is_whole else ():
        yield f"'full_scale.dense_top1' must name models of the claims (got {name!r}); {did_you_mean(name, models)}"


def implication_problems(spec: ImplicationSpec, paper: Paper) -> Iterator[str]:
    """Yield the mistakes of an implication."""
    yield from spec_problems(spec)
    for name in spec.claims.values():
        yield from _unknown("claims", name, {claim.id for claim in paper.claims})


def claim_problems(claim: Claim, paper: Paper) -> Iterator[str]:
    """Yield the mistakes of a claim."""
    yield from _unknown("metric", claim.metric, METRICS, OWN.format("metric"))
    yield from _unknown("technique", claim.technique, [*TECHNIQUES, UNCOMPRESSED], OWN.format("technique"))
    yield from network_problems(claim, paper)
    for name in claim.assumes:
        yield from _unknown(
            "assumes", name, [unstated.id for unstated in paper.unstated], "; or add it under 'unstated'"
        )
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
    yield from _range_problems("conditions", claim.conditions)
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
    yield from _range_problems("settings", claim.settings)
    deployed = claim.metric in METRICS and METRICS[claim.metric].source == "deployed"  # the bundle has settings
    for name in required:
        if name not in claim.settings and not deployed:
            yield f"'settings.{name}' is missing: {claim.technique!r} needs it; add it"


def _range_problems(key: str, given: Mapping[str, Sequence[Setting]]) -> Iterator[str]:
    """Yield the numbers that lie outside of the range of their setting or condition."""
    for name, values in given.items():
        for value in values if name in RANGES else ():
            if isinstance(value, str) or not RANGES[name].contains(value):
                yield f"'{key}.{name}' must be {RANGES[name].text} (got {value!r}); correct it"


def _unknown(key: str, name: str, known: Collection[str], hint: str = "") -> Iterator[str]:
    if name not in known:
        yield f"{key!r} must be known (got {name!r}); {did_you_mean(name, known)}{hint}"


def _listed(names: Collection[Any]) -> str:
    return ", ".join(map(str, names)) or "none"


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once."""
    return sorted(name for name, count in Counter(names).items() if count > 1)

"""Checks the networks that a claims file names, and completes its list of them. No torch; nothing is built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeai_repro.claims.registry import METRICS
from edgeai_repro.claims.schema import Claim, Paper
from edgeai_repro.errors import did_you_mean
from edgeai_repro.networks.references import reference, unknown
from edgeai_repro.networks.specs import Alternatives, Function, NamedSpec, NetworkSet


def with_all_networks(paper: Paper, folder: Path) -> Paper:
    """Return a paper that lists every network its claims name; the paths of files are relative to `folder`."""
    networks: dict[str, NamedSpec] = {
        name: spec.model_copy(update={"file": folder / spec.file}) if isinstance(spec, Function) else spec
        for name, spec in paper.networks.items()
    }
    named = [name for claim in paper.claims for name in claim.networks]
    for spec in paper.networks.values():
        named += spec.of.values() if isinstance(spec, Alternatives) else ()
        named += spec.of if isinstance(spec, NetworkSet) else ()
    for name in named:
        networks.setdefault(name, reference(name, folder))
    return paper.model_copy(update={"networks": networks})


def definition_problems(paper: Paper) -> Iterator[str]:
    """Yield the mistakes under `networks:`, for a paper that lists every network."""
    for name, spec in paper.networks.items():
        if isinstance(spec, Alternatives):
            for value, other in spec.of.items():
                if problem := _problem(other, paper):
                    yield f"networks.{name}.of: {value!r} must be a known network (got {other!r}); {problem}"
                elif isinstance(paper.networks[other], Alternatives | NetworkSet):
                    yield f"networks.{name}.of: {value!r} must be one network (got {other!r}); name one of its own"
        elif isinstance(spec, NetworkSet):
            yield from _set_problems(name, spec, paper)


def _set_problems(name: str, spec: NetworkSet, paper: Paper) -> Iterator[str]:
    """Yield the mistakes of a set: unknown networks, networks that are several themselves, and repeated ones."""
    for other in dict.fromkeys(spec.of):
        if problem := _problem(other, paper):
            yield f"networks.{name}.of: must be known networks (got {other!r}); {problem}"
        elif isinstance(paper.networks[other], Alternatives | NetworkSet):
            yield f"networks.{name}.of: must be single networks (got {other!r}); name each of its own"
        elif spec.of.count(other) > 1:
            yield f"networks.{name}.of: must name each network once (got {other!r} twice); remove one"


def conditions_of(claim: Claim, paper: Paper) -> tuple[str, ...]:
    """Return all conditions that a claim may give: those of its metric, and those that select its networks."""
    if claim.metric not in METRICS:
        return ()
    metric = METRICS[claim.metric]
    specs = [paper.networks.get(name) for name in claim.networks]
    selecting = [spec.by for spec in specs if isinstance(spec, Alternatives)]
    return tuple(dict.fromkeys([*metric.conditions, *metric.optional, *selecting]))


def network_problems(claim: Claim, paper: Paper) -> Iterator[str]:
    """Yield the mistakes of a claim in what it says of networks, for a paper that lists every network."""
    for key, names in (
        ("models", claim.models),
        ("also_shown", claim.also_shown),
        ("against", [claim.against] if claim.against else []),
        ("without", [claim.without] if claim.without else []),
    ):
        for name in names:
            if problem := _problem(name, paper):
                yield f"{key!r} must be known networks (got {name!r}); {problem}"
    if claim.choice:
        for name in claim.choice.swept_on:
            if name not in claim.networks:
                hint = did_you_mean(name, claim.networks)
                yield f"'choice.swept_on' must name models of the claim (got {name!r}); {hint}"
    for name in claim.networks:
        spec = paper.networks[name]
        if isinstance(spec, Alternatives):
            yield from _selection_problems(claim, name, spec)
        if claim.metric in METRICS and METRICS[claim.metric].ranks != isinstance(spec, NetworkSet):
            wanted = "sets of networks" if METRICS[claim.metric].ranks else "single networks"
            yield f"'models' must be {wanted} for {claim.metric!r} (got {name!r}); name others, or another metric"
    yield from _missing_conditions(claim, paper)
    yield from _class_problems(claim, paper)


def _selection_problems(claim: Claim, name: str, spec: Alternatives) -> Iterator[str]:
    """Yield the values of a condition that select none of the alternatives."""
    values = claim.conditions.get(spec.by)
    if values is None:
        yield f"'conditions.{spec.by}' is missing: it selects {name!r}; add one or more of {', '.join(spec.of)}"
    for value in values or ():
        if str(value) not in spec.of:
            hint = did_you_mean(str(value), spec.of)
            yield f"'conditions.{spec.by}' must select one of {name!r} (got {value!r}); {hint}"


def _missing_conditions(claim: Claim, paper: Paper) -> Iterator[str]:
    """Yield the missing side of the image or number of classes, which only a function in a file does without."""
    metric = METRICS.get(claim.metric)
    if metric is None or metric.source != "compressed":
        return
    for name in ("resolution", "classes"):
        needing = [
            network
            for network in claim.networks
            for spec in _chosen(network, paper)
            if not isinstance(spec, Function) and getattr(spec, name) is None
        ]
        if needing and name not in claim.conditions and name not in claim.settings:
            yield (
                f"'conditions.{name}' is missing: {needing[0]!r} is built and counted with it; add it, or "
                f"'defaults.{name}' for all claims of the file"
            )


def _class_problems(claim: Claim, paper: Paper) -> Iterator[str]:
    """Yield the networks that are compared with others of another number of classes."""
    given = claim.conditions.get("classes", [None])[0]

    def classes(name: str) -> set[object]:
        numbers = (spec.classes if spec.classes is not None else given for spec in _chosen(name, paper))
        return {number for number in numbers if number is not None}

    for key, name in (("against", claim.against), ("without", claim.without)):
        for model in claim.models if name is not None else ():
            if len(both := classes(model) | classes(name or "")) > 1:
                numbers = " and ".join(map(str, sorted(map(int, map(str, both)))))
                yield (
                    f"{key!r} must have as many classes as the model (got {name!r} and {model!r} with {numbers}); "
                    "give both the same under 'networks' or 'conditions'"
                )


def _chosen(name: str, paper: Paper) -> list[NamedSpec]:
    """Return the networks that a name can stand for."""
    spec = paper.networks[name]
    if isinstance(spec, NetworkSet):
        return [paper.networks[other] for other in spec.of]
    return [paper.networks[other] for other in spec.of.values()] if isinstance(spec, Alternatives) else [spec]


def _problem(name: str, paper: Paper) -> str | None:
    spec = paper.networks[name]
    return None if isinstance(spec, Alternatives | NetworkSet) else unknown(spec)

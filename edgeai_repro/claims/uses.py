"""Refuses the keys of a claim that its metric would ignore, and the needs that it has no use for. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from edgeai_repro.claims.registry import METRICS, measured_on
from edgeai_repro.claims.schema import Claim
from edgeai_repro.errors import did_you_mean


def use_problems(claim: Claim) -> Iterator[str]:
    """Yield every key of a claim that its metric, which must be known, makes no use of."""
    metric = METRICS[claim.metric]
    if claim.quantifier == "up_to" and metric.better is None:
        yield (
            f"'quantifier' must not be 'up_to': {metric.name!r} does not say which end is better; write 'every', "
            "or register the metric with better="
        )
    if metric.techniques and claim.technique not in metric.techniques:
        known = " or ".join(metric.techniques)
        yield f"'technique' must be {known} for {metric.name!r} (got {claim.technique!r}); choose it"
    if metric.over and metric.over not in claim.settings:
        yield f"'settings.{metric.over}' is missing: {metric.name!r} is a trend over it; add its values"
    if claim.choice and claim.choice.name == metric.over:
        yield f"'choice.name' must not be {metric.over!r}: {metric.name!r} is a trend over it; remove 'choice'"
    for name, known_values in metric.values.items():
        for value in claim.conditions.get(name, []):
            if value not in known_values:
                hint = did_you_mean(str(value), map(str, known_values))
                yield f"'conditions.{name}' must be one that {metric.name!r} takes (got {value!r}); {hint}"
    yield from _need_problems(claim)


def _need_problems(claim: Claim) -> Iterator[str]:
    """Yield the needs that have no say in a claim, and the edge if it is missing: the metric says who measures."""
    metric = METRICS[claim.metric]
    deployed = measured_on(claim) == "deployed"
    useful = {*metric.needs, "edge"} if deployed else {*metric.needs} - {"edge"}
    for need in claim.needs:
        if need not in useful:
            runtime = "; name the runtime under 'conditions', or" if "runtime" in metric.optional else ";"
            yield f"'needs' must not list {need}: {metric.name!r} is measured without it{runtime} remove it"
    if deployed and "edge" not in claim.needs:
        yield f"'needs' must list edge: {metric.name!r} is measured on a deployed model; add it"

"""The metrics of what is deployed: the time that an image takes on a device. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgeai_repro.claims.registry import metric
from edgeai_repro.evidence.measurement import Measurement

if TYPE_CHECKING:
    from edgeai_repro.claims.schema import Claim
    from edgeai_repro.edge.deployed_models import DeployedModels


@metric("latency", unit="ms", deployed=True)
def latency(edge: DeployedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Median time for one image on the edge device, with its quartiles."""
    from edgeai_repro.measure.latency.interleaved import worst_control

    rows = []
    for settings in claim.settings_for(model):
        contender, timing = edge.timing(claim.technique, "onnxruntime", settings)
        rows.append(
            Measurement(
                model=model,
                technique=claim.technique,
                params={**settings, **edge.timing_context, "p90": round(timing.p90, 3)},
                reported=timing.median,
                n=timing.n,
                evidence=edge.sha256(contender),
                control=worst_control([timing]),
            )
        )
    edge.require_edge_device(claim, rows)
    yield from rows


@metric("speedup", unit="×", deployed=True)
def speedup(edge: DeployedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times faster one image is than by technique `baseline` in `baseline_runtime`: in one run."""
    from edgeai_repro.measure.latency.interleaved import ratio, worst_control

    for settings in claim.settings_for(model):
        contender, faster = edge.timing(claim.technique, str(settings["runtime"]), settings)
        _, slower = edge.timing(str(settings["baseline"]), str(settings["baseline_runtime"]), settings)
        yield Measurement(
            model=model,
            technique=claim.technique,
            params={**settings, **edge.timing_context},
            reported=ratio(slower, faster),
            n=faster.n,
            evidence=edge.sha256(contender),
            control=worst_control([slower, faster]),
        )

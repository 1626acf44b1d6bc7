"""The metrics of deployed models: the time for one image on a device. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from edgeai_repro.claims import registry
from edgeai_repro.claims.schema import Claim
from edgeai_repro.edge.deployed_models import DEPLOYED, DeployedModels
from edgeai_repro.evidence.measurement import Measurement

metric = partial(registry.metric, group=DEPLOYED)


@metric("latency", unit="ms")
def latency(models: DeployedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Median time for one image on the edge device, with its quartiles."""
    from edgeai_repro.measure.latency.interleaved import worst_control

    for settings, conditions in claim.variants_for(model):
        contender, timing = models.timing(claim.technique, "onnxruntime", settings)
        yield Measurement(
            model=model,
            technique=claim.technique,
            settings=settings,
            conditions=conditions,
            notes={**models.timing_context, "p90": round(timing.p90, 3)},
            reported=timing.median,
            n=timing.n,
            evidence=models.sha256(contender),
            control=worst_control([timing]),
        )


@metric("speedup", unit="×", conditions=("runtime", "baseline", "baseline_runtime"))
def speedup(models: DeployedModels, claim: Claim, model: str) -> Iterator[Measurement]:
    """Speed-up over technique `baseline` in `baseline_runtime`, both timed in the same run."""
    from edgeai_repro.measure.latency.interleaved import ratio, worst_control

    for settings, conditions in claim.variants_for(model):
        contender, timing = models.timing(claim.technique, str(conditions["runtime"]), settings)
        _, baseline = models.timing(str(conditions["baseline"]), str(conditions["baseline_runtime"]), settings)
        yield Measurement(
            model=model,
            technique=claim.technique,
            settings=settings,
            conditions=conditions,
            notes=models.timing_context,
            reported=ratio(baseline, timing),
            n=timing.n,
            evidence=models.sha256(contender),
            control=worst_control([baseline, timing]),
        )

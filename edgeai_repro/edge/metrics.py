"""The metrics of deployed models: the time for one image on a device. No torch.

Whoever lists claims imports this module, so it imports no source: a metric asks for what a `TimingSource` has.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol

from edgeai_repro.claims import registry
from edgeai_repro.claims.entries import MetricGroup
from edgeai_repro.claims.schema import Claim
from edgeai_repro.claims.values import explain
from edgeai_repro.evidence.measurement import Measurement, Setting, Settings

if TYPE_CHECKING:
    from edgeai_repro.edge.contenders import Contender
    from edgeai_repro.measure.latency.interleaved import Timing


class TimingSource(Protocol):
    """A source of times: the models of a bundle, timed against each other in one run."""

    @property
    def timing_context(self) -> dict[str, Setting]:
        """The notes of every timing."""

    def timing(self, technique: str, runtime: str, settings: Settings) -> tuple[Contender, Timing]:
        """Return a contender and its times. Raises MissingRequirement if it can't be timed here."""

    def sha256(self, contender: Contender) -> str | None:
        """Return the sha256 of the file that a contender runs, None if it runs none."""


DEPLOYED: MetricGroup[TimingSource] = MetricGroup("deployed", needs=("edge", "weights"))
metric = partial(registry.metric, group=DEPLOYED)
explain(
    runtime="what runs the model: onnxruntime or eager",
    baseline="the technique of the model that is compared with",
    baseline_runtime="what runs that model",
)


@metric("latency", unit="ms", better="lower")
def latency(models: TimingSource, claim: Claim, model: str) -> Iterator[Measurement]:
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


@metric(
    "speedup",
    unit="×",
    better="higher",
    conditions=("runtime", "baseline", "baseline_runtime"),
    optional=("device",),
)
def speedup(models: TimingSource, claim: Claim, model: str) -> Iterator[Measurement]:
    """Speed-up over technique `baseline` in `baseline_runtime`, both timed in one run, perhaps on a `device`."""
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

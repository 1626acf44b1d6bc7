"""The metrics of times on this machine: the ratio of two, and how well MACs rank many. No torch at the top."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from edgeai_repro.claims.schema import Claim
from edgeai_repro.evidence.measurement import Curve, Interval, Measurement
from edgeai_repro.measure.compressed_models import ClaimNetworks
from edgeai_repro.measure.latency.threads import torch_threads
from edgeai_repro.measure.network_times import ANY_CPU, DEVICES, Run, Timed, call, refuse_unfair
from edgeai_repro.measure.quantities import metric

MODEL, AGAINST = "model", "against"
GIGA = 1e9
OTHER_COUNTS: dict[str, Callable[[Timed], float]] = {
    "activations": lambda one: one.activations,
    "bytes": lambda one: one.bytes,
    "operators": lambda one: one.operators,
}


@metric(
    "time_ratio",
    unit="×",
    better="higher",
    compares="always",
    conditions=("threads", "batch"),
    optional=("device",),
    values={"device": DEVICES},
    timed=True,
)
def time_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times as long `against` takes: eager mode, in one interleaved run, with an A/A control.

    Raises MissingRequirement if a claim is about another kind of machine, and TooNoisyError if the processor is
    emulated, if eager mode can't be timed fairly with so many threads, or if the device was throttled.
    """
    from edgeai_repro.measure.latency.interleaved import Plan, ratio, worst_control

    # Networks take a millisecond to a second: blocks of a tenth of a second, or of one batch that takes longer.
    plan = Plan(rounds=6, samples=1, untimed=1, seconds=0.1)
    for settings, conditions in claim.variants_for(model):
        run = Run.of(conditions)
        refuse_unfair(run, str(conditions.get("device", ANY_CPU)))
        both = {
            AGAINST: networks.with_values(claim.against or model, conditions=conditions),
            MODEL: networks.with_values(model, claim.technique, settings, conditions),
        }
        names = {AGAINST: claim.against or model, MODEL: model}
        sides = {name: networks.subject(network, conditions) for name, network in names.items()}
        with torch_threads(run.threads):
            calls = {name: call(network, sides[name].resolution or 0, run.batch) for name, network in both.items()}
            timings = networks.times.time(calls, plan)
        medians = {name: timing.median.value for name, timing in timings.items()}
        yield Measurement(
            model=model,
            technique=claim.technique,
            settings=dict(settings),
            conditions=dict(conditions),
            notes={
                **networks.own_conditions(model, conditions),
                "milliseconds": round(medians[MODEL], 3),
                "milliseconds_against": round(medians[AGAINST], 3),
            },
            reported=ratio(timings[AGAINST], timings[MODEL]),
            n=timings[MODEL].n,
            control=worst_control(list(timings.values())),
        )


@metric("macs_time_tau", unit="τ", better="higher", conditions=("threads", "batch"), timed=True, ranks=True)
def macs_time_tau(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """Kendall's tau of MACs and time over a set of networks: eager mode, one interleaved run, A/A control.

    Its interval is that of the times: other blocks of the same networks. The note `other_networks` is the interval
    for other networks of the kind; the notes `tau_of_…` say how well other counts rank the same times. The control
    is the rank correlation of the times in the first blocks with those in the second. Raises as `time_ratio`.
    """
    import numpy as np

    from edgeai_repro.evidence.rank_statistics import rank_correlation, rank_correlation_of_times
    from edgeai_repro.evidence.statistics import kendall_trend

    for _, conditions in claim.variants_for(model):
        timed = networks.timed(model, conditions)
        macs, blocks = [one.macs for one in timed], [one.timing.milliseconds for one in timed]
        medians = [one.timing.median.value for one in timed]
        others = rank_correlation(macs, medians)
        halves = [[float(np.median(one[half::2])) for one in blocks] for half in (0, 1)]
        yield Measurement(
            model=model,
            technique=claim.technique,
            conditions=dict(conditions),
            notes={
                "networks": len(timed),
                "other_networks": f"{others.low:.2f} … {others.high:.2f}",
                **{
                    f"tau_of_{name}": round(kendall_trend([of(one) for one in timed], medians).tau, 3)
                    for name, of in OTHER_COUNTS.items()
                },
            },
            reported=rank_correlation_of_times(macs, blocks),
            n=sum(one.timing.n for one in timed),
            control=Interval.exact(kendall_trend(*halves).tau),
            curve=Curve(
                over="GMACs", unit="ms", points=[(m / GIGA, ms) for m, ms in zip(macs, medians, strict=True)]
            ),
        )

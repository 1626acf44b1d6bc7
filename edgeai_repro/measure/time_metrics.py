"""The metric of how many times as long one network takes as another, timed on this machine. No torch at the top."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from edgeai_repro.claims import registry
from edgeai_repro.claims.schema import Claim
from edgeai_repro.errors import TooNoisyError
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import Measurement
from edgeai_repro.measure.compressed_models import COMPRESSED, ClaimNetworks
from edgeai_repro.measure.latency.threads import torch_threads, why_eager_is_not_timed

if TYPE_CHECKING:
    from edgeai_repro.measure.latency.interleaved import Plan, Timing
    from edgeai_repro.networks.resolve import Network

Call = Callable[[], object]
Timer = Callable[[Mapping[str, Call], "Plan"], Mapping[str, "Timing"]]
MODEL, AGAINST = "model", "against"
metric = partial(registry.metric, group=COMPRESSED)


@metric("time_ratio", unit="×", better="higher", compares="always", conditions=("threads", "batch"), timed=True)
def time_ratio(networks: ClaimNetworks, claim: Claim, model: str) -> Iterator[Measurement]:
    """How many times as long `against` takes: eager mode, in one interleaved run, with an A/A control."""
    from edgeai_repro.measure.latency.interleaved import time_interleaved

    return measure(networks, claim, model, timer=time_interleaved)


def measure(networks: ClaimNetworks, claim: Claim, model: str, *, timer: Timer) -> Iterator[Measurement]:
    """Yield the ratio of the times of two networks under each condition.

    Raises TooNoisyError if the processor is emulated, if eager mode can't be timed fairly with so many threads, or
    if the device was throttled.
    """
    from edgeai_repro.measure.latency.interleaved import Plan, ratio, worst_control

    # Networks take from a millisecond to a second: 10 rounds of A B B A, with 3 images per block or more if it is
    # fast.
    plan = Plan(rounds=10, samples=3, untimed=1)
    for settings, conditions in claim.variants_for(model):
        threads, batch = int(conditions["threads"]), int(conditions["batch"])
        if reason := environment.EMULATED if environment.emulated() else why_eager_is_not_timed(threads):
            raise TooNoisyError(reason)
        both = {
            AGAINST: networks.with_values(claim.against or model, conditions=conditions),
            MODEL: networks.with_values(model, claim.technique, settings, conditions),
        }
        names = {AGAINST: claim.against or model, MODEL: model}
        sides = {name: networks.subject(network, conditions) for name, network in names.items()}
        with torch_threads(threads):
            calls = {name: _call(network, sides[name].resolution or 0, batch) for name, network in both.items()}
            timings = timer(calls, plan)
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


def _call(network: Network, resolution: int, batch: int) -> Call:
    """Return a callable that runs a network on its inputs, or on random images; run it once first."""
    import torch

    from edgeai_repro.networks.convnext import random_images

    model = network.model
    given = network.inputs
    inputs = [random_images(batch, resolution)] if given is None else [torch.cat([one] * batch) for one in given]

    @torch.inference_mode()
    def run() -> object:
        return model(*inputs)

    run()
    return run

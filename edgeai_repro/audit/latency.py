"""How long one image takes here, by every row's model in rounds with the model as it is. No torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from edgeai_repro.audit.schema import Latency
from edgeai_repro.errors import TooNoisyError
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import AA_BAND, Interval, aa_control_passes
from edgeai_repro.judge.formatting import format_number
from edgeai_repro.measure.latency.interleaved import Plan, Timing, ratio, time_interleaved, worst_control

Call = Callable[[], object]
# What a person waits for: about so many seconds of counted blocks, but for the fewest rounds that bear an interval.
SECONDS, FEWEST, MOST = 4.0, 4, 20
SAMPLES, SETTLING = 2, 1  # a block: images that are timed, after some that are not


def timed(reference: Call, others: Mapping[str, Call]) -> tuple[Latency, dict[str, Latency]]:
    """Return how long the reference takes for an image, and each of the others, by name, beside it.

    All have run once before. Raises UserError where a clock jumps, TooNoisyError where the device was throttled
    (see `race`) and on an emulated processor.
    """
    if environment.emulated():
        raise TooNoisyError(environment.EMULATED)
    plan = Plan(rounds=FEWEST, samples=SAMPLES, untimed=SETTLING)
    blocks = [_block(plan, call) for call in (reference, *others.values())]
    plan = replace(plan, rounds=min(MOST, max(FEWEST, round(SECONDS / (2 * sum(blocks))))))
    timings = time_interleaved({"": reference, **others}, plan)
    own = timings.pop("")
    return _latency(own), {name: _latency(timing, own) for name, timing in timings.items()}


def _block(plan: Plan, call: Call) -> float:
    """Return the seconds of one block of a contender, by one run of it."""
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    fitted = plan.fitted(once)
    return once * (fitted.untimed + fitted.samples)


def _latency(timing: Timing, reference: Timing | None = None) -> Latency:
    control = worst_control([timing] if reference is None else [reference, timing])
    return Latency(
        milliseconds=timing.median,
        p90=timing.p90,
        n=timing.n,
        faster=None if reference is None else ratio(reference, timing),
        control=control,
        problem=None if aa_control_passes(control) else _noise(control),
    )


def _noise(control: Interval) -> str:
    low, high = AA_BAND
    return (
        f"too noisy here to believe its times: against itself {format_number(control.low, '')} … {format_number(control.high, '')}, "
        f"where {low} … {high} is asked"
    )

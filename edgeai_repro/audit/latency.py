"""Latency of one image on this machine: all models are timed in interleaved rounds. No torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from edgeai_repro.audit.schema import Latency
from edgeai_repro.errors import TooNoisyError
from edgeai_repro.evidence import environment
from edgeai_repro.evidence.measurement import AA_BAND, Interval, aa_control_passes
from edgeai_repro.judge.formatting import format_number
from edgeai_repro.measure.latency.interleaved import Plan, Timer, Timing, ratio, time_interleaved, worst_control

Call = Callable[[], object]
SECONDS = 4.0  # of timed blocks, about; a person waits for them
FEWEST_ROUNDS, MOST_ROUNDS = 4, 20  # fewer give no interval
SAMPLES, UNTIMED = 2, 1  # images per block: timed ones, after untimed ones
SLOW_SECONDS, SLOW_TIMES = 1.0, 10.0  # a model that takes more, and so many times the reference's time, is slow


def time_models(
    reference: Call, others: Mapping[str, Call], *, timer: Timer = time_interleaved
) -> tuple[Latency, dict[str, Latency]]:
    """Return the latency of the reference, and of each other model by name, compared with the reference.

    Each call runs its model on one image and must have run once before. Raises UserError if a clock jumps, and
    TooNoisyError if the device was throttled (see `time_interleaved`) or the processor is emulated.
    """
    if environment.emulated():
        raise TooNoisyError(environment.EMULATED)
    plan = Plan(rounds=FEWEST_ROUNDS, samples=SAMPLES, untimed=UNTIMED)
    seconds_per_block = [_block_seconds(plan, call) for call in (reference, *others.values())]
    rounds = round(SECONDS / (2 * sum(seconds_per_block)))
    plan = replace(plan, rounds=min(MOST_ROUNDS, max(FEWEST_ROUNDS, rounds)))
    timings = dict(timer({"": reference, **others}, plan))
    base = timings.pop("")
    return _latency(base), {name: _latency(timing, base) for name, timing in timings.items()}


def why_too_slow(call: Call, reference: Call) -> str | None:
    """Return why a model is so slow that a single run says enough, None if it is to be timed with the others.

    Without a kernel for this processor, torchao's int8 product takes seconds per image; all rounds take minutes.
    """
    once, compared = _seconds(call), _seconds(reference)
    if once <= max(SLOW_SECONDS, SLOW_TIMES * compared):
        return None
    return f"one image takes {once:.1f} s, {once / compared:.0f} times as long as the uncompressed model"


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _block_seconds(plan: Plan, call: Call) -> float:
    """Estimate the seconds of one block from a single run."""
    once = _seconds(call)
    fitted = plan.fitted(once)
    return once * (fitted.untimed + fitted.samples)


def _latency(timing: Timing, reference: Timing | None = None) -> Latency:
    control = worst_control([timing] if reference is None else [reference, timing])
    return Latency(
        milliseconds=timing.median,
        p90=timing.p90,
        n=timing.n,
        speedup=None if reference is None else ratio(reference, timing),
        control=control,
        problem=None if aa_control_passes(control) else _noise(control),
    )


def _noise(control: Interval) -> str:
    low, high = (format_number(end, "") for end in (control.low, control.high))
    return (
        f"too noisy for reliable times: the ratio of a model to itself is {low} … {high}, "
        f"not within {AA_BAND[0]} … {AA_BAND[1]}"
    )

"""Passes the times of one interleaved run to pytest-benchmark, test by test.

pytest-benchmark would time one test after the other, so the drift of the machine would decide. Instead, its timer
replays the measured times: it reads 0 at the start of each round, and the next sample at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from edgeai_repro.edge.bundle import TECHNIQUE_OF_VARIANT
from edgeai_repro.edge.contenders import Contender, needs_timing_of
from edgeai_repro.measure.latency.interleaved import Timing

if TYPE_CHECKING:
    from edgeai_repro.session import Session


def replay_into(request: pytest.FixtureRequest, run: Session, contender: Contender, timing: Timing) -> None:
    """Give a contender's times to the test's fixture `benchmark`, for its table, storage and comparisons."""
    seconds = (timing.milliseconds.ravel() / 1000).tolist()
    technique = TECHNIQUE_OF_VARIANT[contender.variant]
    group = f"{run.edge.model} {technique} {contender.runtime}"
    request.node.add_marker(pytest.mark.benchmark(group=group, timer=replay_timer(seconds)))
    benchmark = request.getfixturevalue("benchmark")
    control = timing.control
    benchmark.extra_info.update(
        claims=[name for name, claim in run.claims if needs_timing_of(claim, contender)],
        model=run.edge.model,
        technique=technique,
        sha256=run.edge.sha256(contender),
        engine=run.edge.engine(contender),
        threads=run.edge.threads,
        p90=timing.p90 / 1000,
        control=[control.low, control.high],
        discarded_rounds=timing.discarded,
    )
    benchmark.pedantic(_no_op, rounds=len(seconds))


def replay_timer(seconds: Iterable[float]) -> Callable[[], float]:
    """Return a timer that pytest-benchmark reads twice per round: the differences are these seconds."""
    readings = chain.from_iterable((0.0, duration) for duration in seconds)
    return lambda: next(readings)


def _no_op() -> None:
    """Do nothing: the timing has already happened."""

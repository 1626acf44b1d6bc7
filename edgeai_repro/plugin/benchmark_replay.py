"""What was timed in one interleaved run, handed over to pytest-benchmark test by test.

pytest-benchmark would time one test after the other, which the machine's drift decides. So its timer is given the
times that were taken: it stands at each start, and at each end it has gone on by the next sample.
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
    """Let the fixture `benchmark` of a test have a contender's times, in its table, storage and comparisons."""
    seconds = (timing.milliseconds.ravel() / 1000).tolist()
    group = f"{run.edge.model} {TECHNIQUE_OF_VARIANT[contender.variant]} {contender.runtime}"
    request.node.add_marker(pytest.mark.benchmark(group=group, timer=replay_timer(seconds)))
    benchmark = request.getfixturevalue("benchmark")
    control = timing.control
    benchmark.extra_info.update(
        claims=[name for name, claim in run.claims if needs_timing_of(claim, contender)],
        model=run.edge.model,
        technique=TECHNIQUE_OF_VARIANT[contender.variant],
        sha256=run.edge.sha256(contender),
        engine=run.edge.engine(contender),
        threads=run.edge.threads,
        p90=timing.p90 / 1000,
        control=[control.low, control.high],
        discarded_rounds=timing.discarded,
    )
    benchmark.pedantic(_no_op, rounds=len(seconds))


def replay_timer(seconds: Iterable[float]) -> Callable[[], float]:
    """Return a timer that is read at the start and at the end of each round, and tells these seconds between."""
    readings = chain.from_iterable((0.0, each) for each in seconds)
    return lambda: next(readings)


def _no_op() -> None:
    """Stand for what was timed already."""

"""Replays the times of one interleaved run to pytest-benchmark, test by test.

pytest-benchmark would time one test after the other, so the drift of the machine would decide. Instead, its timer
replays the recorded times: it stands still at each start, and at each end it has advanced by the next sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import pytest

from edgeai_repro.claims.schema import ClaimCase
from edgeai_repro.edge.contenders import Contender, needs_timing_of
from edgeai_repro.edge.deployed_models import DeployedModels
from edgeai_repro.measure.latency.interleaved import Timing
from edgeai_repro.plugin.noise import control_info


def replay_into(
    request: pytest.FixtureRequest,
    models: DeployedModels,
    cases: Sequence[ClaimCase],
    contender: Contender,
    timing: Timing,
) -> None:
    """Give the times of a contender to the fixture `benchmark` of a test, for table, storage and comparison."""
    seconds = (timing.milliseconds.ravel() / 1000).tolist()
    group = f"{models.model} {contender.technique} {contender.runtime}"
    request.node.add_marker(pytest.mark.benchmark(group=group, timer=replay_timer(seconds)))
    benchmark = request.getfixturevalue("benchmark")
    benchmark.extra_info.update(
        claims=[case.id for case in cases if needs_timing_of(case.claim, contender)],
        model=models.model,
        technique=contender.technique,
        sha256=models.sha256(contender),
        engine=contender.engine,
        threads=models.threads,
        p90=timing.p90 / 1000,
        discarded_rounds=timing.discarded,
        **control_info(timing.control),
    )
    benchmark.pedantic(_no_op, rounds=len(seconds))


def replay_timer(seconds: Iterable[float]) -> Callable[[], float]:
    """Return a timer that is read at the start and the end of each round; the readings differ by these seconds."""
    readings = chain.from_iterable((0.0, second) for second in seconds)
    return lambda: next(readings)


def _no_op() -> None:
    """Take the place of the model, which was timed already."""

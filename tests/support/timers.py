"""A timer that asks no clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgeai_repro.measure.latency.interleaved import Plan, Timing

Runners = Mapping[str, Callable[[], object]]


@dataclass
class FakeTimer:
    """A timer in whose runs each contender takes its `milliseconds`, 1.0 by default, or has one of the `timings`.

    It runs each contender once, then calls `afterwards`. `timed` are the names of the contenders, one set per run.
    """

    milliseconds: dict[str, float] = field(default_factory=dict)
    timings: dict[str, Timing] = field(default_factory=dict)
    afterwards: Callable[[], object] = lambda: None
    timed: list[set[str]] = field(default_factory=list)

    def __call__(self, runners: Runners, plan: Plan) -> dict[str, Timing]:
        """Return the times of all contenders."""
        self.timed.append(set(runners))
        for run in runners.values():
            run()
        self.afterwards()
        return {
            name: self.timings.get(name, Timing(np.full((8, 5), self.milliseconds.get(name, 1.0))))
            for name in runners
        }

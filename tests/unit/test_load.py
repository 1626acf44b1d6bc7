"""Under load, no verdict on a time flips: it stays, or it becomes inconclusive. On a simulated machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from edgeai_repro.evidence.measurement import Measured, Measurement
from edgeai_repro.judge.rows import VerdictName
from edgeai_repro.judge.verdict import judge
from edgeai_repro.measure.latency.blocks import Clocks
from edgeai_repro.measure.latency.interleaved import Plan, Timing, ratio, time_interleaved, worst_control
from edgeai_repro.measure.latency.throttling import Throttling
from edgeai_repro.measure.latency.waiting import longest_wait, waiting_times
from tests.support.factories import claim

PLAN = Plan(rounds=6, samples=4, untimed=1, seconds=0, untimed_seconds=0)
SLOW, FAST = 0.004, 0.001  # seconds of the two models
SLICE = 0.003  # seconds that the scheduler gives a process at a time
SEEDS = range(3)
KNOWN = {"true ratio": "reproduced", "false ratio": "contradicted"} | {
    "true time": "reproduced",
    "false time": "contradicted",
}


class LoadedMachine:
    """A core on which busy loops run next to the models, each for a slice at a time.

    They pause now and then, for `quiet` of the time; with 0 they never do, and the core is shared evenly. `reports`
    is whether the scheduler says how long a thread waited.
    """

    def __init__(self, loops: int, quiet: float, seed: int, *, reports: bool = True) -> None:
        self.now = self.waited = 0.0
        self._loops, self._quiet, self._reports = loops, quiet, reports
        self._random = Random(seed)
        self._until, self._busy = 0.0, False

    def takes(self, seconds: float) -> Callable[[], None]:
        """Return a model that takes so many seconds of the core."""

        def call() -> None:
            if self.now >= self._until:
                self._busy = self._random.random() >= self._quiet
                self._until = self.now + self._random.expovariate(20.0)
            slices = 1.0 if self._quiet == 0 else self._random.uniform(0.0, 2.0) * SLICE / seconds
            lost = self._busy * self._loops * slices * seconds
            self.now, self.waited = self.now + seconds * self._random.uniform(1.0, 1.01) + lost, self.waited + lost

        return call

    def time(self) -> dict[str, Timing]:
        """Time both models."""
        return time_interleaved(
            {"slow": self.takes(SLOW), "fast": self.takes(FAST)},
            PLAN,
            clocks=Clocks(lambda: self.now, lambda: self.now),
            throttling=Throttling,
            waiting=lambda: {1: self.waited} if self._reports else {},
        )


def verdicts(timings: dict[str, Timing]) -> dict[str, VerdictName]:
    """Return the verdicts on claims about the ratio of both times, and about the milliseconds of the fast model."""
    control = worst_control(list(timings.values()))
    measured = {"ratio": ratio(timings["slow"], timings["fast"]), "time": timings["fast"].median}
    values = {"true ratio": 4.0, "false ratio": 6.0, "true time": 1.0, "false time": 2.0}
    judged = {}
    for name, value in values.items():
        quantity = name.split()[1]
        metric = {"ratio": "speedup", "time": "latency"}[quantity]
        band = {"rounding": 0.1 * value, "derivation": "for the test"}
        asked = claim(metric=metric, needs=["edge"], value=value, band=band)
        row = Measurement(model="convnext_tiny", technique="none", reported=measured[quantity], control=control)
        judged[name] = judge(asked, Measured((row,))).verdict
    return judged


def test_quiet_machine_decides() -> None:
    """The control of the tests below."""
    assert verdicts(LoadedMachine(0, 1.0, 0).time()) == KNOWN


@pytest.mark.parametrize("loops", [1, 2])
@pytest.mark.parametrize("pauses", [0.0, 0.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_busy_loops_make_times_inconclusive(loops: int, pauses: float, seed: int) -> None:
    """Whether they run all the time or with pauses, next to each of the machine's two cores or twice on each."""
    assert set(verdicts(LoadedMachine(loops, pauses, seed).time()).values()) == {"inconclusive"}


def test_load_that_never_pauses_is_seen_by_waiting_alone() -> None:
    """A planted machine whose scheduler reports nothing: its 1 ms are taken for 2, and two verdicts flip."""
    unseen = verdicts(LoadedMachine(1, 0.0, 0, reports=False).time())

    assert unseen == {**KNOWN, "true time": "contradicted", "false time": "reproduced"}


def test_longest_wait_is_that_of_one_thread() -> None:
    """A thread that began in between has waited since then; one that ended is forgotten."""
    assert longest_wait({1: 5.0, 2: 1.0}, {1: 5.5, 3: 0.25}) == 0.5
    assert longest_wait({}, {}) == 0.0


def test_statistics_of_the_scheduler_are_read(tmp_path: Path) -> None:
    """The second number, in nanoseconds; threads without a readable file are left out."""
    for thread, text in {"7": "10 2500000000 3\n", "8": "", "9": "no numbers here"}.items():
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(text, encoding="ascii")

    assert waiting_times(tmp_path) == {7: 2.5}
    assert waiting_times(tmp_path / "missing") == {}

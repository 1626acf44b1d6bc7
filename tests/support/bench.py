"""A machine whose clocks a test controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from edgeai_repro.measure.latency.blocks import Clocks
from edgeai_repro.measure.latency.interleaved import Plan, Timing, time_interleaved
from edgeai_repro.measure.latency.throttling import Throttling

PLAN = Plan(rounds=4, samples=3, untimed=2, seconds=0, untimed_seconds=0)
T = TypeVar("T")


class Bench:
    """A machine on which calls take given times. It records the names of the contenders that are called."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[str] = []
        self.wall = 0.0
        self.readings: Iterator[Throttling] = self._repeated((Throttling(),))
        self.waiting: dict[int, float] = {}  # seconds, by thread
        self.announced = (0.0, 0)
        self.ends: list[float] = []

    def takes(self, name: str, *seconds: float) -> Callable[[], None]:
        """Return a contender whose calls take these seconds in turn, repeatedly."""
        remaining = self._repeated(seconds)

        def call() -> None:
            self.calls.append(name)
            self.now += next(remaining)

        return call

    @staticmethod
    def _repeated(values: tuple[T, ...]) -> Iterator[T]:
        while True:
            yield from values

    def time(self, contenders: dict[str, Callable[[], None]], plan: Plan = PLAN) -> dict[str, Timing]:
        """Time contenders with the clocks of this machine."""
        return time_interleaved(
            contenders,
            plan,
            clocks=Clocks(lambda: self.now, lambda: self.now + self.wall),
            throttling=lambda: next(self.readings),
            waiting=lambda: self.waiting,
            progress=self.progress,
        )

    @contextmanager
    def progress(self, seconds: float, rounds: int) -> Iterator[Callable[[], None]]:
        """Record what is announced, and at which time each round ended."""
        self.announced = (seconds, rounds)
        yield lambda: self.ends.append(self.now)

"""A run that times deployed models says how long it will take, and shows a bar on a terminal only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest

from edgeai_repro.measure.latency.interleaved import Plan
from edgeai_repro.plugin.shown_timer import ShownTimer

PLAN = Plan(rounds=2, samples=1, untimed=0, seconds=0, untimed_seconds=0)


class Stream(StringIO):
    """A stream that is a terminal or a file."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._terminal


class Reporter:
    """What the timer uses of pytest's reporter and of its manager of captures."""

    def __init__(self, stream: Stream) -> None:
        self._tw = SimpleNamespace(_file=stream)
        self.captured = True  # pytest captures what a test writes

    @contextmanager
    def global_and_fixture_disabled(self) -> Iterator[None]:
        """Stop the capture, as pytest's manager of captures does."""
        self.captured = False
        yield
        self.captured = True

    def ensure_newline(self) -> None:
        """End the line of dots."""
        self._tw._file.write("\n")

    def write_line(self, line: str) -> None:
        """Write a line."""
        assert not self.captured
        self._tw._file.write(f"{line}\n")


def config(reporter: Reporter | None) -> Any:
    """Return pytest's configuration with this reporter."""
    return SimpleNamespace(
        pluginmanager=SimpleNamespace(getplugin={"terminalreporter": reporter, "capturemanager": reporter}.get)
    )


def timed(reporter: Reporter | None) -> set[str]:
    """Time two models and return their names."""
    models = {name: lambda: sum(range(100)) for name in ("one", "other")}
    return set(ShownTimer(config(reporter))(models, PLAN))


@pytest.mark.parametrize("terminal", [False, True])
def test_expected_time_is_one_line_and_the_bar_is_for_terminals(terminal: bool) -> None:
    """A log gets the line alone."""
    stream = Stream(terminal)

    assert timed(Reporter(stream)) == {"one", "other"}

    first, rest = stream.getvalue().removeprefix("\n").split("\n", 1)
    assert first == "timing 2 models takes about 0 s"
    assert ("2/2" in rest) == terminal
    assert bool(rest) == terminal


def test_worker_of_xdist_times_without_a_word() -> None:
    """It has no reporter."""
    assert timed(None) == {"one", "other"}
